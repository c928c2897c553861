"""Caches that the processes of one measurement share, and that are empty at its start."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from backbone.measure.quantized import CACHE

COMPILED = "TORCHINDUCTOR_CACHE_DIR"


@contextmanager
def empty_caches() -> Iterator[dict[str, str]]:
    """Variables for the environment of its processes, by which networks in int8 and what
    torch.compile makes are kept for the next process, and are gone at the end."""
    with tempfile.TemporaryDirectory(prefix="profile-") as folder:
        yield {CACHE: folder, COMPILED: f"{folder}/compiled"}


def cache_of_round(variables: Mapping[str, str], number: int) -> dict[str, str]:
    """The same with an empty cache for what torch.compile makes in a round. On a GPU it tries
    kernels and keeps the fastest: what noise made it choose once is not to decide all rounds."""
    return {**variables, COMPILED: f"{variables[COMPILED]}-{number:03}"} if variables else {}
