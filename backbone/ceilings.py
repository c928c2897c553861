"""The machine's two ceilings: how fast it multiplies matrices, and how fast it copies memory."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from backbone.roofline import Ceilings

if TYPE_CHECKING:
    from backbone.timing import Clock


def measure_ceilings(device: torch.device, dtype: torch.dtype, clock: "Clock") -> Ceilings:
    """The best of 30 products of two square matrices, and of 15 copies of 512 MiB, all memory
    touched before; with the process's threads.

    Half of the products are torch.mm's, half a pointwise convolution's in channels_last, which is
    the same product by another library (and may use TF32 where the network's own may): neither is
    the faster one on all machines.
    """

    def least_ms(operation: Callable[[], object]) -> float:
        for _ in range(15):
            clock.mark()
            operation()
        clock.mark()
        return min(clock.read())

    side = {"cpu": 2048, "cuda": 8192}[device.type]  # of the matrices
    copied = 2**29  # bytes: with the copy, far more than the caches hold
    with torch.inference_mode():
        a, b = (torch.ones(side, side, device=device, dtype=dtype) for _ in range(2))
        image = a.view(1, side // 32, 32, side).permute(0, 3, 1, 2)  # pixel by pixel
        filters = b.view(side, 1, 1, side).permute(0, 3, 1, 2)
        source = torch.ones(copied // dtype.itemsize, device=device, dtype=dtype)
        target = torch.ones_like(source)
        products = lambda: torch.mm(a, b), lambda: torch.conv2d(image, filters)
        product_ms = min(least_ms(product) for product in products)
        copy_ms = least_ms(lambda: target.copy_(source))
    return Ceilings(2 * side**3 / product_ms * 1e3, 2 * copied / copy_ms * 1e3)
