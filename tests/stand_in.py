"""What the stand-in interpreter of test_wrappers.py runs in place of a script: it leaves what the
script would leave, without measuring anything."""

import os
import sys
import time
from pathlib import Path

words = " ".join(sys.argv[1:])
if "STAND_IN_FAILS" in os.environ and os.environ["STAND_IN_FAILS"] in words:
    sys.exit(3)
time.sleep(float(os.environ.get("STAND_IN_SLEEPS", 0)))
if "--json" in sys.argv:
    Path(sys.argv[sys.argv.index("--json") + 1]).write_text("{}")
print(words)
