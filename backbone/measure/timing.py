"""Times a network: its passes as the rows of a report, and the fields of the run."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np
import torch
from torch import Tensor

from backbone.command.errors import Failure
from backbone.command.options import TimerOptions
from backbone.measure.clocks import Clock, GpuClock
from backbone.measure.kernels import collect_kernels
from backbone.measure.passes import Passes, count_faults, peak_resident_bytes, run_passes
from backbone.measure.queued import measure_mark
from backbone.measure.turns import Turns
from backbone.network.build import Backbone
from backbone.network.stages import Stage
from backbone.record.names import number_rows
from backbone.record.rows import Cost, Kernels, Row
from backbone.trace.instrument import CutPass, cut_pass, mark_uncut, operations_of
from backbone.trace.meta import copy_on_meta
from backbone.trace.recorder import Operation


def time_network(
    backbone: Backbone,
    image: Tensor,
    clock: Clock,
    options: TimerOptions,
    prepared_seconds: float,
    turns: Turns | None = None,
) -> tuple[list[Row], dict[str, float]]:
    """Time a network on an image (B, C, H, W), whole or cut into rows that tile the pass. Returns
    the rows and the fields of the run.

    The row of the whole pass comes last; all rows come from the same passes. For a record on a CPU,
    the row of the whole pass has its minor page faults; the rows of target "layer" have their page
    faults and, in the first run of a command, oneDNN's kernels, both measured in separate passes.
    prepared_seconds: time since the network was built. Raises Failure if the pass cannot be cut.
    """
    input_shape = list(image.shape)
    uncut = mark_uncut(backbone.network, clock.mark)
    cut = cost = None
    faults, kernels, parts = [], [], []
    if options.target == "model":
        passes = run_passes(uncut, image, clock, options, turns)
    else:
        cut = cut_pass(backbone, input_shape, options.target)
        cost = sum_costs(cut.operations)
        passes = run_passes(cut.with_marks(clock.mark), image, clock, options, turns, uncut)
    if options.has_record and options.target == "layer" and not image.is_cuda:
        faults = count_faults(cut, image)
        if turns is None or turns.is_first:
            kernels = collect_kernels(cut, image)
    intervals = _Intervals(passes.samples, faults, kernels, passes.queued)
    if cut is not None:
        parts = _part_rows(cut, options.target, intervals)
    whole = _whole_row(backbone.name, input_shape, cost, intervals)
    if not image.is_cuda:
        # Counted in the timed passes, since code between the operations may also fault.
        whole = replace(whole, page_faults=(round(float(np.median(passes.page_faults))),))
    ready_after = {"ready_after": round(prepared_seconds + passes.first_seconds, 3)}
    of_mark = {}
    if isinstance(clock, GpuClock) and (milliseconds := measure_mark(clock)) is not None:
        of_mark = {"mark_time": round(milliseconds / 1e3, 9)}
    return number_rows([*parts, whole]), ready_after | of_mark | _usage_of(passes, image)


def with_cost(rows: list[Row], backbone: Backbone) -> list[Row]:
    """A report's rows with the cost of the whole pass, if a pass can be recorded; without stages to
    sum up, the cost is still open."""
    *parts, whole = rows
    if whole.cost is not None:
        return rows
    try:
        # Recording the network itself would undo its compilation; a copy is not compiled.
        copied = replace(backbone, network=copy_on_meta(backbone.network))
        operations = operations_of(copied, whole.input_shape)
    except Failure:
        return rows
    return [*parts, replace(whole, cost=sum_costs(operations))]


def sum_costs(operations: Iterable[Operation]) -> Cost:
    """The total cost of several operations."""
    operations = list(operations)
    return Cost(
        macs=sum(operation.macs for operation in operations),
        bytes_moved=sum(operation.bytes_moved for operation in operations),
    )


def _usage_of(passes: Passes, image: Tensor) -> dict[str, float]:
    """A record's fields about the process that ran passes on an image (B, C, H, W)."""
    if image.is_cuda:
        peak = torch.cuda.max_memory_allocated(image.device)
        return passes.fields | {"peak_allocated_memory": peak}
    return passes.fields | {
        "system_time": round(float(np.median(passes.system_seconds)), 6),
        "peak_resident_memory": peak_resident_bytes(),
    }


@dataclass(frozen=True)
class _Intervals:
    """Measurements between consecutive marks: samples in milliseconds, shape (passes, intervals),
    and, unless empty, page faults per pass, oneDNN's kernels, and the samples of a GPU's queued
    passes."""

    samples: np.ndarray
    page_faults: list[int]
    kernels: list[Kernels | None]
    queued: list[list[float]]

    def samples_of(self, span: range) -> np.ndarray:
        """The samples of a row that spans several intervals, shape (1, passes)."""
        milliseconds = self.samples[:, span.start : span.stop].sum(axis=1)
        return np.round(milliseconds, 6)[np.newaxis]

    def faults_of(self, span: range) -> tuple[int, ...]:
        """The page faults of a row that spans several intervals; empty if not counted."""
        return (sum(self.page_faults[span.start : span.stop]),) if self.page_faults else ()

    def queued_of(self, span: range) -> tuple[float, ...]:
        """The mean milliseconds of a row in queued passes; empty if there are none."""
        if not self.queued:
            return ()
        rows = np.array(self.queued)[:, span.start : span.stop]
        return (round(float(rows.sum(axis=1).mean()), 6),)

    def kernels_of(self, interval: int) -> tuple[Kernels, ...]:
        """The kernels of a row for a single operation."""
        kernels = self.kernels[interval] if self.kernels else None
        return () if kernels is None else (kernels,)


def _whole_row(name: str, input_shape: list[int], cost: Cost | None, intervals: _Intervals) -> Row:
    """The row of the whole pass. cost: None if not yet known."""
    every = range(intervals.samples.shape[1])
    return Row(
        level="model",
        type=name,
        path="",
        stage=None,
        input_shape=input_shape,
        cost=cost,
        samples=intervals.samples_of(every),
        page_faults=intervals.faults_of(every),
        queued_ms=intervals.queued_of(every),
    )


def _part_rows(cut: CutPass, target: str, intervals: _Intervals) -> list[Row]:
    """The rows of the stages, each followed, for "layer", by its operations. The intervals are
    stages or operations."""
    rows: list[Row] = []
    first = 0  # interval of the stage
    parts = zip(cut.stages, cut.operations, strict=True)
    for number, (stage, group) in enumerate(groupby(parts, key=lambda part: part[0])):
        operations = [operation for _, operation in group]
        end = first + (len(operations) if target == "layer" else 1)
        rows.append(_stage_row(number, stage, operations, intervals, range(first, end)))
        if target == "layer":
            for interval, operation in enumerate(operations, start=first):
                rows.append(_operation_row(number, operation, intervals, interval))
        first = end
    return rows


def _stage_row(
    number: int,
    stage: Stage,
    operations: list[Operation],
    intervals: _Intervals,
    span: range,
) -> Row:
    return Row(
        level="block",
        type=stage.type,
        path=stage.path,
        stage=number,
        input_shape=operations[0].input_shape,
        settings=stage.settings,
        cost=sum_costs(operations),
        samples=intervals.samples_of(span),
        page_faults=intervals.faults_of(span),
        queued_ms=intervals.queued_of(span),
    )


def _operation_row(number: int, operation: Operation, intervals: _Intervals, interval: int) -> Row:
    span = range(interval, interval + 1)
    cost = Cost(kind=operation.kind, macs=operation.macs, bytes_moved=operation.bytes_moved)
    return Row(
        level="layer",
        type=operation.type,
        path=operation.path,
        stage=number,
        input_shape=operation.input_shape,
        cost=cost,
        samples=intervals.samples_of(span),
        page_faults=intervals.faults_of(span),
        queued_ms=intervals.queued_of(span),
        kernels=intervals.kernels_of(interval),
    )
