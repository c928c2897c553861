"""The instrumented pass: the network's own operations with clock marks between them."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import fx, nn

from backbone.costs import CostInterpreter
from backbone.roofline import Cost


@dataclass(frozen=True)
class Operation:
    """One operation of the pass: its type (of module, or the function's name), the path of the
    module that it runs in ("": the network's own forward), the shape of its (first) input, and what
    it costs."""

    type: str
    path: str
    input_shape: list[int]
    cost: Cost


def trace_operations(
    network: nn.Module, input_shape: list[int]
) -> tuple[fx.Graph, list[Operation]]:
    """The network's graph and its operations, in the order in which they run, for an input of a
    shape (B, C, H, W).

    Shapes and costs come from a twin on the meta device, so that no pass has to run for them. No
    weight is copied for it: the allocator is left as a run without a trace would find it.
    """
    twin = fx.symbolic_trace(_on_meta(network))
    dtype = next(network.parameters()).dtype
    CostInterpreter(twin).run(torch.empty(input_shape, device="meta", dtype=dtype))
    return twin.graph, [_operation(twin, node) for node in _operation_nodes(twin.graph)]


def insert_marks(
    network: nn.Module, graph: fx.Graph, parts: Sequence, mark: Callable[[], object]
) -> Callable[[torch.Tensor], torch.Tensor]:
    """The pass with a mark before its first operation and one wherever a part ends.

    parts[i] tells which part operation i is in; with n parts, a pass makes n + 1 marks. The pass
    runs the network's own modules on an image (B, C, H, W) and returns what the network returns,
    bit for bit; it also keeps every tensor for as long as the network does, since when memory is
    given back decides how much of it is at hand for the next operation, and so the time that this
    one takes.
    """
    marked, copies, modules = fx.Graph(), {}, {}
    kept = _kept_until(graph)
    following = [*parts[1:], None]
    ends = {
        node
        for node, part, next_part in zip(_operation_nodes(graph), parts, following, strict=True)
        if part != next_part
    }
    for node in graph.nodes:
        copy = copies[node] = marked.node_copy(node, copies.__getitem__)
        if node.op == "call_module":  # by a number: looking up features.1.conv.0.0 takes five steps
            copy.target = f"module_{len(modules)}"
            modules[copy.target] = network.get_submodule(node.target)
        for tensor in kept.get(node, ()):
            marked.call_function(_release, (copies[tensor],))
        if node.op == "placeholder" or node in ends:
            marked.call_function(mark)
    return fx.GraphModule(modules, marked)


def _on_meta(network: nn.Module) -> nn.Module:
    """A copy of a network with its parameters and buffers on the meta device."""
    tensors: dict[int, object] = {}
    for tensor in [*network.parameters(), *network.buffers()]:
        twin = torch.empty_like(tensor, device="meta")
        is_parameter = isinstance(tensor, nn.Parameter)
        tensors[id(tensor)] = nn.Parameter(twin, tensor.requires_grad) if is_parameter else twin
    return deepcopy(network, tensors)


def _release(tensor: torch.Tensor) -> None:
    """A last use: the generated code drops a tensor after it."""


def _operation_nodes(graph: fx.Graph) -> list[fx.Node]:
    return [node for node in graph.nodes if node.op not in ("placeholder", "output")]


def _modules_around(node: fx.Node) -> list[str]:
    return list(node.meta.get("nn_module_stack", ()))


def _operation(network: fx.GraphModule, node: fx.Node) -> Operation:
    if node.op == "call_module":
        type_name = type(network.get_submodule(node.target)).__name__
    else:
        type_name = getattr(node.target, "__name__", node.target)
    path = (_modules_around(node) or [""])[-1]
    return Operation(type_name, path, node.meta["shape"], node.meta["cost"])


def _kept_until(graph: fx.Graph) -> dict[fx.Node, list[fx.Node]]:
    """For the last operation of a module, the tensors that come from outside of it and that the
    traced code would have dropped by then: a call keeps its arguments until it returns."""
    order = {node: index for index, node in enumerate(graph.nodes)}
    last_of = {path: node for node in graph.nodes for path in _modules_around(node)}
    kept: dict[fx.Node, list[fx.Node]] = {}
    for tensor in _operation_nodes(graph):
        own = _modules_around(tensor)
        leaves = [
            last_of[path]
            for user in tensor.users
            for path in _modules_around(user)
            if path not in own
        ]
        last = max(leaves, key=order.__getitem__, default=None)
        if last is not None and order[last] > max(order[user] for user in tensor.users):
            kept.setdefault(last, []).append(tensor)
    return kept
