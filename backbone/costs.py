"""What the operations of a pass cost, from shapes alone, and what the machine attains at the most.

Multiply-accumulates are half of the FLOPs that torch.utils.flop_counter counts. Bytes are
those that must be moved at the least: each input, weight and output once, in the network's dtype,
so that an operation in place moves its tensor twice; a view and an inactive dropout move none.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from backbone.roofline import Ceilings

if TYPE_CHECKING:
    from backbone.timing import Clock

WORDS = {  # for modules and functions alike, and for those that work in place, add_ and mul_
    "LayerNorm": "layer norm",
    "layer_norm": "layer norm",
    "Linear": "linear",
    "add": "addition",
    "mul": "multiplication",
    "relu": "ReLU",
    "dropout": "Dropout",
    "Flatten": "flatten",
}


def bytes_moved(
    module: nn.Module | None, inputs: list[Tensor], outputs: list[Tensor], writes: bool
) -> int:
    """The bytes that an operation, of a module or a function (None), must move at the least. One
    whose outputs are in its inputs' memory is a view, unless it `writes` to these."""
    memory = {tensor.untyped_storage()._cdata for tensor in inputs}
    if not writes and all(output.untyped_storage()._cdata in memory for output in outputs):
        return 0
    weights = [] if module is None else [*module.parameters(), *module.buffers()]
    # What is no array, a batch norm's count of batches, takes no part in a pass.
    arrays = [weight for weight in weights if weight.ndim]
    return sum(tensor.nbytes for tensor in (*inputs, *arrays, *outputs))


def kind_of(module: nn.Module | None, function: str) -> str:
    """An operation's kind in the field's words, by the module or by the name of the function that
    it is; its own name where there is no such word."""
    name = function if module is None else type(module).__name__
    if isinstance(module, nn.modules.conv._ConvNd):
        if module.groups == 1:
            pointwise = set(module.kernel_size) == {1}
            return "pointwise convolution" if pointwise else "convolution"
        depthwise = module.groups == module.in_channels
        return "depthwise convolution" if depthwise else "grouped convolution"
    if isinstance(module, nn.modules.batchnorm._BatchNorm):
        return "batch norm"
    if "pool" in name.lower():
        return "pooling"
    return WORDS.get(name.removesuffix("_"), name)


def measure_ceilings(device: torch.device, dtype: torch.dtype, clock: "Clock") -> Ceilings:
    """The best of 30 products of two square matrices, and of 15 copies of 512 MiB, all memory
    touched before. Half of the products are torch.mm's, half a pointwise convolution's in
    channels_last, the same product by another library (and perhaps in TF32, as in the network):
    neither is the faster one on all machines."""

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
