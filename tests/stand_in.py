"""What the stand-in interpreter of test_wrappers.py runs in place of a script: it leaves what the
script would leave, without measuring anything. A record is a line a run, the text says them all."""

import os
import sys
import time
from pathlib import Path

sys.stdin.read()  # as what a script starts may: nothing of the wrapper's is in it
words = " ".join(sys.argv[1:])
*flags, kind, name = sys.argv[1:]
record = Path(name)
runs = record.read_text().splitlines() if kind == "--append" and record.exists() else []
at_round = int(os.environ.get("STAND_IN_ROUND", len(runs) + 1)) == len(runs) + 1
if at_round and os.environ.get("STAND_IN_FAILS", "never") in words:
    sys.exit(3)
if at_round and "STAND_IN_SLEEPS" in os.environ:
    Path(os.environ["STAND_IN_SLEEPS"]).touch()
    time.sleep(60)
lines = [*runs, " ".join(flags)]
record.write_text("\n".join(lines) + "\n")
print("\n".join(lines))
