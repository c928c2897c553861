"""How a network is built: a row for each layer, as torchsummary prints it, and its MACs."""

from math import prod
from typing import NamedTuple

from torch import Tensor, nn

from backbone.observe import observe


class Layer(NamedTuple):
    """One call of a module: its type, its (first) output's shape, its parameters' elements."""

    type: str
    output_shape: list[int]
    parameters: int


def list_layers(network: nn.Module, image: Tensor) -> tuple[list[Layer], int]:
    """The layers that one pass on an image (B, C, H, W) calls, in order, and the pass's MACs.

    A parameter counts once: in the first call of its module, or, where a pass does not call that
    (swin_t's linear layers hand out their weights), of the module around it. Containers and the
    network itself are no layers, unless they have such parameters. Nothing is computed.
    """
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
