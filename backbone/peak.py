"""What an inference pass needs at its worst moment, from shapes alone."""

import weakref
from typing import NamedTuple

import torch
from torch import Tensor, nn

try:
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils.module_tracker import ModuleTracker
except ImportError as error:
    found = f"torch {torch.__version__} lacks what the peak is predicted with ({error})"
    raise ImportError(found) from error

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
        return self.parameters + self.buffers + self.input + self.activations


def predict(network: nn.Module, image: Tensor) -> Peak:
    """The peak of one pass of the stock network on an image (B, C, H, W), in inference mode.

    The pass runs on the meta device, where nothing is computed; the arguments may be on any device
    and stay as they are. The method is that of torch.distributed._tools.mem_tracker: the bytes of
    all live storages, after each operation. A kernel's scratch space, an allocator's rounding and
    a CUDA context come on top.
    """
    parameters = {name: tensor.to("meta") for name, tensor in network.named_parameters()}
    buffers = {name: tensor.to("meta") for name, tensor in network.named_buffers()}
    image = image.to("meta")
    groups = [
        {tensor.untyped_storage() for tensor in tensors}
        for tensors in (parameters.values(), buffers.values(), [image])
    ]
    with torch.inference_mode(), _Activations(network, set().union(*groups)) as activations:
        torch.func.functional_call(network, parameters | buffers, image)
    sizes = [sum(storage.nbytes() for storage in group) for group in groups]
    return Peak(*sizes, activations.peak, activations.operation)


def format_peak(predicted: Peak, measured: int | None, device: str | None) -> str:
    """The peaks as lines of text, in MiB; `measured` is in bytes, on a device of this name, and
    both are None where nothing measures."""
    lines = [f"Peak memory during inference (predicted): {predicted.total / MIB:.1f} MiB"]
    for part in ("parameters", "buffers", "input", "activations"):
        lines.append(f"  {part + ':':<12} {getattr(predicted, part) / MIB:>8.1f} MiB")
    lines.append(f"  at: {predicted.operation}")
    if measured is not None:
        lines.append(
            f"Peak memory during inference (measured on {device}): {measured / MIB:.1f} MiB, "
            f"{measured / predicted.total:.3f} times the prediction"
        )
    return "\n".join(lines) + "\n"


class _Activations(TorchDispatchMode):
    """Follows the storages that the operations of a pass make until each is freed: `peak` is the
    most bytes of them that were live at once, and `operation` where that was."""

    def __init__(self, network: nn.Module, held: set[torch.UntypedStorage]) -> None:
        super().__init__()
        self.network, self.held, self.modules = network, held, ModuleTracker()
        self.live: weakref.WeakSet[torch.UntypedStorage] = weakref.WeakSet()
        self.peak, self.operation = 0, "none"

    def __enter__(self) -> "_Activations":
        self.modules.__enter__()
        return super().__enter__()

    def __exit__(self, *exception) -> None:
        super().__exit__(*exception)
        self.modules.__exit__(*exception)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        outputs = result if isinstance(result, (tuple, list)) else [result]
        self.live |= {output.untyped_storage() for output in outputs if isinstance(output, Tensor)}
        live = sum(storage.nbytes() for storage in self.live if storage not in self.held)
        if live > self.peak:
            path = max(self.modules.parents - {"Global"}, key=len).partition(".")[2]
            module = type(self.network.get_submodule(path)).__name__
            self.peak, self.operation = live, f"{path} ({module}), {func.overloadpacket}".lstrip()
        return result
