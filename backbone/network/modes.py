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
    dtype and memory format. Compiling and exporting are left to make_ready, and kept memory to the
    script; what is exported stays in float32, from which the runtime changes it."""
    network = backbone.network
    if mode.fold:
        fold_batch_norm(network)
    network.train(mode.train).to(**_format_of(mode))
    return as_input(image, mode)


def as_input(image: Tensor, mode: Mode) -> Tensor:
    """An image (B, C, H, W) in the dtype and memory format of a mode."""
    return image.to(**_format_of(mode))


def _format_of(mode: Mode) -> dict[str, object]:
    """Arguments of to(), for the tensors of a network and of its input."""
    return {
        "dtype": getattr(torch, mode.dtype) if mode.runtime == PYTORCH else torch.float32,
        "memory_format": torch.channels_last if mode.channels_last else torch.preserve_format,
    }


def fold_batch_norm(network: nn.Module) -> None:
    """Fold each batch norm into the convolution whose output it alone takes, by torch's fuse(), and
    leave nn.Identity in its place. Raises Failure if torch.fx cannot trace the network, if there is
    no batch norm to fold, if one has hooks, which would be lost with it, or if a pass calls its
    convolution more than once, which fuse() would fold as often."""
    from torch.fx import symbolic_trace
    from torch.fx.experimental.optimization import fuse

    try:
        # What tracing would leave in the network itself stays in a copy.
        traced = symbolic_trace(deepcopy(network))
        fused = dict(fuse(traced, no_trace=True).named_modules())
    except Exception as error:  # a forward that branches on values, recurses, calls NumPy, ...
        if is_out_of_memory(error):
            raise
        raise Failure(f"--fold: torch.fx cannot trace this network ({reason_of(error)})") from error
    before = dict(network.named_modules())
    norms = [path for path, module in before.items() if isinstance(module, nn.BatchNorm2d)]
    folded = [path for path in norms if path not in fused]
    if not folded:
        raise Failure("--fold finds no batch norm behind a convolution in this network")
    nodes = [node for node in traced.graph.nodes if node.op == "call_module"]
    calls = Counter(node.target for node in nodes)
    for node in nodes:
        if node.target in folded and calls[node.args[0].target] > 1:
            raise Failure(f"--fold cannot fold {node.target}: its convolution is called twice")
    for path in folded:
        if before[path]._forward_hooks or before[path]._forward_pre_hooks:
            raise Failure(f"--fold would take the hooks of {path} away with it")
    for path in before.keys() & fused.keys():
        if isinstance(fused[path], nn.Conv2d):
            network.set_submodule(path, fused[path])
    for path in folded:
        network.set_submodule(path, nn.Identity())


def make_ready(
    backbone: Backbone, image: Tensor, mode: Mode, quantized: Path | None = None
) -> Backbone:
    """What will run of a network that is in a mode: it is compiled in place, exported, or captured,
    where the mode says so, and then its first pass has run. On a GPU the allocator's peak counts
    from there. quantized: the file of the int8 network, if that is the mode's dtype. Raises Failure
    if it fails."""
    if mode.runtime != PYTORCH:
        network = export_network(backbone.network, image, mode, quantized)
        return replace(backbone, network=network)
    if mode.compile:
        compile_network(backbone.network, image, freeze=mode.freeze)
    if image.is_cuda:  # of what passes hold, without copies that folding, ... made
        torch.cuda.reset_peak_memory_stats(image.device)
    if mode.cuda_graph:
        return replace(backbone, network=GraphNetwork(backbone.network, image))
    return backbone


def compile_network(network: nn.Module, image: Tensor, freeze: bool = False) -> None:
    """Compile a network in place, its weights as constants if they are to be frozen, and run its
    first pass, in which it is compiled; torch's caches are as they are found. Raises Failure where
    torch.compile fails."""
    from torch._dynamo.utils import counters

    before = counters["frames"]["ok"]
    try:
        if freeze:
            from torch._inductor import config

            config.freezing = True  # as an option of compile() Dynamo would not see it
        network.compile()
        with torch.inference_mode(), warnings.catch_warnings():
            # Stock's matrix products do not use them either; METHOD.md says so.
            warnings.filterwarnings("ignore", "TensorFloat32 tensor cores")
            network(image)
        if counters["frames"]["ok"] == before:  # as of a plain nn.Sequential, whose is torch's
            raise RuntimeError("it finds nothing to compile: give the network a forward of its own")
        if image.is_cuda:
            torch.cuda.synchronize(image.device)
    except Exception as error:  # of torch's many compilers, and of what they call
        if is_out_of_memory(error):
            raise
        reason = _reason_of_compiler(error)
        raise Failure(f"--compile: torch.compile fails here ({reason})") from error
    with contextlib.suppress(ImportError):  # the compiler's processes would disturb the passes
        from torch._inductor.async_compile import shutdown_compile_workers

        shutdown_compile_workers()


def _reason_of_compiler(error: Exception) -> str:
    """The line of a compiler's error that tells most, and what to do."""
    # The message says first which of torch's parts raised it, or how long a command was.
    lines = [line for line in str(error).splitlines() if line and not line.endswith("raised:")]
    telling = [line for line in lines if "ompiler found" in line or "error:" in line]
    reason = [*telling, *lines, repr(error)][0]
    if "ompiler found" in reason:
        return f"{reason}; install a C++ compiler, such as g++"
    if " " in torch.__file__:
        return f"{reason}; PyTorch is in a path with spaces, which torch.compile cannot do with"
    return reason
