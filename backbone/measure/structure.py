"""The layers of a network, as listed by torchsummary."""

from torch import nn

from backbone.record.memory_record import Layer
from backbone.trace.observe import observe


def list_layers(network: nn.Module, input_shape: list[int]) -> tuple[list[Layer], int]:
    """The layers that a pass for an input of a shape (B, C, H, W) calls, in order, and its MACs,
    without computing anything. A parameter counts once: in the first call of its module or, if a
    pass never calls that module (swin_t uses the weights of its linear layers directly), of the
    enclosing module. Containers and the network itself are not layers, unless they have such
    parameters."""
    observer = observe(network, input_shape)
    elements = {call.module: 0 for call in observer.calls}
    owners: dict[str, nn.Module] = {}
    for path, module in network.named_modules():  # outer modules first
        owners[path] = module if module in elements else owners[path.rpartition(".")[0]]
    for name, parameter in network.named_parameters():
        elements[owners[name.rpartition(".")[0]]] += parameter.numel()
    layers = []
    for call in observer.calls:
        module = call.module
        parameters = elements.pop(module, 0)
        is_container = module is network or isinstance(module, (nn.Sequential, nn.ModuleList))
        if parameters or not is_container:
            layers.append(
                Layer(
                    type=type(module).__name__,
                    output_shape=call.output_shapes[0],
                    parameters=parameters,
                )
            )
    return layers, observer.flops // 2
