"""What an inference pass needs at its worst moment, from shapes alone."""

from itertools import accumulate
from typing import NamedTuple

from torch import Tensor, nn

from backbone.observe import observe

MIB = 2**20


class Peak(NamedTuple):
    """The worst moment of a pass: bytes that are live then, part by part, and the operation."""

    parameters: int
    buffers: int
    input: int
    activations: int
    operation: str

    @property
    def total(self) -> int:
        """All bytes together."""
        return sum(self[:4])


def predict(network: nn.Module, image: Tensor) -> Peak:
    """The peak of one pass of the stock network on an image (B, C, H, W), in inference mode.

    Nothing is computed, and both stay as they are. The method is that of
    torch.distributed._tools.mem_tracker: the bytes of all live storages, after each operation. A
    kernel's scratch space, an allocator's rounding and a CUDA context come on top.
    """
    observer = observe(network, list(image.shape))
    changes = [0] * (len(observer.operators) + 2)
    for size, made, freed in observer.storages:
        changes[made] += size
        changes[freed + 1] -= size
    live = list(accumulate(changes))
    activations = max(live)
    worst = live.index(activations) - 1  # after this operator
    module, operator = observer.owners[worst], observer.operators[worst][0].overloadpacket
    path = next(path for path, each in network.named_modules() if each is module)
    return Peak(
        sum(tensor.nbytes for tensor in network.parameters()),
        sum(tensor.nbytes for tensor in network.buffers()),
        image.nbytes,
        activations,
        f"{path} ({type(module).__name__}), {operator}".lstrip(),
    )


def format_peak(predicted: Peak, measured: int | None, device: str | None) -> str:
    """The peaks as lines of text, in MiB; `measured` is in bytes, on a device of this name, and
    both are None where nothing measures."""
    lines = [f"Peak memory during inference (predicted): {predicted.total / MIB:.1f} MiB"]
    for part in ("parameters", "buffers", "input", "activations"):
        lines.append(f"  {part + ':':<12} {getattr(predicted, part) / MIB:>8.1f} MiB")
    lines.append(f"  at: {predicted.operation}")
    if measured is not None:
        found = f"{measured / MIB:.1f} MiB, {measured / predicted.total:.3f} times the prediction"
        lines.append(f"Peak memory during inference (measured on {device}): {found}")
    return "\n".join(lines) + "\n"
