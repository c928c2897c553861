"""What a pass holds in memory: tensors by pytorch-memlab, the worst moment from shapes alone."""

import contextlib
import io
import warnings
from itertools import accumulate
from typing import NamedTuple

import torch
from torch import Tensor, nn

from backbone.observe import observe
from backbone.script import Failure

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


def predict_peak(network: nn.Module, image: Tensor) -> Peak:
    """The peak of one pass on an image (B, C, H, W), in inference mode; nothing is computed. As by
    torch.distributed._tools.mem_tracker, it is the bytes of all live storages after each operation:
    a kernel's scratch space, an allocator's rounding and a CUDA context come on top."""
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


def measure_peak(network: nn.Module, image: Tensor) -> int | None:
    """The most bytes that CUDA's allocator holds in one pass on an image (B, C, H, W), after which
    network and image alone are on the device; None on a CPU, where the pass is run for its errors.
    """
    if image.is_cuda:
        torch.cuda.reset_peak_memory_stats(image.device)
    with torch.inference_mode():
        network(image)
    if not image.is_cuda:
        return None
    torch.cuda.synchronize(image.device)
    # cuBLAS's workspace outlives the pass and counts as allocated, but is no tensor. Without this
    # private call the report would say that its total and the allocator's differ.
    getattr(torch._C, "_cuda_clearCublasWorkspaces", lambda: None)()
    return torch.cuda.max_memory_allocated(image.device)


def format_peak(predicted: Peak, measured: int | None, device: str | None) -> str:
    """The peaks as lines of text, in MiB; `measured` is in bytes, on a device of this name, and
    both are None where nothing measures."""
    lines = [f"Peak memory during inference (predicted): {predicted.total / MIB:.1f} MiB"]
    for part, size in zip(predicted._fields[:4], predicted, strict=False):
        lines.append(f"  {part + ':':<12} {size / MIB:>8.1f} MiB")
    lines.append(f"  at: {predicted.operation}")
    if measured is not None:
        found = f"{measured / MIB:.1f} MiB, {measured / predicted.total:.3f} times the prediction"
        lines.append(f"Peak memory during inference (measured on {device}): {found}")
    return "\n".join(lines)


def load_reporter() -> type:
    """pytorch_memlab's MemReporter. Raises script.Failure where it miscounts. On CUDA its import
    resets the allocator's peak, so this comes before a measured pass; without, it prints a line."""
    with contextlib.redirect_stdout(io.StringIO()):
        from pytorch_memlab import MemReporter
    # 0.3.2 multiplies a storage's bytes by the element size.
    if "Used Memory: 4.00K" not in format_tensors(MemReporter, nn.Module(), torch.zeros(1024)):
        raise Failure("this pytorch-memlab miscounts; pip install pytorch-memlab==0.3.0")
    return MemReporter


def format_tensors(reporter: type, network: nn.Module, image: Tensor) -> str:
    """MemReporter's verbose table of the network's parameters and buffers and of its `input`,
    whatever else is alive. A tensor counts as a multiple of 512 bytes, the unit of CUDA's allocator
    (which may give one of more than 10 MiB up to 1 MiB more; the report then says that memory
    differs); K and M are 2**10 and 2**20 bytes."""
    # In place of collect_tensor(), which takes all tensors that the garbage collector knows.
    collected = reporter()
    state = [*network.named_parameters(), *network.named_buffers()]
    for name, tensor in [*state, ("input", image)]:
        collected.tensor_name[id(tensor)] = name
        collected.device_mapping[tensor.device].append(tensor)
    text = io.StringIO()
    with contextlib.redirect_stdout(text), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "TypedStorage is deprecated")
        collected.get_stats()
        collected.print_stats(verbose=True)
    return text.getvalue()
