"""What the stand-in interpreter of wrappers.py runs in place of a script: it leaves what the script
would leave, and takes its turns, without measuring anything. A record is a line a run, and so is
the text."""

import argparse
import os
import sys
import time
from pathlib import Path

sys.stdin.read()  # as what a script starts may: nothing of the wrapper's is in it
parser = argparse.ArgumentParser(allow_abbrev=False)
parser.add_argument("--json", type=Path)
parser.add_argument("--append", type=Path)
parser.add_argument("--turns", type=int, nargs=2)
own, others = parser.parse_known_args()
variables = ("THP_MEM_ALLOC_ENABLE", "GLIBC_TUNABLES", "LD_PRELOAD")
environment = [f"{name}={os.environ[name]}" for name in variables if name in os.environ]
words = " ".join([*environment, *others]) + os.environ.get("STAND_IN_ADDS", "")
runs = own.append.read_text().splitlines() if own.append and own.append.exists() else []
at_round = int(os.environ.get("STAND_IN_ROUND", len(runs) + 1)) == len(runs) + 1
if at_round and os.environ.get("STAND_IN_FAILS", "never") in words:
    sys.exit(3)
if own.turns:
    reader, writer = os.fdopen(own.turns[0]), os.fdopen(own.turns[1], "w", buffering=1)
    print("ready 0.001 1000", file=writer)
    reader.readline()
if at_round and "STAND_IN_SLEEPS" in os.environ:
    Path(os.environ["STAND_IN_SLEEPS"]).touch()
    if own.turns:
        reader.readline()  # until the one who hands out turns has gone
        sys.exit("nobody is there")
    time.sleep(60)
if own.turns:
    print("ended 0", file=writer)
    reader.readline()
lines = [*runs, words]
(own.append or own.json).write_text("\n".join(lines) + "\n")
print("\n".join(lines))
