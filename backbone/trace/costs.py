"""The kind of an operation, and the least number of bytes it must move."""

from torch import Tensor, nn

KINDS = {  # for modules and functions, including in-place ones such as add_ and mul_
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
    """An operation's kind, from its module or, if that is None, from its function's name; the name
    itself if the kind has no common term."""
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
    """The least number of bytes that an operation of a module, or of a function (None), must move:
    each input, weight and output once, so an in-place operation moves its tensor twice. An
    operation whose outputs share its inputs' memory is a view and moves nothing, unless it `writes`
    to its inputs."""
    memory = {tensor.untyped_storage()._cdata for tensor in inputs}
    is_view = all(output.untyped_storage()._cdata in memory for output in outputs)
    if is_view and not writes:
        return 0
    weights = [] if module is None else [*module.parameters(), *module.buffers()]
    # Scalars, such as a batch norm's count of batches, take no part in a pass.
    arrays = [weight for weight in weights if weight.ndim]
    return sum(tensor.nbytes for tensor in (*inputs, *arrays, *outputs))
