"""What is computed in a process of its own, which a run or the driver starts: it must not meet a
run's flags and variables, nor may it change the process that is timed."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from typing import BinaryIO

from backbone.command.errors import Failure
from backbone.command.interrupts import interrupts_raised
from backbone.record import schema


def ask_apart(
    script: str,
    asked: dict[str, object],
    environment: Mapping[str, str],
    locks: tuple[int, ...] = (),
) -> bytes:
    """What a script of this package writes to stdout, if it is asked in JSON, and started with an
    environment. locks: open files that it keeps open. A signal that would end this process ends
    that one first. Raises Failure if it fails, with the line that it ends with."""
    with interrupts_raised():
        ended = subprocess.run(
            [sys.executable, script, json.dumps(asked)],
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            pass_fds=locks,
        )
    if ended.returncode < 0:  # as of a runtime that crashes
        raise Failure(f"its process was ended by {signal.Signals(-ended.returncode).name}")
    if ended.returncode != 0:
        last_line = ended.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
        reason = last_line.partition(": ")[2]  # behind the program's name
        raise Failure(reason or f"exit status {ended.returncode}")
    return ended.stdout


@contextmanager
def only_writer() -> Iterator[BinaryIO]:
    """In such a script: its stdout, which nothing else that runs inside writes to."""
    stdout = os.dup(1)
    os.dup2(2, 1)
    with redirect_stdout(sys.stderr), os.fdopen(stdout, "wb") as pipe:
        yield pipe


def without_changing(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment without the variables that may change what a network computes."""
    return {
        name: value for name, value in environment.items() if not schema.may_change_output(name)
    }
