"""The process's allocator: glibc's, told to keep what is freed, or one that takes its place."""

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
    """Have the C library keep what is freed for the next allocation, however large: to give it back
    and ask for it anew costs a page fault a page. Source: mallopt(3) of glibc. Raises Failure where
    the allocator is not glibc's."""
    M_TRIM_THRESHOLD = -1
    M_MMAP_MAX = -4
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):
        raise Failure("--keep-memory needs glibc's mallopt, which the C library here lacks")
    if _file_of(library.malloc) != _file_of(library.gnu_get_libc_version):
        raise Failure("--keep-memory is of glibc's allocator, and another is in its place here")
    if not (library.mallopt(M_MMAP_MAX, 0) and library.mallopt(M_TRIM_THRESHOLD, -1)):
        raise Failure("--keep-memory: glibc's mallopt has refused")


def _file_of(function: ctypes._CFuncPtr) -> bytes | None:
    """The file of the library that has a function."""
    info = _SymbolInfo()
    ctypes.CDLL(None).dladdr(ctypes.cast(function, ctypes.c_void_p), ctypes.byref(info))
    return info.file


def check_environment() -> None:
    """Raise Failure where what the environment asks of the allocator has not happened, of which the
    loader only warns, or says nothing: a library of LD_PRELOAD that is not there, a tunable of
    GLIBC_TUNABLES that this glibc lacks. Source: ld.so(8)."""
    for library in re.split("[ :]+", os.environ.get("LD_PRELOAD", "")):
        if library and not _is_loaded(library):
            raise Failure(f"LD_PRELOAD={library}: the loader has not loaded it; is it installed?")
    tunables = os.environ.get("GLIBC_TUNABLES", "")
    known = _tunables_of_loader() if tunables else {}
    settings = dict(setting.partition("=")[::2] for setting in filter(None, tunables.split(":")))
    for name, value in settings.items():  # of one that is set twice the last
        setting = f"{name}={value}"
        if known and name not in known:
            raise Failure(f"GLIBC_TUNABLES={setting}: this glibc has no such tunable")
        if known and _number(value) != _number(known[name]):
            raise Failure(f"GLIBC_TUNABLES={setting}: this glibc does not take the value")


def _is_loaded(library: str) -> bool:
    """Whether a library is in this process; also where the system cannot tell."""
    if not hasattr(os, "RTLD_NOLOAD"):
        return True
    try:
        ctypes.CDLL(library, mode=os.RTLD_NOLOAD)
    except OSError:
        return False
    return True


def _tunables_of_loader() -> dict[str, str]:
    """The tunables of this process's glibc, with the values that its environment gives them; none
    where it cannot list them, before 2.33."""
    try:
        loader = re.search(r"/\S*/ld-linux[^/\s]*", Path("/proc/self/maps").read_text())
    except OSError:
        return {}
    if loader is None:
        return {}
    listed = subprocess.run([loader[0], "--list-tunables"], capture_output=True, text=True)
    return dict(re.findall(r"^(\S+): (\S+)", listed.stdout, re.MULTILINE))


def _number(text: str) -> int | str:
    """A tunable's value, which may be written in several ways; if it is no number, as it is."""
    try:
        return int(text, 8 if re.fullmatch("0[0-7]+", text) else 0)
    except ValueError:
        return text
