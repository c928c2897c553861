"""Caches shared by the processes of a measurement, empty at its start."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from backbone.measure.quantized import CACHE

COMPILED = "TORCHINDUCTOR_CACHE_DIR"


@contextmanager
def empty_caches() -> Iterator[dict[str, str]]:
    """Environment variables for temporary folders in which the processes of a measurement keep int8
    networks and torch.compile's results."""
    with tempfile.TemporaryDirectory(prefix="profile-") as folder:
        yield {CACHE: folder, COMPILED: f"{folder}/compiled"}


def cache_of_round(variables: Mapping[str, str], number: int) -> dict[str, str]:
    """The same variables, with an empty cache of torch.compile for this round. On a GPU it tries
    kernels and keeps the fastest; one choice made by noise should not determine all rounds."""
    return {**variables, COMPILED: f"{variables[COMPILED]}-{number:03}"} if variables else {}
