"""The process's allocator: glibc's, set to keep freed memory, or a replacement."""

import ctypes
import os
import re
import subprocess
from pathlib import Path

from backbone.command.errors import Failure


class _SymbolInfo(ctypes.Structure):
    """Dl_info of dladdr(3)."""

    _fields_ = [
        ("file", ctypes.c_char_p),
        ("base", ctypes.c_void_p),
        ("name", ctypes.c_char_p),
        ("address", ctypes.c_void_p),
    ]


def keep_freed_memory() -> None:
    """Set glibc to keep all freed memory for later allocations. Returning it to the system would
    cost a page fault per page at its next use. Source: mallopt(3). Raises Failure if the allocator
    is not glibc's."""
    M_TRIM_THRESHOLD = -1
    M_MMAP_MAX = -4
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):
        raise Failure("--keep-memory needs glibc's mallopt, which the C library here lacks")
    if _file_of(library.malloc) != _file_of(library.gnu_get_libc_version):
        raise Failure("--keep-memory needs glibc's allocator, which another one replaces here")
    if not (library.mallopt(M_MMAP_MAX, 0) and library.mallopt(M_TRIM_THRESHOLD, -1)):
        raise Failure("--keep-memory: glibc's mallopt failed")


def _file_of(function: ctypes._CFuncPtr) -> bytes | None:
    """The file of the library that defines a function."""
    info = _SymbolInfo()
    ctypes.CDLL(None).dladdr(ctypes.cast(function, ctypes.c_void_p), ctypes.byref(info))
    return info.file


def check_environment() -> None:
    """Raise Failure if the environment's settings of the allocator had no effect, which the loader
    reports as a warning or not at all: a missing library in LD_PRELOAD, a tunable in GLIBC_TUNABLES
    that this glibc does not have. Source: ld.so(8)."""
    for library in re.split("[ :]+", os.environ.get("LD_PRELOAD", "")):
        if library and not _is_loaded(library):
            raise Failure(f"LD_PRELOAD={library}: the loader did not load it; is it installed?")
    tunables = os.environ.get("GLIBC_TUNABLES", "")
    known = _tunables_of_loader() if tunables else {}
    settings = dict(setting.partition("=")[::2] for setting in filter(None, tunables.split(":")))
    for name, value in settings.items():  # if it is set twice, the last value counts
        setting = f"{name}={value}"
        if known and name not in known:
            raise Failure(f"GLIBC_TUNABLES={setting}: this glibc has no such tunable")
        if known and _number(value) != _number(known[name]):
            raise Failure(f"GLIBC_TUNABLES={setting}: this glibc does not accept the value")


def _is_loaded(library: str) -> bool:
    """Whether a library is loaded in this process; True if the system cannot tell."""
    if not hasattr(os, "RTLD_NOLOAD"):
        return True
    try:
        ctypes.CDLL(library, mode=os.RTLD_NOLOAD)
    except OSError:
        return False
    return True


def _tunables_of_loader() -> dict[str, str]:
    """The tunables of this process's glibc and their values in its environment; empty before glibc
    2.33, which cannot list them."""
    try:
        loader = re.search(r"/\S*/ld-linux[^/\s]*", Path("/proc/self/maps").read_text())
    except OSError:
        return {}
    if loader is None:
        return {}
    listed = subprocess.run([loader[0], "--list-tunables"], capture_output=True, text=True)
    return dict(re.findall(r"^(\S+): (\S+)", listed.stdout, re.MULTILINE))


def _number(text: str) -> int | str:
    """A tunable's value as a number, which has several spellings, or unchanged if it is none."""
    try:
        return int(text, 8 if re.fullmatch("0[0-7]+", text) else 0)
    except ValueError:
        return text
