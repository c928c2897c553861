"""What the operations of a pass cost, from shapes alone.

Multiply-accumulates are half of the FLOPs that torch.utils.flop_counter counts. Bytes are
those that must be moved at the least: each input, weight and output once, in the network's dtype,
so that an operation in place moves its tensor twice; a view and an inactive dropout move none.
"""

from torch import Tensor, nn

WORDS = {  # for modules and functions alike, and for those that work in place, add_ and mul_
    "LayerNorm": "layer norm",
    "layer_norm": "layer norm",
    "Linear": "linear",
    "add": "addition",
    "mul": "multiplication",
    "relu": "ReLU",
    "dropout": "Dropout",
    "Flatten": "flatten",
}


def bytes_moved(
    module: nn.Module | None, inputs: list[Tensor], outputs: list[Tensor], writes: bool
) -> int:
    """The bytes that an operation, of a module or a function (None), must move at the least. One
    whose outputs are in its inputs' memory is a view, unless it `writes` to these."""
    memory = {tensor.untyped_storage()._cdata for tensor in inputs}
    if not writes and all(output.untyped_storage()._cdata in memory for output in outputs):
        return 0
    weights = [] if module is None else [*module.parameters(), *module.buffers()]
    # What is no array, a batch norm's count of batches, takes no part in a pass.
    arrays = [weight for weight in weights if weight.ndim]
    return sum(tensor.nbytes for tensor in (*inputs, *arrays, *outputs))


def kind_of(module: nn.Module | None, function: str) -> str:
    """An operation's kind in the field's words, by the module or by the name of the function that
    it is; its own name where there is no such word."""
    name = function if module is None else type(module).__name__
    if isinstance(module, nn.modules.conv._ConvNd):
        if module.groups == 1:
            pointwise = set(module.kernel_size) == {1}
            return "pointwise convolution" if pointwise else "convolution"
        depthwise = module.groups == module.in_channels
        return "depthwise convolution" if depthwise else "grouped convolution"
    if isinstance(module, nn.modules.batchnorm._BatchNorm):
        return "batch norm"
    if "pool" in name.lower():
        return "pooling"
    return WORDS.get(name.removesuffix("_"), name)
