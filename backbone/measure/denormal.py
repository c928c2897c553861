"""Denormal values: so close to zero that a CPU may compute with them many times slower.

Trained weights and their activations may contain some; random weights contain none.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from backbone.network.outputs import tensors_in

# For each dtype: the integer type of its size, and the bits of exponent and fraction.
BITS = {
    torch.float32: (torch.int32, 0x7F800000, 0x007FFFFF),
    torch.bfloat16: (torch.int16, 0x7F80, 0x007F),
    torch.float16: (torch.int16, 0x7C00, 0x03FF),
}
AT_ONCE = 2**22  # values at a time, since their bits need extra memory


@dataclass(frozen=True)
class Denormals:
    """The number of denormal values in a network's weights (including buffers) and in the outputs
    of the operators of a pass."""

    weights: int
    activations: int


class _Counter(TorchDispatchMode):
    """Counts denormal values in the outputs of operators."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if not func.is_view:
            self.count += sum(map(_count_in, tensors_in(result)))
        return result


def count_denormals(network: nn.Module, image: Tensor) -> Denormals:
    """The denormal values of a network and of its pass on an image (B, C, H, W)."""
    state = [*network.parameters(), *network.buffers()]
    with torch.inference_mode():
        with _Counter() as counter:
            network(image)
        return Denormals(weights=sum(map(_count_in, state)), activations=counter.count)


def _count_in(tensor: Tensor) -> int:
    """The number of denormal values in a tensor, by their bits, since arithmetic may flush them to
    0."""
    if tensor.dtype not in BITS:
        return 0
    integers, exponent, fraction = BITS[tensor.dtype]
    count = 0
    for bits in tensor.detach().view(integers).flatten().split(AT_ONCE):
        count += int(((bits & exponent == 0) & (bits & fraction != 0)).sum())
    return count
