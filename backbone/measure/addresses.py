"""Where a process has its memory: at random addresses, as is usual, or at the same each time.

Source: personality(2) of Linux.
"""

import contextlib
import ctypes
from collections.abc import Iterator
from pathlib import Path

ADDR_NO_RANDOMIZE = 0x0040000  # a flag of a process
AS_IT_IS = 0xFFFFFFFF  # asks for the flags, and changes none


@contextlib.contextmanager
def fixed_addresses() -> Iterator[None]:
    """Programs that are started inside have their memory at addresses that are not random, where
    the system allows that. (It is not done in the new process, after its fork: what Python runs
    there swallows the exception of a signal that comes at that moment.)"""
    personality = getattr(ctypes.CDLL(None), "personality", None)
    if personality is None:
        yield
        return
    before = personality(AS_IT_IS)
    personality(before | ADDR_NO_RANDOMIZE)
    try:
        yield
    finally:
        personality(before)


def has_fixed_addresses() -> bool:
    """Whether this process has been started so; it is not outside of Linux."""
    try:
        flags = int(Path("/proc/self/personality").read_text(), base=16)
    except (OSError, ValueError):
        return False
    return bool(flags & ADDR_NO_RANDOMIZE)
