"""Takes the place of backbone/measure/script.py in a copy of the checkout: a timer that takes turns
as the real one does and measures nothing. Its record keeps the flags and variables that it was
started with in the place of its date. Variables make it fail or sleep:

    STAND_IN_FAILS     text that occurs in the words of a run that fails
    STAND_IN_SLEEPS    a file, which is made when a run gets its turn, which then never ends
    STAND_IN_ROUND     only in this round of a command
    STAND_IN_STARTS    the folder in which starts are counted
    STAND_IN_KIND      a further condition of its records
"""

import json
import os
import sys
import time
from pathlib import Path

from backbone.command import flags
from backbone.measure.turns import Turns

VARIABLES = ("THP_MEM_ALLOC_ENABLE", "GLIBC_TUNABLES", "LD_PRELOAD")


class Device:
    """As the scripts make it."""

    def __init__(self, *_):
        pass


def count_start(words: str) -> int:
    """How often a run with these words has been started, this one included."""
    file = Path(os.environ["STAND_IN_STARTS"], words.replace("/", "_"))
    with file.open("a") as handle:
        handle.write("x")
    return len(file.read_text())


def main(parser, device):
    options = flags.timer_options(parser)
    place = sys.argv.index("--turns")
    script = os.path.relpath(sys.argv[0], Path(__file__).resolve().parent.parent.parent)
    variables = [f"{name}={os.environ[name]}" for name in VARIABLES if name in os.environ]
    words = " ".join([*variables, script, *sys.argv[1:place]])
    assert options.turns
    turns = Turns()
    at_round = os.environ.get("STAND_IN_ROUND")
    is_now = at_round is None or count_start(words) == int(at_round)
    if is_now and os.environ.get("STAND_IN_FAILS", "never") in words:
        sys.exit(3)
    turns.wait_for_start()
    turns.tell_ready(0.001, 1000)
    values = []
    while (passes := turns.wait()) is not None:
        if is_now and "STAND_IN_SLEEPS" in os.environ:
            Path(os.environ["STAND_IN_SLEEPS"]).touch()
            time.sleep(600)
        values += [0.001] * passes
        turns.end()
    workload = options.workload
    metadata = {"level": "model", "type": "MobileNetV2", "name": "MobileNetV2", "unit": "second"}
    metadata |= {"input_shape": "[1, 3, 64, 96]", "date": words}
    metadata |= {name: os.environ[name] for name in VARIABLES if name in os.environ}
    metadata |= {"network": "MobileNetV2", "dataset": workload.dataset, "device": "a stand-in"}
    metadata |= {"batch_size": workload.batch_size, "target": options.target}
    metadata |= {"iterations": len(values), "warmup": options.warmup}
    metadata |= dict.fromkeys(options.mode.switched_on, "True")
    metadata |= {"dtype": options.mode.dtype, "runtime": options.mode.runtime}
    metadata |= {"MALLOC_KIND": os.environ.get("STAND_IN_KIND", "none")}
    run = {"values": values, "metadata": metadata}
    turns.send(json.dumps({"version": "1.0", "benchmarks": [{"runs": [run]}]}))
