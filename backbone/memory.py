"""The tensors that an inference pass leaves in memory, by pytorch-memlab."""

import contextlib
import io
import warnings

import torch
from torch import Tensor, nn

from backbone.script import Failure


def load_reporter() -> type:
    """pytorch_memlab's MemReporter. Raises script.Failure where it miscounts. On CUDA its import
    resets the allocator's peak, so this comes before a measured pass; without, it prints a line."""
    with contextlib.redirect_stdout(io.StringIO()):
        from pytorch_memlab import MemReporter
    # 0.3.2 multiplies a storage's bytes by the element size.
    if "Used Memory: 4.00K" not in _format(MemReporter, {"known": torch.zeros(1024)}):
        raise Failure("this pytorch-memlab miscounts; pip install pytorch-memlab==0.3.0")
    return MemReporter


def run_pass(network: nn.Module, image: Tensor) -> int | None:
    """One inference pass; the most bytes that CUDA's allocator held in it, on a CPU None.

    What is left on the device is the network and the image (B, C, H, W).
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


def format_tensors(reporter: type, network: nn.Module, image: Tensor) -> str:
    """MemReporter's verbose table of the network's parameters and buffers and of its `input`,
    whatever else the process has alive.

    A tensor counts as a multiple of 512 bytes, the unit of CUDA's allocator, on any device (one of
    more than 10 MiB can be given up to 1 MiB more, and the report then says that memory differs);
    K and M are 2**10 and 2**20 bytes.
    """
    state = dict(network.named_parameters()) | dict(network.named_buffers())
    return _format(reporter, state | {"input": image})


def _format(reporter: type, tensors: dict[str, Tensor]) -> str:
    # In place of collect_tensor(), which takes all tensors that the garbage collector knows.
    collected = reporter()
    for name, tensor in tensors.items():
        collected.tensor_name[id(tensor)] = name
        collected.device_mapping[tensor.device].append(tensor)
    text = io.StringIO()
    with contextlib.redirect_stdout(text), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "TypedStorage is deprecated")
        collected.get_stats()
        collected.print_stats(verbose=True)
    return text.getvalue()
