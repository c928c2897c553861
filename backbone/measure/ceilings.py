"""The machine's ceilings: peak arithmetic throughput and memory bandwidth."""

from collections.abc import Callable

import torch

from backbone.measure.clocks import Clock
from backbone.record.rows import Ceilings

REPEATS = 8
MATRIX_SIDES = {"cpu": 2048, "cuda": 8192}
COPIED_BYTES = 2**29  # source and copy far exceed the caches


def measure_ceilings(device: torch.device, dtype: torch.dtype, clock: Clock) -> Ceilings:
    """The best of 16 products of square matrices and of 8 copies of 512 MiB in touched memory. Half
    of the products use torch.mm, half a pointwise convolution in channels_last, which runs in
    another library (and perhaps in TF32, as in the network); which is faster depends on the
    machine."""
    with torch.inference_mode():
        product_flops, product_ms = _time_products(device, dtype, clock)
        copy_ms = _time_copies(device, dtype, clock)
    return Ceilings(
        flops_per_second=product_flops / product_ms * 1e3,
        bytes_per_second=2 * COPIED_BYTES / copy_ms * 1e3,
    )


def _time_products(device: torch.device, dtype: torch.dtype, clock: Clock) -> tuple[int, float]:
    """The FLOPs of a product, and the milliseconds of the fastest product."""
    side = MATRIX_SIDES[device.type]
    # Random values: a GPU at its power limit is faster on constant ones.
    a = torch.rand(side, side, device=device, dtype=dtype)
    b = torch.rand(side, side, device=device, dtype=dtype)
    image = a.view(1, side // 32, 32, side).permute(0, 3, 1, 2)  # the products are over pixels
    filters = b.view(side, 1, 1, side).permute(0, 3, 1, 2)
    by_matrix = _least_ms(lambda: torch.mm(a, b), clock)
    by_convolution = _least_ms(lambda: torch.conv2d(image, filters), clock)
    return 2 * side**3, min(by_matrix, by_convolution)


def _time_copies(device: torch.device, dtype: torch.dtype, clock: Clock) -> float:
    """The milliseconds of the fastest copy."""
    source = torch.rand(COPIED_BYTES // dtype.itemsize, device=device, dtype=dtype)
    copy = torch.ones_like(source)
    return _least_ms(lambda: copy.copy_(source), clock)


def _least_ms(operation: Callable[[], object], clock: Clock) -> float:
    for _ in range(REPEATS):
        clock.mark()
        operation()
    clock.mark()
    return min(clock.read())
