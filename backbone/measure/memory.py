"""Memory of a pass: its tensors, by pytorch-memlab, and its peak, predicted from shapes."""

import contextlib
import io
import warnings
from itertools import accumulate

import torch
from torch import Tensor, nn

from backbone.command.errors import Failure
from backbone.record.memory_record import Peak, TensorSize
from backbone.trace.meta import copy_on_meta
from backbone.trace.observe import observe


def predict_peak(network: nn.Module, image: Tensor) -> Peak:
    """The peak memory of a pass on an image (B, C, H, W), without computing it: the largest sum of
    the bytes of all live storages after an operator, as in torch.distributed's mem_tracker. It
    excludes kernels' scratch space, the allocator's rounding, and a CUDA context."""
    network = copy_on_meta(network)
    observer = observe(network, list(image.shape))
    end = len(observer.operators)
    changes = [0] * (end + 2)
    for storage in observer.storages.made:
        freed = end if storage.freed is None else storage.freed  # kept for later passes
        changes[storage.made] += storage.size
        changes[freed + 1] -= storage.size
    live = list(accumulate(changes))
    activations = max(live)
    worst = live.index(activations) - 1  # after this operator
    module = observer.owners[worst]
    operator = observer.operators[worst].function.overloadpacket
    path = next(path for path, each in network.named_modules() if each is module)
    return Peak(
        parameters=sum(tensor.nbytes for tensor in network.parameters()),
        buffers=sum(tensor.nbytes for tensor in network.buffers()),
        input=image.nbytes,
        activations=activations,
        operation=f"{path} ({type(module).__name__}), {operator}".lstrip(),
    )


def measure_peak(network: nn.Module, image: Tensor) -> int | None:
    """The peak bytes of CUDA's allocator in a pass on an image (B, C, H, W), after which only the
    network and the image remain. None on a CPU, where the pass only shows whether it fails."""
    if image.is_cuda:
        torch.cuda.reset_peak_memory_stats(image.device)
    with torch.inference_mode():
        network(image)
    if not image.is_cuda:
        return None
    torch.cuda.synchronize(image.device)
    # cuBLAS's workspace outlives the pass and counts as allocated, but is not a tensor. Without
    # this private call the report would state a difference from the allocator's total.
    getattr(torch._C, "_cuda_clearCublasWorkspaces", lambda: None)()
    return torch.cuda.max_memory_allocated(image.device)


def load_reporter() -> type:
    """pytorch_memlab's MemReporter. Raises Failure if this version miscounts. Its import resets the
    peak of CUDA's allocator, so call this before a measured pass; without CUDA it prints a
    line."""
    with contextlib.redirect_stdout(io.StringIO()):
        from pytorch_memlab import MemReporter
    # 0.3.2 multiplies a storage's bytes by the element size.
    (known,) = list_tensors(MemReporter, nn.Module(), torch.zeros(1024))
    if known.allocated_bytes != 4096:
        raise Failure("this pytorch-memlab miscounts; pip install pytorch-memlab==0.3.0")
    return MemReporter


def list_tensors(reporter: type, network: nn.Module, image: Tensor) -> list[TensorSize]:
    """MemReporter's entries for the network's parameters and buffers and its `input`, all on one
    device. A tensor's size is rounded up to 512 bytes, the unit of CUDA's allocator (which may use
    up to 1 MiB more for a tensor above 10 MiB)."""
    # Replaces collect_tensor(), which takes all tensors that the garbage collector knows.
    collected = reporter()
    state = [*network.named_parameters(), *network.named_buffers()]
    for name, tensor in [*state, ("input", image)]:
        collected.tensor_name[id(tensor)] = name
        collected.device_mapping[tensor.device].append(tensor)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "TypedStorage is deprecated")
        collected.get_stats()
    return [
        TensorSize(name=name, shape=list(shape), elements=elements, allocated_bytes=size)
        for name, shape, elements, size in collected.device_tensor_stat[image.device]
    ]
