"""Caches that the processes of one measurement share, and that are empty at its start."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from backbone.measure.quantized import CACHE


@contextmanager
def empty_caches() -> Iterator[dict[str, str]]:
    """Variables for the environment of its processes, by which networks in int8 and what
    torch.compile makes are kept for the next process, and are gone at the end."""
    with tempfile.TemporaryDirectory(prefix="profile-") as folder:
        yield {CACHE: folder, "TORCHINDUCTOR_CACHE_DIR": f"{folder}/compiled"}
