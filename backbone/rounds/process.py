"""Child processes: running a command once, terminating it, and reading its stderr."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from typing import BinaryIO

from backbone.command.errors import Failure
from backbone.command.interrupts import signals_held
from backbone.rounds.commands import Command

ENDING_SECONDS = 5  # seconds for a process to exit after SIGTERM or after its last message


def run_once(command: Command, locks: tuple[int, ...]) -> str:
    """Run a command that takes no turns and return its stdout. Raises Failure if it fails."""
    process = None
    try:
        with signals_held():  # until it is known what is to be ended
            process = subprocess.Popen(
                command.words,
                env={**os.environ, **command.environment},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                pass_fds=locks,
                encoding="utf-8",
            )
        stdout, _ = process.communicate()
    finally:
        stop_process(process)
    if process.returncode != 0:
        raise Failure(f"{command.name} failed: {how_it_ended(process.returncode)}")
    return stdout


def stop_process(process: subprocess.Popen | None) -> None:
    """Terminate a process if it is running; a timer with its process group, which contains
    processes that it has started, such as a compiler."""
    if process is None or process.poll() is not None:
        return
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:  # it has no process group yet
            process.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(ENDING_SECONDS)
            break
    with contextlib.suppress(ProcessLookupError):  # processes of its group that are still running
        os.killpg(process.pid, signal.SIGKILL)


def unnamed_file() -> BinaryIO:
    """An unnamed file, in memory if the system supports it, since the disk may be full."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("stderr"), "w+b")
    return tempfile.TemporaryFile()


def read_text(file: BinaryIO) -> str:
    """All text of an open file."""
    file.seek(0)
    return file.read().decode("utf-8", "replace")


def last_words(stderr: BinaryIO) -> str:
    """The last line that a process wrote to stderr, or ""; all lines with PROFILE_DEBUG=1."""
    text = read_text(stderr)
    if os.environ.get("PROFILE_DEBUG") == "1":
        sys.stderr.write(text)
    return text.strip().rpartition("\n")[2]


def how_it_ended(status: int) -> str:
    """A process's exit status in words."""
    if status >= 0:
        return f"exit status {status}"
    names = {number.value: number.name for number in signal.Signals}
    return names.get(-status, f"signal {-status}")
