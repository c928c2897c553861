"""What a pass runs and holds, observed on the meta device, where nothing is computed."""

import weakref

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

try:
    from torch.utils._python_dispatch import TorchDispatchMode
except ImportError as error:
    found = f"torch {torch.__version__} lacks what passes are observed with ({error})"
    raise ImportError(found) from error


class Observer(TorchDispatchMode):
    """Follows the operators of a pass and the storages that they make.

    operators: each operator with its outputs' shapes. storages: of each one [bytes, operators that
    had run when it was made, and when it was freed (None: not yet)]. flops: by
    torch.utils.flop_counter's formulas. writes: operators that wrote to their inputs.
    """

    def __init__(self) -> None:
        super().__init__()
        self.operators: list[tuple[object, list[torch.Size]]] = []
        self.storages: list[list[int | None]] = []
        self.flops = self.writes = 0
        self._inside = False  # an operator
        self._numbers: dict[int, int] = {}
        self._references: list[weakref.ref] = []

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
        self.writes += func._schema.is_mutable
        for output in outputs:
            if self.number_of(output) is None:
                self._follow(output.untyped_storage())
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

    def _follow(self, storage: torch.UntypedStorage) -> None:
        key, number = storage._cdata, len(self.storages)

        def forget(_: weakref.ref) -> None:
            self.storages[number][2] = len(self.operators)
            del self._numbers[key]

        self.storages.append([storage.nbytes(), len(self.operators), None])
        self._numbers[key] = number
        self._references.append(weakref.ref(storage, forget))


def observe(network: nn.Module, input_shape: list[int]) -> Observer:
    """Observe a pass for an input of a shape (B, C, H, W) in the dtype of the network's weights.

    The network may be on any device; it runs in the mode that it is in, and neither its parameters
    nor its buffers change. Raises what its forward raises.
    """
    state, image = on_meta(network, input_shape)
    with torch.inference_mode(), Observer() as observer:
        torch.func.functional_call(network, state, image)
    return observer


def on_meta(network: nn.Module, input_shape: list[int]) -> tuple[dict[str, Tensor], Tensor]:
    """Twins on the meta device of a network's parameters and buffers, by their names, and an image
    (B, C, H, W) in the dtype of its weights."""
    tensors = [*network.named_parameters(), *network.named_buffers()]
    state = {name: torch.empty_like(tensor, device="meta") for name, tensor in tensors}
    dtype = next((t.dtype for t in state.values() if t.is_floating_point()), None)
    return state, torch.empty(input_shape, device="meta", dtype=dtype)


def tensors_in(values: object) -> list[Tensor]:
    """The tensors in nested tuples, lists and dictionaries, in order."""
    return [value for value in tree_leaves(values) if isinstance(value, Tensor)]
