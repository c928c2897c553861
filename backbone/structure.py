"""How a network is built: a row for each layer, as torchsummary prints it, and its MACs."""

from math import prod
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook
from torch.utils.flop_counter import FlopCounterMode

from backbone.observe import tensors_in

MB = 2**20  # as torchsummary has it


class Layer(NamedTuple):
    """One call of a module: its type, its (first) output's shape, its parameters' elements."""

    type: str
    output_shape: list[int]
    parameters: int
    trainable: bool


def list_layers(network: nn.Module, image: Tensor) -> tuple[list[Layer], int]:
    """The layers that one pass on an image (B, C, H, W) calls, in order, and the pass's MACs.

    A parameter counts once: in the first call of its module, or, where a pass does not call that
    (swin_t's linear layers hand out their weights), of the module around it. Containers and the
    network itself are no layers, unless they have such parameters. With both on the meta device
    nothing is computed, and the cost does not depend on the image's size. Multiply-accumulates are
    half of the operations that torch.utils.flop_counter counts: 1 MAC = 2 FLOPs.
    """
    calls: list[tuple[nn.Module, list[int]]] = []

    def record(module: nn.Module, args: tuple, output: object) -> None:
        calls.append((module, list(tensors_in(output)[0].shape)))

    counter = FlopCounterMode(display=False)
    with register_module_forward_hook(record), torch.inference_mode(), counter:
        network(image)
    parameters = _parameters_of(network, {module for module, _ in calls})
    layers = []
    for module, shape in calls:
        own = parameters.pop(module, [])
        container = module is network or isinstance(module, (nn.Sequential, nn.ModuleList))
        if own or not container:
            elements = sum(tensor.numel() for tensor in own)
            trainable = any(tensor.requires_grad for tensor in own)
            layers.append(Layer(type(module).__name__, shape, elements, trainable))
    return layers, counter.get_total_flops() // 2


def _parameters_of(
    network: nn.Module, called: set[nn.Module]
) -> dict[nn.Module, list[nn.Parameter]]:
    """Every parameter under the innermost called module around it."""
    owners, parameters = {}, {}
    for path, module in network.named_modules():  # outer ones first
        owners[path] = module if module in called else owners[path.rpartition(".")[0]]
    for name, parameter in network.named_parameters():
        parameters.setdefault(owners[name.rpartition(".")[0]], []).append(parameter)
    return parameters


def format_layers(layers: list[Layer], input_shape: list[int]) -> str:
    """The layers as torchsummary 1.5.1 prints them, byte for byte.

    A batch of one stands for any and is printed as -1, torchsummary's default; a larger one as it
    is. Sizes are in MB of 2**20 bytes, 4 bytes an element; forward/backward counts every row's
    output twice.
    """
    thin, thick = "-" * 64, "=" * 64
    rows = []
    for number, layer in enumerate(layers, start=1):
        batch, *rest = layer.output_shape
        shape = str([-1 if batch == 1 else batch, *rest])
        rows.append(f"{f'{layer.type}-{number}':>20}  {shape:>25} {layer.parameters:>15,}")
    total = sum(layer.parameters for layer in layers)
    trainable = sum(layer.parameters for layer in layers if layer.trainable)
    input_mb = prod(input_shape) * 4 / MB
    passes_mb = 2 * sum(prod(layer.output_shape) for layer in layers) * 4 / MB
    parameters_mb = total * 4 / MB
    lines = [
        thin,
        f"{'Layer (type)':>20}  {'Output Shape':>25} {'Param #':>15}",
        thick,
        *rows,
        thick,
        f"Total params: {total:,}",
        f"Trainable params: {trainable:,}",
        f"Non-trainable params: {total - trainable:,}",
        thin,
        f"Input size (MB): {input_mb:.2f}",
        f"Forward/backward pass size (MB): {passes_mb:.2f}",
        f"Params size (MB): {parameters_mb:.2f}",
        f"Estimated Total Size (MB): {parameters_mb + passes_mb + input_mb:.2f}",
        thin,
    ]
    return "\n".join(lines) + "\n"
