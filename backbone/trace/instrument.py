"""The instrumented pass: the network's own operations with clock marks between them."""

import contextlib
import operator
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

from torch import Tensor, fx, nn

from backbone.command.errors import Failure
from backbone.network.build import Backbone
from backbone.network.stages import Stage
from backbone.trace.observe import Observer, observe
from backbone.trace.recorder import Operation, operation_nodes, operations_in, record_pass


@dataclass(frozen=True)
class CutPass:
    """A pass cut into the parts of a target: its operations in order, and the stage of each; for
    the target "model" it has none of these. with_marks: the pass that calls what it is given, a
    mark, before the first part and after each."""

    operations: list[Operation]
    stages: list[Stage]
    with_marks: Callable[[Callable[[], object]], Callable[[Tensor], Tensor]]


def cut_pass(backbone: Backbone, input_shape: list[int], target: str) -> CutPass:
    """The pass for an input of a shape (B, C, H, W), cut into the parts of a target.

    For "model" it is the stock pass, in one part. Otherwise the parts are its stages ("block") or
    operations ("layer"). With marks it runs the network's own modules, returns what they return,
    bit for bit, and keeps every tensor as long: when memory is given back decides what the next
    operation finds, and so its time. Raises Failure where it cannot be cut so.
    """
    network = backbone.network
    if target == "model":
        return CutPass([], [], with_marks=partial(_mark_whole, network))
    with _refused_if_it_fails(backbone):
        graph = record_pass(network, input_shape)
        stock = observe(network, input_shape)
        _keep_tensors(graph, stock)
        _prove(network, graph, stock, input_shape)
    operations = operations_in(graph)
    stages = [backbone.stage_of(operation.type, operation.path) for operation in operations]
    parts = stages if target == "block" else range(len(operations))
    return CutPass(operations, stages, with_marks=partial(_insert_marks, network, graph, parts))


def operations_of(backbone: Backbone, input_shape: list[int]) -> list[Operation]:
    """The operations of a pass for an input of a shape (B, C, H, W). Raises Failure where it cannot
    be cut into any."""
    with _refused_if_it_fails(backbone):
        return operations_in(record_pass(backbone.network, input_shape))


@contextlib.contextmanager
def _refused_if_it_fails(backbone: Backbone) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # whatever a forward of another form makes the recording run into
        reason = str(error).partition("\n")[0]
        message = f"{backbone.name} cannot be cut into operations faithfully ({reason})"
        raise Failure(f"{message}; use --target model") from error


def _mark_whole(network: nn.Module, mark: Callable[[], object]) -> Callable[[Tensor], Tensor]:
    def forward(image: Tensor) -> Tensor:
        mark()
        output = network(image)
        mark()
        return output

    return forward


def _insert_marks(
    network: nn.Module, graph: fx.Graph, parts: Sequence, mark: Callable[[], object]
) -> Callable[[Tensor], Tensor]:
    """The graph's pass with a mark before its first operation and one wherever a part ends;
    parts[i] tells which part operation i is in."""
    marked = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    attributes: dict[str, object] = {}
    operations = zip(operation_nodes(graph), parts, strict=True)
    ends = {node for (node, part), (_, next_part) in pairwise(operations) if part != next_part}
    for node in graph.nodes:
        if node.op == "output":
            marked.call_function(mark)
        copy = copies[node] = marked.node_copy(node, copies.__getitem__)
        if node.op in ("call_module", "get_attr"):
            # By a number: looking up features.1.conv.0.0 takes five steps.
            copy.target = f"attribute_{len(attributes)}"
            attributes[copy.target] = operator.attrgetter(node.target)(network)
        for tensor in node.meta["kept"]:
            marked.call_function(id, (copies[tensor],))  # its last use, after which it is dropped
        if node.op == "placeholder" or node in ends:
            marked.call_function(mark)
    return fx.GraphModule(attributes, marked)


def _keep_tensors(graph: fx.Graph, stock: Observer) -> None:
    """Have a graph keep each tensor as long as the stock pass does, which was observed."""
    nodes = operation_nodes(graph)
    ends = [node.meta["end"] for node in nodes]
    holders: dict[int, fx.Node] = {}  # of a storage, the last node that gives a tensor in it
    last_uses: dict[int, fx.Node] = {}
    for node in graph.nodes:
        holders |= dict.fromkeys(node.meta["storages"], node)
        for source in (node, *node.all_input_nodes):
            last_uses |= dict.fromkeys(source.meta["storages"], node)
    for number, storage in enumerate(stock.storages):
        if number in holders and storage.freed is not None:
            last = nodes[bisect_left(ends, storage.freed)]
            if last > last_uses[number]:
                last.meta["kept"].append(holders[number])


def _prove(network: nn.Module, graph: fx.Graph, stock: Observer, input_shape: list[int]) -> None:
    """Prove that a graph's pass is the stock pass: on the meta device it runs the same operators
    with the same shapes, and makes and frees each storage between the same two. Raises
    NotImplementedError where that is not so."""
    parts = range(len(operation_nodes(graph)))
    graphs = observe(_insert_marks(network, graph, parts, lambda: None), input_shape)
    if stock.operators != graphs.operators:
        raise NotImplementedError("its operations run other operators, or of other shapes")
    if stock.storages != graphs.storages:
        raise NotImplementedError("its operations keep tensors longer, or not as long")
