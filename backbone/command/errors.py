"""Errors that can be foreseen, and what to tell of them."""

import re

# How torch, oneDNN and cuDNN say what is wrong, and what to do.
OUT_OF_MEMORY = (
    "(?i)out of memory|can't allocate memory|could not create a memory object|bad_alloc"
    "|alloc_failed|storage size calculation overflowed"  # bytes beyond 64 bits
)
ADVICE = {
    "(?i)find an? (engine|valid)": "too little memory (--s), or a cuDNN that does not fit the GPU",
    "not implemented for": "this PyTorch has no such operation here: choose another --dtype",
    "^(CUDA|cuDNN) ": "this torch may not fit the GPU or its driver",
}
CANNOT_BE_CUT = "cannot be cut into operations faithfully"


class Failure(Exception):
    """Something foreseen went wrong; the message says what, and what to do."""


def message_of(error: Exception) -> str | None:
    """What to tell of an error, in one line; None, if nobody has foreseen it."""
    line = str(error).partition("\n")[0]
    if isinstance(error, Failure):
        return line
    if isinstance(error, ImportError):
        return f"{line}; pip install -r requirements.txt installs what is needed"
    if isinstance(error, OSError):
        where = f" ({error.filename})" if error.filename else ""
        return f"cannot go on: {error.strerror or line}{where}"
    if is_out_of_memory(error):
        return "out of memory; a smaller batch (--s) or image (--i) needs less"
    for pattern, advice in ADVICE.items():
        if re.search(pattern, str(error)):
            return f"{line}; {advice}"
    return None


def reason_of(error: BaseException) -> str:
    """The first line of an error's message, after the error's type unless it is a sentence."""
    line = str(error).strip().partition("\n")[0]
    if " " in line:
        return line
    return f"{type(error).__name__}: {line}" if line else type(error).__name__


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error of Python's or of torch's says that memory does not suffice."""
    return isinstance(error, MemoryError) or bool(re.search(OUT_OF_MEMORY, str(error)))
