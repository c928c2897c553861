"""A timer that takes turns as the real one does and measures nothing: a script, or in a copy of
the checkout in the place of backbone/measure/script.py. It appends what it does to the file
STAND_IN_LOG, behind its name: STAND_IN_NAME, or its words. When warm it says STAND_IN_READY: the
seconds of a pass, and bytes. STAND_IN_KIND is a condition of its record. STAND_IN_START, _PREPARE,
_WARM, _TURN and _END hold Python to run then; `starts` counts the runs of its name so far."""

import json
import os
import sys
import time  # noqa: F401 (which is there for Python to run)
from pathlib import Path

from backbone.command import ending, flags
from backbone.measure.addresses import has_fixed_addresses
from backbone.measure.turns import Turns

LOG = Path(os.environ.get("STAND_IN_LOG", os.devnull))
NAME = os.environ.get("STAND_IN_NAME", " ".join(sys.argv[1:]))
VARIABLES = ("THP_MEM_ALLOC_ENABLE", "GLIBC_TUNABLES", "LD_PRELOAD")


def Device(*_): ...  # as the scripts make it


def log(*events):
    with LOG.open("a") as file:
        print(f"{NAME}:", *events, file=file)


def at(moment, **known):
    exec(os.environ.get(f"STAND_IN_{moment}", ""), globals() | known)


def main(parser, device):
    options = flags.timer_options(parser)
    log("start")
    starts = LOG.read_text().splitlines().count(f"{NAME}: start")
    at("START")
    turns = Turns()
    at("PREPARE")
    turns.wait_for_start()
    at("WARM", turns=turns)
    seconds, *memory = os.environ.get("STAND_IN_READY", "0.001 1000").split()
    turns.tell_ready(float(seconds), *map(int, memory))
    values = []
    while (passes := turns.wait()) is not None:
        log("turn", passes)
        at("TURN", turns=turns, passes=passes, starts=starts)
        values += [0.001] * passes
        turns.end()
    at("END", turns=turns)
    log("finish", turns.is_first, os.environ["PYTHONHASHSEED"], has_fixed_addresses(), sys.argv[1:])
    workload, mode = options.workload, options.mode
    metadata = {name: os.environ[name] for name in VARIABLES if name in os.environ}
    metadata |= dict.fromkeys(mode.switched_on, "True")
    metadata |= {"level": "model", "type": "MobileNetV2", "name": "MobileNetV2", "unit": "second"}
    metadata |= {
        "input_shape": json.dumps(workload.input_shape),
        "network": "MobileNetV2",
        "device": "a stand-in",
    }
    metadata |= {"dataset": workload.dataset, "batch_size": workload.batch_size}
    metadata |= {"target": options.target, "warmup": options.warmup, "iterations": len(values)}
    metadata |= {"dtype": mode.dtype, "runtime": mode.runtime}
    metadata |= {"MALLOC_KIND": os.environ.get("STAND_IN_KIND", "none")}
    metadata |= {"of_a_newer_version": f"{os.getpid()} {100_000 * 'x'}"}  # more than a pipe holds
    run = {"values": values, "metadata": metadata}
    turns.send(json.dumps({"version": "1.0", "benchmarks": [{"runs": [run]}]}))


if __name__ == "__main__":
    ending.run(lambda: main(flags.timer_parser(""), None))
