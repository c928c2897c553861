"""The instrumented pass: the network's own operations with clock marks between them."""

import contextlib
import operator
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

from torch import Tensor, fx, nn

from backbone.command.errors import CANNOT_BE_CUT, Failure, reason_of
from backbone.network.build import Backbone
from backbone.network.stages import Stage
from backbone.trace.observe import Observer, observe
from backbone.trace.recorder import Operation, RecordedPass, record_pass


@dataclass(frozen=True)
class CutPass:
    """A pass cut into stages or operations: its operations in order, and the stage of each.
    with_marks: returns the pass that calls a given mark before the first part and after every
    part."""

    operations: list[Operation]
    stages: list[Stage]
    with_marks: Callable[[Callable[[], object]], Callable[[Tensor], Tensor]]


def mark_uncut(network: nn.Module, mark: Callable[[], object]) -> Callable[[Tensor], Tensor]:
    """The network's own pass, with a mark before and after it."""

    def forward(image: Tensor) -> Tensor:
        mark()
        output = network(image)
        mark()
        return output

    return forward


def cut_pass(backbone: Backbone, input_shape: list[int], target: str) -> CutPass:
    """The pass for an input of a shape (B, C, H, W), cut into its stages ("block") or operations
    ("layer").

    The pass with marks runs the network's own modules, returns bit-identical output, and keeps
    every tensor alive as long as the stock pass: when memory is freed decides which memory the next
    operation gets, and so its time. Raises Failure if the pass cannot be cut this way.
    """
    network = backbone.network
    with _refused_if_it_fails(backbone):
        recorded = record_pass(network, input_shape)
        stock = observe(network, input_shape)
        kept = _find_kept(recorded, stock)
        _prove(network, recorded, kept, stock, input_shape)
    operations = recorded.operations
    stages = [backbone.stage_of(operation.type, operation.path) for operation in operations]
    parts = stages if target == "block" else range(len(operations))
    return CutPass(
        operations, stages, with_marks=partial(_insert_marks, network, recorded, kept, parts)
    )


def operations_of(backbone: Backbone, input_shape: list[int]) -> list[Operation]:
    """The operations of a pass for an input of a shape (B, C, H, W). Raises Failure if the pass
    cannot be cut into operations."""
    with _refused_if_it_fails(backbone):
        return record_pass(backbone.network, input_shape).operations


@contextlib.contextmanager
def _refused_if_it_fails(backbone: Backbone) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # recording an unusual forward may raise anything
        message = f"{backbone.name} {CANNOT_BE_CUT} ({reason_of(error)})"
        raise Failure(f"{message}; use --target model") from error


def _insert_marks(
    network: nn.Module,
    recorded: RecordedPass,
    kept: Mapping[fx.Node, list[fx.Node]],
    parts: Sequence,
    mark: Callable[[], object],
) -> Callable[[Tensor], Tensor]:
    """A recorded pass with a mark before its first operation and at the end of every part. kept:
    see `_find_kept()`. parts: the number of each operation's part."""
    marked = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    attributes: dict[str, object] = {}
    operations = zip(recorded.operation_nodes, parts, strict=True)
    ends = {node for (node, part), (_, next_part) in pairwise(operations) if part != next_part}
    for node in recorded.graph.nodes:
        if node.op == "output":
            marked.call_function(mark)
        copy = copies[node] = marked.node_copy(node, copies.__getitem__)
        if node.op in ("call_module", "get_attr"):
            # Numbered submodules: looking up features.1.conv.0.0 takes five steps.
            copy.target = f"attribute_{len(attributes)}"
            attributes[copy.target] = operator.attrgetter(node.target)(network)
        for tensor in kept.get(node, ()):
            marked.call_function(id, (copies[tensor],))  # its last use; it is dropped afterwards
        if node.op == "placeholder" or node in ends:
            marked.call_function(mark)
    return fx.GraphModule(attributes, marked)


def _find_kept(recorded: RecordedPass, stock: Observer) -> dict[fx.Node, list[fx.Node]]:
    """For each operation, the nodes whose tensors a recorded pass must keep until the operation has
    run, although it no longer uses them, because the observed stock pass keeps them."""
    steps = recorded.steps
    nodes = recorded.operation_nodes
    ends = [steps[node].end for node in nodes]
    holders: dict[int, fx.Node] = {}  # the last node that returns a tensor in each storage
    last_uses: dict[int, fx.Node] = {}
    for node in recorded.graph.nodes:
        holders |= dict.fromkeys(steps[node].storages, node)
        for source in (node, *node.all_input_nodes):
            last_uses |= dict.fromkeys(steps[source].storages, node)
    kept: dict[fx.Node, list[fx.Node]] = {}
    for number, storage in enumerate(stock.storages.made):
        if number in holders and storage.freed is not None:
            last = nodes[bisect_left(ends, storage.freed)]
            if last > last_uses[number]:
                kept.setdefault(last, []).append(holders[number])
    return kept


def _prove(
    network: nn.Module,
    recorded: RecordedPass,
    kept: Mapping[fx.Node, list[fx.Node]],
    stock: Observer,
    input_shape: list[int],
) -> None:
    """Prove that a recorded pass equals the stock pass: on the meta device it runs the same
    operators with the same shapes, and allocates and frees each storage between the same two
    operators. Raises NotImplementedError if it does not."""
    parts = range(len(recorded.operation_nodes))
    forward = _insert_marks(network, recorded, kept, parts, lambda: None)
    again = observe(forward, input_shape)
    if stock.operators != again.operators:
        raise NotImplementedError("its operations run other operators or have other shapes")
    if stock.storages.made != again.storages.made:
        raise NotImplementedError("its operations keep tensors for longer or shorter")
