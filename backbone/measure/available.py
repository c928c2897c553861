"""What is to be had here: processors and memory."""

import os
from pathlib import Path

import psutil

CGROUP = Path("/sys/fs/cgroup")


def available_processors() -> int:
    """How many logical processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def available_bytes() -> int:
    """What new processes can have: of the machine's memory and, in a container of Linux, of what
    its control group may still take."""
    available = psutil.virtual_memory().available
    limit = _number_in(CGROUP / "memory.max", CGROUP / "memory/memory.limit_in_bytes")
    taken = _number_in(CGROUP / "memory.current", CGROUP / "memory/memory.usage_in_bytes")
    if limit is None or taken is None:
        return available
    return min(available, limit - taken + _cached_bytes())


def _cached_bytes() -> int:
    """What of the control group's memory is files' content that is given up where it is needed."""
    text = _text_of(CGROUP / "memory.stat", CGROUP / "memory/memory.stat") or ""
    fields = dict(line.split() for line in text.splitlines())
    return int(fields.get("total_inactive_file", fields.get("inactive_file", 0)))


def _number_in(*files: Path) -> int | None:
    """The number in the first of these files that there is; None where there is none, or it says
    that there is no limit."""
    text = (_text_of(*files) or "").strip()
    return int(text) if text.isdigit() else None


def _text_of(*files: Path) -> str | None:
    """The text of the first of these files that there is; None where there is none."""
    return next((file.read_text() for file in files if file.exists()), None)
