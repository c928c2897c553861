"""What mem.py reports: the memory that a pass holds, by pytorch-memlab its tensors and from shapes
alone its worst moment; and how a network is built."""

import contextlib
import io
import warnings
from itertools import accumulate
from math import prod
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
    """The peak of a pass on an image (B, C, H, W); nothing is computed. As by torch.distributed's
    mem_tracker, the bytes of all live storages after each operation: a kernel's scratch space, an
    allocator's rounding and a CUDA context come on top."""
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
    """The most bytes that CUDA's allocator holds in a pass on an image (B, C, H, W), after which
    network and image alone are there; None on a CPU, where the pass is run for its errors."""
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
    """The peaks as text, in MiB; `measured` is in bytes, on a device so named, or both are None."""
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
    """MemReporter's verbose table of the network's parameters and buffers and of its `input`. A
    tensor counts as a multiple of 512 bytes, the unit of CUDA's allocator (which may give one of
    more than 10 MiB up to 1 MiB more: "differs"); K and M are 2**10 and 2**20 bytes."""
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


class Layer(NamedTuple):
    """One call of a module: its type, its (first) output's shape, its parameters' elements."""

    type: str
    output_shape: list[int]
    parameters: int


def list_layers(network: nn.Module, image: Tensor) -> tuple[list[Layer], int]:
    """The layers that a pass on an image (B, C, H, W) calls, in order, and its MACs; nothing is
    computed. A parameter counts once: in the first call of its module, or, where a pass does not
    call that (swin_t's linear layers hand out their weights), of the module around it. Containers
    and the network itself are no layers, unless they have such parameters."""
    observer = observe(network, list(image.shape))
    elements = {module: 0 for module, _ in observer.calls}
    owners = {}
    for path, module in network.named_modules():  # outer ones first
        owners[path] = module if module in elements else owners[path.rpartition(".")[0]]
    for name, parameter in network.named_parameters():
        elements[owners[name.rpartition(".")[0]]] += parameter.numel()
    layers = []
    for module, shapes in observer.calls:
        own = elements.pop(module, 0)
        container = module is network or isinstance(module, (nn.Sequential, nn.ModuleList))
        if own or not container:
            layers.append(Layer(type(module).__name__, shapes[0], own))
    return layers, observer.flops // 2


def format_layers(layers: list[Layer], input_shape: list[int]) -> str:
    """The layers as torchsummary 1.5.1 prints them, byte for byte: a batch of one, which stands for
    any, as -1; sizes in MB of 2**20 bytes, 4 bytes an element; every row's output twice."""
    rows = []
    for number, layer in enumerate(layers, start=1):
        batch, *rest = layer.output_shape
        shape = str([-1 if batch == 1 else batch, *rest])
        rows.append(f"{f'{layer.type}-{number}':>20}  {shape:>25} {layer.parameters:>15,}")
    total = sum(layer.parameters for layer in layers)
    elements = prod(input_shape), 2 * sum(prod(layer.output_shape) for layer in layers), total
    image, passes, weights = (count * 4 / 2**20 for count in elements)
    thin, thick, table = "-" * 64, "=" * 64, "\n".join(rows)
    return f"""\
{thin}
{"Layer (type)":>20}  {"Output Shape":>25} {"Param #":>15}
{thick}
{table}
{thick}
Total params: {total:,}
Trainable params: {total:,}
Non-trainable params: 0
{thin}
Input size (MB): {image:.2f}
Forward/backward pass size (MB): {passes:.2f}
Params size (MB): {weights:.2f}
Estimated Total Size (MB): {weights + passes + image:.2f}
{thin}
"""
