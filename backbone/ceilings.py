"""The machine's two ceilings: how fast it multiplies matrices, and how fast it copies memory."""

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from backbone.roofline import Ceilings
from backbone.script import is_out_of_memory

if TYPE_CHECKING:
    from backbone.timing import Clock

SIDES = {"cpu": 2048, "cuda": 8192}  # of the matrices
COPIED = 2**29  # bytes: with the copy, far more than the caches hold
REPEATS = 15


def measure_ceilings(device: torch.device, dtype: torch.dtype, clock: "Clock") -> Ceilings | None:
    """The best of 15 products of two square matrices, and of 15 copies of 512 MiB, all memory
    touched before; with the process's threads. None where the memory does not suffice.

    Side of the matrices: 2048 on a CPU, 8192 on a GPU, which may use TF32 where convolutions may.
    """
    side = SIDES[device.type]
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    allowed = matmul.allow_tf32
    try:
        with torch.inference_mode():
            a, b, product = (torch.ones(side, side, device=device, dtype=dtype) for _ in range(3))
            source = torch.ones(COPIED // dtype.itemsize, device=device, dtype=dtype)
            target = torch.ones_like(source)
            if device.type == "cuda":
                warnings.filterwarnings("ignore", "Please use the new API settings to control TF32")
                matmul.allow_tf32 = cudnn.allow_tf32
            matmul_ms = _least(lambda: torch.mm(a, b, out=product), clock)
            copy_ms = _least(lambda: target.copy_(source), clock)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        return None
    finally:
        if device.type == "cuda":
            matmul.allow_tf32 = allowed
    return Ceilings(2 * side**3 / matmul_ms * 1e3, 2 * COPIED / copy_ms * 1e3)


def _least(operation: Callable[[], object], clock: "Clock") -> float:
    """The least time of an operation, in milliseconds."""
    for _ in range(REPEATS):
        clock.mark()
        operation()
    clock.mark()
    return min(clock.read())
