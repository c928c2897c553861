"""Computations in a separate process, started by a run or the driver, so that a run's flags and
variables do not affect them and they do not affect the timed process."""

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
    """The stdout of a script of this package that gets a question as JSON and runs with an
    environment. locks: open files that the script's process keeps open. A terminating signal ends
    that process first. Raises Failure, with the last line on stderr, if the script fails."""
    with interrupts_raised():
        ended = subprocess.run(
            [sys.executable, script, json.dumps(asked)],
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            pass_fds=locks,
        )
    if ended.returncode < 0:  # such as a crash in a runtime
        raise Failure(f"its process was terminated by {signal.Signals(-ended.returncode).name}")
    if ended.returncode != 0:
        last_line = ended.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
        reason = last_line.partition(": ")[2]  # after the program's name
        raise Failure(reason or f"exit status {ended.returncode}")
    return ended.stdout


@contextmanager
def only_writer() -> Iterator[BinaryIO]:
    """For such a script: its stdout, from which all other output in the block is kept away."""
    stdout = os.dup(1)
    os.dup2(2, 1)
    with redirect_stdout(sys.stderr), os.fdopen(stdout, "wb") as pipe:
        yield pipe


def without_changing(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment without the variables that may change a network's output."""
    return {
        name: value for name, value in environment.items() if not schema.may_change_output(name)
    }
