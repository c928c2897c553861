"""Processors, memory and packages available to this process."""

import os
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

CGROUP = Path("/sys/fs/cgroup")


def available_processors() -> int:
    """The number of logical processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def quota_of_processors() -> float | None:
    """The CPU quota of this process's control group, in processors; None if there is no quota, or
    outside Linux."""
    limits = [_number_of_processors(folder) for folder in _control_groups()]
    return min((limit for limit in limits if limit is not None), default=None)


def _control_groups() -> list[Path]:
    """The folders of this process's control group and its parent groups."""
    lines = (_text_of(Path("/proc/self/cgroup")) or "").splitlines()
    own = next((line.split(":", 2)[2] for line in lines if line.startswith("0::")), "/")
    folder = CGROUP / own.lstrip("/")
    around = [path for path in folder.parents if path.is_relative_to(CGROUP)]
    return [CGROUP / "cpu", folder, *around]


def _number_of_processors(folder: Path) -> float | None:
    """The quota of one control group, in processors; None if it has none."""
    words = (_text_of(folder / "cpu.max") or "").split()
    if not words:  # version 1
        files = (folder / "cpu.cfs_quota_us", folder / "cpu.cfs_period_us")
        words = [(_text_of(file) or "").strip() for file in files]
    if not all(word.isdigit() for word in words):  # "max", or -1
        return None
    quota, period = map(int, words)
    return quota / period


def available_bytes() -> int:
    """The bytes available to new processes: the machine's free memory or, if less, what a Linux
    container's control group still allows."""
    available = psutil.virtual_memory().available
    limit = _number_in(CGROUP / "memory.max", CGROUP / "memory/memory.limit_in_bytes")
    taken = _number_in(CGROUP / "memory.current", CGROUP / "memory/memory.usage_in_bytes")
    if limit is None or taken is None:
        return available
    return min(available, limit - taken + _cached_bytes())


def _cached_bytes() -> int:
    """The control group's page cache, which is reclaimed when memory is needed."""
    text = _text_of(CGROUP / "memory.stat", CGROUP / "memory/memory.stat") or ""
    fields = dict(line.split() for line in text.splitlines())
    return int(fields.get("total_inactive_file", fields.get("inactive_file", 0)))


def _number_in(*files: Path) -> int | None:
    """The number in the first of these files that exists; None if none exists or the file says that
    there is no limit."""
    text = (_text_of(*files) or "").strip()
    return int(text) if text.isdigit() else None


def _text_of(*files: Path) -> str | None:
    """The text of the first of these files that exists; None if none exists."""
    return next((file.read_text() for file in files if file.exists()), None)


def version_of(package: str) -> str:
    """The version of an installed package; "none" if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"
