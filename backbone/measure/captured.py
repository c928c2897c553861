"""What is written to stdout, caught before it gets there: by Python and by C libraries."""

import contextlib
import ctypes
import os
import sys
from collections.abc import Iterator

STDOUT = 1  # its file descriptor, Python's as well as C's


@contextlib.contextmanager
def stdout_captured() -> Iterator[bytearray]:
    """Once its end is reached, the bytes that were written to stdout inside. After it, stdout is
    what it was: a pipe, a file, or closed. It needs Linux."""
    captured = bytearray()
    with os.fdopen(os.memfd_create("stdout"), "rb") as file:
        flush_stdout()
        try:
            stdout = os.dup(STDOUT)
        except OSError:  # the caller has closed it
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
    """Write what the buffers of Python and of C hold."""
    sys.stdout.flush()
    ctypes.CDLL(None).fflush(None)


def write_stdout(text: bytes) -> None:
    """Write bytes as they are, unless the caller has closed stdout; also where Python's own
    prints go elsewhere."""
    if text and sys.__stdout__ is not None:
        sys.__stdout__.buffer.write(text)
        sys.__stdout__.flush()
