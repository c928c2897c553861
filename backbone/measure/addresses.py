"""Address space randomization, which can be switched off for new processes.

Source: personality(2) of Linux.
"""

import contextlib
import ctypes
from collections.abc import Iterator
from pathlib import Path

ADDR_NO_RANDOMIZE = 0x0040000  # disables randomization
AS_IT_IS = 0xFFFFFFFF  # queries the flags without changing any


@contextlib.contextmanager
def fixed_addresses() -> Iterator[None]:
    """Disable address space randomization for programs started in the block, if the system allows
    it. (Not in the new process after its fork: Python's code there swallows the exception of a
    signal that arrives at that moment.)"""
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
    """Whether this process runs without address space randomization; False outside Linux."""
    try:
        flags = int(Path("/proc/self/personality").read_text(), base=16)
    except (OSError, ValueError):
        return False
    return bool(flags & ADDR_NO_RANDOMIZE)
