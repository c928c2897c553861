"""How much memory is to be had here."""

from pathlib import Path

import psutil

CGROUP = Path("/sys/fs/cgroup")


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
    for file in (CGROUP / "memory.stat", CGROUP / "memory/memory.stat"):
        if file.exists():
            fields = dict(line.split() for line in file.read_text().splitlines())
            return int(fields.get("total_inactive_file", fields.get("inactive_file", 0)))
    return 0


def _number_in(*files: Path) -> int | None:
    """The number in the first of these files that there is; None where there is none, or it says
    that there is no limit."""
    for file in files:
        if file.exists():
            text = file.read_text().strip()
            return int(text) if text.isdigit() else None
    return None
