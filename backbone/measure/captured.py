"""Captures stdout, from Python as well as from C libraries."""

import contextlib
import ctypes
import os
import sys
from collections.abc import Iterator

STDOUT = 1  # the file descriptor


@contextlib.contextmanager
def stdout_captured() -> Iterator[bytearray]:
    """Capture the bytes written to stdout in the block; they are complete when it ends. stdout is
    then restored to what it was: a pipe, a file, or closed. Needs Linux."""
    captured = bytearray()
    with os.fdopen(os.memfd_create("stdout"), "rb") as file:
        flush_stdout()
        try:
            stdout = os.dup(STDOUT)
        except OSError:  # closed by the caller
            stdout = None
        os.dup2(file.fileno(), STDOUT)
        try:
            yield captured
        finally:
            flush_stdout()
            if stdout is None:
                os.close(STDOUT)
            else:
                os.dup2(stdout, STDOUT)
                os.close(stdout)
        file.seek(0)
        captured += file.read()


def flush_stdout() -> None:
    """Flush the buffers of Python and of C."""
    sys.stdout.flush()
    ctypes.CDLL(None).fflush(None)


def write_stdout(text: bytes) -> None:
    """Write bytes to the file descriptor, even if Python's sys.stdout is redirected; do nothing if
    the caller has closed stdout."""
    if text and sys.__stdout__ is not None:
        sys.__stdout__.buffer.write(text)
        sys.__stdout__.flush()
