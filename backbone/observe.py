"""What a pass runs, holds and costs, observed on the meta device, where nothing is computed."""

import weakref
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

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


class Observer(TorchDispatchMode):
    """Follows the operators of a pass and the storages that they make.

    operators: each with its outputs' shapes. storages: [bytes, operators that had run when it was
    made, and when it was freed (None: not yet)], 0 bytes of the tensors `held` before. flops: by
    torch.utils.flop_counter's formulas. By observe() alone, calls: each module with its outputs'
    shapes, inner ones before outer ones. owners: of each operator the innermost module.
    """

    def __init__(self, held: Iterable[Tensor] = ()) -> None:
        super().__init__()
        self.operators: list[tuple[torch._ops.OpOverload, list[torch.Size]]] = []
        self.storages: list[list[int | None]] = []
        self.calls: list[tuple[nn.Module, list[list[int]]]] = []
        self.owners: list[nn.Module] = []
        self.around: list[nn.Module] = []  # that are being called
        self.flops = 0
        self._inside = False  # an operator
        self._numbers: dict[int, int] = {}
        self._held = {tensor.untyped_storage()._cdata for tensor in held}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        inside, self._inside = self._inside, True
        result = self._run(func, args, kwargs)
        self._inside = inside
        if formula := flop_registry.get(func._overloadpacket):
            self.flops += formula(*args, **kwargs, out_val=result)
        if inside:
            return result
        outputs = tensors_in(result)
        self.operators.append((func, [output.shape for output in outputs]))
        self.owners += self.around[-1:]
        for storage in (output.untyped_storage() for output in outputs):
            key = storage._cdata
            if key not in self._numbers:
                self._numbers[key] = len(self.storages)
                size = 0 if key in self._held else storage.nbytes()
                self.storages.append([size, len(self.operators), None])
                weakref.finalize(storage, self._forget, key)
        return result

    def _run(self, func: torch._ops.OpOverload, args: tuple, kwargs: dict) -> object:
        # What meta tensors run as decompositions takes far longer than all else together: a batch
        # norm, and functions of one tensor in place.
        if func is torch.ops.aten.batch_norm.default:
            return torch.empty_like(args[0])
        in_place = func._schema.name.endswith("_") and torch.Tag.inplace_view not in func.tags
        if in_place and len(tensors_in((args, kwargs))) == 1:
            return args[0]
        with self:  # in inference mode composite operators are whole: this for their parts' FLOPs
            func.decompose(*args, **kwargs)
        return func(*args, **kwargs)

    def number_of(self, tensor: Tensor) -> int | None:
        """Which of `storages` a tensor is in; None where no operator of the pass made it."""
        return self._numbers.get(tensor.untyped_storage()._cdata)

    def _forget(self, key: int) -> None:
        self.storages[self._numbers.pop(key)][2] = len(self.operators)


def observe(network: nn.Module, input_shape: list[int]) -> Observer:
    """Observe a pass for an input of a shape (B, C, H, W). The network may be on any device; it
    runs in the mode that it is in, and stays as it is. Raises what its forward raises."""
    state, image = on_meta(network, input_shape)
    observer = Observer([*state.values(), image])

    def begin(module: nn.Module, args: tuple) -> None:
        observer.around.append(module)

    def end(module: nn.Module, args: tuple, output: object) -> None:
        shapes = [list(tensor.shape) for tensor in tensors_in(output)]
        observer.calls.append((observer.around.pop(), shapes))

    hooks = register_module_forward_pre_hook(begin), register_module_forward_hook(end)
    with torch.inference_mode(), hooks[0], hooks[1], observer:
        torch.func.functional_call(network, state, image)
    return observer


def on_meta(network: nn.Module, input_shape: list[int]) -> tuple[dict[str, Tensor], Tensor]:
    """A network's state, by names, and an image (B, C, H, W) in its dtype, on the meta device."""
    tensors = [*network.named_parameters(), *network.named_buffers()]
    state = {name: torch.empty_like(tensor, device="meta") for name, tensor in tensors}
    dtype = next((t.dtype for t in state.values() if t.is_floating_point()), None)
    return state, torch.empty(input_shape, device="meta", dtype=dtype)


def tensors_in(values: object) -> list[Tensor]:
    """The tensors in nested tuples, lists and dictionaries, in order."""
    return [value for value in tree_leaves(values) if isinstance(value, Tensor)]


def bytes_moved(
    module: nn.Module | None, inputs: list[Tensor], outputs: list[Tensor], writes: bool
) -> int:
    """The bytes that an operation, of a module or a function (None), must move at the least: each
    input, weight and output once, so that one in place moves its tensor twice. One whose outputs
    are in its inputs' memory is a view and moves none, unless it `writes` to these."""
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
