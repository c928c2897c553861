"""Foreseeable errors, and the messages that users see."""

import re

# Messages of torch, oneDNN and cuDNN, and what to do about them.
OUT_OF_MEMORY = (
    "(?i)out of memory|can't allocate memory|could not create a memory object|bad_alloc"
    "|alloc_failed|storage size calculation overflowed"  # bytes beyond 64 bits
)
ADVICE = {
    "(?i)find an? (engine|valid)": "too little GPU memory (see --s), or cuDNN does not support it",
    "not implemented for": "this PyTorch does not implement it: choose another --dtype",
    "^(CUDA|cuDNN) ": "this PyTorch may not support the GPU or its driver",
}
CANNOT_BE_CUT = "cannot be cut into operations faithfully"


class Failure(Exception):
    """A foreseeable error; the message says what happened and what to do."""


def message_of(error: Exception) -> str | None:
    """The one-line message for an error; None if the error is unforeseen."""
    line = str(error).partition("\n")[0]
    if isinstance(error, Failure):
        return line
    if isinstance(error, ImportError):
        return f"{line}; 'pip install -r requirements.txt' installs it"
    if isinstance(error, OSError):
        where = f" ({error.filename})" if error.filename else ""
        return f"cannot continue: {error.strerror or line}{where}"
    if is_out_of_memory(error):
        return "out of memory; a smaller batch (--s) or image (--i) needs less"
    for pattern, advice in ADVICE.items():
        if re.search(pattern, str(error)):
            return f"{line}; {advice}"
    return None


def reason_of(error: BaseException) -> str:
    """The first line of an error's message, preceded by the error's type unless it is a
    sentence."""
    line = str(error).strip().partition("\n")[0]
    if " " in line:
        return line
    return f"{type(error).__name__}: {line}" if line else type(error).__name__


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error from Python or torch means that memory ran out."""
    return isinstance(error, MemoryError) or bool(re.search(OUT_OF_MEMORY, str(error)))
