"""What the operations of a traced pass cost, from shapes alone.

Multiply-accumulates are half of the FLOPs that torch.utils.flop_counter counts. Bytes are
those that must be moved at the least: each input, weight and output once, in the network's dtype,
so that an operation in place moves its tensor twice; a view and an inactive dropout move none.
"""

import torch
from torch import Tensor, fx, nn
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from backbone.roofline import Cost

try:
    from torch.utils._python_dispatch import TorchDispatchMode
except ImportError as error:
    found = f"torch {torch.__version__} lacks what costs are counted with ({error})"
    raise ImportError(found) from error

# On meta it runs as a decomposition, which takes as long as all else together.
BATCH_NORM = torch.ops.aten.native_batch_norm.default


class CostInterpreter(fx.Interpreter):
    """Runs a traced network, and leaves in each operation's node.meta its "cost" and the "shape" of
    its (first) input. On the meta device nothing is computed."""

    def run(self, *args, **kwargs) -> object:
        with torch.no_grad(), _Flops() as self.counter:
            return super().run(*args, **kwargs)

    def run_node(self, node: fx.Node) -> object:
        if node.op in ("placeholder", "get_attr", "output"):
            return super().run_node(node)
        module = self.fetch_attr(node.target) if node.op == "call_module" else None
        args, kwargs = self.fetch_args_kwargs_from_env(node)
        inputs = _tensors((args, kwargs))
        versions = [tensor._version for tensor in inputs]
        self.counter.flops = 0
        result = super().run_node(node)
        outputs = _tensors(result)
        # An output in the memory of an input that has not been touched is a view.
        touched = versions != [tensor._version for tensor in inputs]
        memory = {tensor.untyped_storage()._cdata for tensor in inputs}
        if not touched and all(out.untyped_storage()._cdata in memory for out in outputs):
            moved = 0
        else:
            moved = _bytes([*inputs, *_weights(module), *outputs])
        kind = kind_of(module, getattr(node.target, "__name__", str(node.target)))
        node.meta["cost"] = Cost(kind, self.counter.flops // 2, moved)
        node.meta["shape"] = list(inputs[0].shape)
        return result


class _Flops(TorchDispatchMode):
    """torch.utils.flop_counter's formulas, without its books by module."""

    flops = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is BATCH_NORM:
            return torch.empty_like(args[0]), *(args[0].new_empty(0) for _ in range(2))
        result = func(*args, **(kwargs or {}))
        if formula := flop_registry.get(func._overloadpacket):
            self.flops += formula(*args, **(kwargs or {}), out_val=result)
        return result


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
    return {"Linear": "linear", "linear": "linear", "add": "addition", "iadd": "addition"}.get(
        name, name
    )


def _weights(module: nn.Module | None) -> list[Tensor]:
    if module is None:
        return []
    # What is no array, a batch norm's count of batches, takes no part in a pass.
    return [t for t in (*module.parameters(), *module.buffers()) if t.ndim]


def _tensors(values: object) -> list[Tensor]:
    return [value for value in tree_leaves(values) if isinstance(value, Tensor)]


def _bytes(tensors: list[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
