"""The modes that a network can run in."""

import contextlib
import warnings
from collections import Counter
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from backbone.command.errors import Failure, is_out_of_memory, reason_of
from backbone.command.options import PYTORCH, Mode
from backbone.network.build import Backbone
from backbone.network.cuda_graph import GraphNetwork
from backbone.network.runtimes import export_network


def apply_mode(backbone: Backbone, image: Tensor, mode: Mode) -> Tensor:
    """Put a stock network into a mode, in place, and return the image (B, C, H, W) in the mode's
    dtype and memory format. make_ready() compiles and exports; the script sets up memory kept. A
    network to be exported stays in float32; the runtime converts it."""
    network = backbone.network
    if mode.fold:
        fold_batch_norm(network)
    network.train(mode.train).to(**_format_of(mode))
    return as_input(image, mode)


def as_input(image: Tensor, mode: Mode) -> Tensor:
    """An image (B, C, H, W), converted to the dtype and memory format of a mode."""
    return image.to(**_format_of(mode))


def _format_of(mode: Mode) -> dict[str, object]:
    """The arguments of to() for a network and its input."""
    return {
        "dtype": getattr(torch, mode.dtype) if mode.runtime == PYTORCH else torch.float32,
        "memory_format": torch.channels_last if mode.channels_last else torch.preserve_format,
    }


def fold_batch_norm(network: nn.Module) -> None:
    """Fold each batch norm that is the only consumer of a convolution into it, by torch's fuse(),
    and replace it by nn.Identity. Raises Failure if torch.fx cannot trace the network, if there is
    no batch norm to fold, if one has hooks, which would be lost, or if a pass calls its convolution
    more than once, in which case fuse() would fold it repeatedly."""
    from torch.fx import symbolic_trace
    from torch.fx.experimental.optimization import fuse

    try:
        # Tracing may leave attributes behind, so it runs on a copy.
        traced = symbolic_trace(deepcopy(network))
        fused = dict(fuse(traced, no_trace=True).named_modules())
    except Exception as error:  # a forward may branch on values, recurse, call NumPy, ...
        if is_out_of_memory(error):
            raise
        raise Failure(f"--fold: torch.fx cannot trace this network ({reason_of(error)})") from error
    before = dict(network.named_modules())
    norms = [path for path, module in before.items() if isinstance(module, nn.BatchNorm2d)]
    folded = [path for path in norms if path not in fused]
    if not folded:
        raise Failure("--fold: this network has no batch norm after a convolution")
    nodes = [node for node in traced.graph.nodes if node.op == "call_module"]
    calls = Counter(node.target for node in nodes)
    for node in nodes:
        if node.target in folded and calls[node.args[0].target] > 1:
            raise Failure(
                f"--fold cannot fold {node.target}: its convolution is called more than once"
            )
    for path in folded:
        if before[path]._forward_hooks or before[path]._forward_pre_hooks:
            raise Failure(f"--fold would remove the hooks of {path}")
    for path in before.keys() & fused.keys():
        if isinstance(fused[path], nn.Conv2d):
            network.set_submodule(path, fused[path])
    for path in folded:
        network.set_submodule(path, nn.Identity())


def make_ready(
    backbone: Backbone, image: Tensor, mode: Mode, quantized: Path | None = None
) -> Backbone:
    """The network to be timed: compiled in place, exported or captured, if the mode asks for it,
    and run once. On a GPU, the allocator's peak is reset just before that first pass. quantized:
    the file of the int8 network, if that is the mode's dtype. Raises Failure if any of this
    fails."""
    if mode.runtime != PYTORCH:
        network = export_network(backbone.network, image, mode, quantized)
        return replace(backbone, network=network)
    if mode.compile:
        compile_network(backbone.network, image, freeze=mode.freeze)
    if image.is_cuda:  # the peak of passes, without copies made by folding, ...
        torch.cuda.reset_peak_memory_stats(image.device)
    if mode.cuda_graph:
        return replace(backbone, network=GraphNetwork(backbone.network, image))
    return backbone


def compile_network(network: nn.Module, image: Tensor, freeze: bool = False) -> None:
    """Compile a network in place and run its first pass, in which compilation happens. freeze:
    treat weights as constants. torch's caches are used as found. Raises Failure if torch.compile
    fails."""
    from torch._dynamo.utils import counters

    before = counters["frames"]["ok"]
    try:
        if freeze:
            from torch._inductor import config

            config.freezing = True  # Dynamo would not see it as an option of compile()
        network.compile()
        with torch.inference_mode(), warnings.catch_warnings():
            # Stock does not use them for matrix products either; see METHOD.md.
            warnings.filterwarnings("ignore", "TensorFloat32 tensor cores")
            network(image)
        if (
            counters["frames"]["ok"] == before
        ):  # such as a plain nn.Sequential, whose forward is torch's
            raise RuntimeError("there is nothing to compile: define a forward() for the network")
        if image.is_cuda:
            torch.cuda.synchronize(image.device)
    except Exception as error:  # from any of torch's compilers and what they call
        if is_out_of_memory(error):
            raise
        reason = _reason_of_compiler(error)
        raise Failure(f"--compile: torch.compile fails here ({reason})") from error
    with contextlib.suppress(
        ImportError
    ):  # the compiler's worker processes would disturb the passes
        from torch._inductor.async_compile import shutdown_compile_workers

        shutdown_compile_workers()


def _reason_of_compiler(error: Exception) -> str:
    """The most informative line of a compiler's error, and what to do."""
    # The message begins with the part of torch that raised it, or with a long command.
    lines = [line for line in str(error).splitlines() if line and not line.endswith("raised:")]
    telling = [line for line in lines if "ompiler found" in line or "error:" in line]
    reason = [*telling, *lines, repr(error)][0]
    if "ompiler found" in reason:
        return f"{reason}; install a C++ compiler, such as g++"
    if " " in torch.__file__:
        return f"{reason}; PyTorch's path contains spaces, which torch.compile does not support"
    return reason
