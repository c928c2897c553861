"""Denormal values: so near to zero that a CPU may compute with them many times slower.

Trained weights, and what they make of an image, may hold some; random ones hold none.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from backbone.network.outputs import tensors_in

# Of each dtype, integers of its size, and the bits of exponent and fraction in them.
BITS = {
    torch.float32: (torch.int32, 0x7F800000, 0x007FFFFF),
    torch.bfloat16: (torch.int16, 0x7F80, 0x007F),
    torch.float16: (torch.int16, 0x7C00, 0x03FF),
}
AT_ONCE = 2**22  # values, whose bits need memory of their own


@dataclass(frozen=True)
class Denormals:
    """How many values are denormal among a network's weights (its buffers too), and among what the
    operators of a pass give."""

    weights: int
    activations: int


class _Counter(TorchDispatchMode):
    """Counts those in what operators give."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if not func.is_view:
            self.count += sum(map(_count_in, tensors_in(result)))
        return result


def count_denormals(network: nn.Module, image: Tensor) -> Denormals:
    """Those of a network and of a pass on an image (B, C, H, W)."""
    state = [*network.parameters(), *network.buffers()]
    with torch.inference_mode():
        with _Counter() as counter:
            network(image)
        return Denormals(weights=sum(map(_count_in, state)), activations=counter.count)


def _count_in(tensor: Tensor) -> int:
    """How many values of a tensor are denormal, by their bits: arithmetic may take them for 0."""
    if tensor.dtype not in BITS:
        return 0
    integers, exponent, fraction = BITS[tensor.dtype]
    count = 0
    for bits in tensor.detach().view(integers).flatten().split(AT_ONCE):
        count += int(((bits & exponent == 0) & (bits & fraction != 0)).sum())
    return count
