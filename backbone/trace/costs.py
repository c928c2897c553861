"""What sort of operation one is, and what it must cost at the least."""

from torch import Tensor, nn

KINDS = {  # for modules and functions alike, and for those that work in place, add_ and mul_
    "LayerNorm": "layer norm",
    "layer_norm": "layer norm",
    "Linear": "linear",
    "add": "addition",
    "mul": "multiplication",
    "relu": "ReLU",
    "dropout": "Dropout",
    "Flatten": "flatten",
}


def kind_of(module: nn.Module | None, name: str) -> str:
    """An operation's kind in the field's words, by its module, or by the name of the function that
    it is (module: None); its own name where there is no such word."""
    if isinstance(module, nn.modules.conv._ConvNd):
        return _kind_of_convolution(module)
    if isinstance(module, nn.modules.batchnorm._BatchNorm):
        return "batch norm"
    if "pool" in name.lower():
        return "pooling"
    return KINDS.get(name.removesuffix("_"), name)


def _kind_of_convolution(module: nn.modules.conv._ConvNd) -> str:
    if module.groups == 1:
        pointwise = set(module.kernel_size) == {1}
        return "pointwise convolution" if pointwise else "convolution"
    depthwise = module.groups == module.in_channels
    return "depthwise convolution" if depthwise else "grouped convolution"


def bytes_moved(
    module: nn.Module | None, inputs: list[Tensor], outputs: list[Tensor], writes: bool
) -> int:
    """The bytes that an operation, of a module or a function (None), must move at the least: each
    input, weight and output once, so that one in place moves its tensor twice. One whose outputs
    are in its inputs' memory is a view and moves none, unless it `writes` to these."""
    memory = {tensor.untyped_storage()._cdata for tensor in inputs}
    is_view = all(output.untyped_storage()._cdata in memory for output in outputs)
    if is_view and not writes:
        return 0
    weights = [] if module is None else [*module.parameters(), *module.buffers()]
    # What is no array, a batch norm's count of batches, takes no part in a pass.
    arrays = [weight for weight in weights if weight.ndim]
    return sum(tensor.nbytes for tensor in (*inputs, *arrays, *outputs))
