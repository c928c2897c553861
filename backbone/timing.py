"""Timed passes, and the rows that they make."""

import argparse
from collections.abc import Callable
from copy import copy
from dataclasses import replace
from importlib.metadata import version
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from tqdm import tqdm

from backbone import files, modes, networks
from backbone.ceilings import measure_ceilings
from backbone.instrument import Operation, insert_marks, keep_tensors, trace_operations
from backbone.networks import Backbone, Stage
from backbone.resources import FaultClock, Usage
from backbone.roofline import Cost, sum_costs
from backbone.rows import Row, format_rows, number_rows
from backbone.script import Failure, allowing_for_memory, importing


class Clock(Protocol):
    """What a timer brings of its own: how to mark a moment, and how to read the marks."""

    def mark(self) -> None:
        """Mark this moment, without waiting for anything."""

    def read(self) -> list[float]:
        """After a pass: milliseconds from each of its marks to the next."""


def report_times(
    args: argparse.Namespace,
    device: torch.device,
    clock: Clock,
    machine_conditions: dict[str, str | int],
    usage: Usage | None = None,
) -> None:
    """A timer from its flags to its report on stdout and, with --json or --append, its record.

    machine_conditions: what the record says of the machine. usage: of the system by a pass, where
    the process itself makes the pass. Raises script.Failure where the record cannot be written, or
    stands and is of other conditions.
    """
    backbone, image = modes.make(args, device)
    file = args.json if args.append is None else args.append
    if file is not None:
        # What can go wrong with the record is better known before a long run than after it; pyperf
        # is for those who ask for one.
        with importing():
            from backbone import records

        files.check_writable(file)
        record = records.start(machine_conditions | _conditions(args, backbone))
        if args.append is not None:
            records.read_like(Path(file), record)
    of_run = {}
    passes = args.target, clock, args.warmup, args.iterations
    with networks.explaining(backbone, list(image.shape)):
        if args.compile:
            of_run["compile_time"] = modes.compile_network(backbone.network, image)
        rows = time_network(backbone, image, *passes, usage)
    if file is not None:
        if usage:
            of_run |= usage.of_run(args.iterations)
        if image.is_cuda:
            of_run["peak_allocated_memory"] = torch.cuda.max_memory_allocated(device)
        if args.target == "model":  # the other targets' passes are traced anyway
            rows = [replace(rows[0], cost=pass_cost(backbone, list(image.shape)))]
        record.runs[0].update(of_run)
        record = record._replace(rows=rows)
        if args.append is not None:
            record = records.add(Path(file), record)
        files.write_whole(file, records.dumps(record))
        # Not before the run is stored: it needs memory that a system may end a process for.
        if further := _measure_further(args, backbone, image, clock):
            record.runs[-1].update(further)
            files.write_whole(file, records.dumps(record))
        rows = record.rows
    print(format_rows(rows), end="")


def _measure_further(
    args: argparse.Namespace, backbone: Backbone, image: torch.Tensor, clock: Clock
) -> dict[str, float]:
    """What a record says of a run beside its passes, and memory allows: the machine's ceilings, and
    what the mode does to the output."""
    further = {}
    if args.target == "layer":
        with allowing_for_memory():
            further |= measure_ceilings(image.device, image.dtype, clock)._asdict()
    with allowing_for_memory():
        difference = modes.output_difference(args, image.device, backbone.network, image)
        further |= {} if difference is None else {"output_difference": difference}
    return further


def _conditions(args: argparse.Namespace, backbone: Backbone) -> dict[str, str | int]:
    about = {
        "network": backbone.name,
        "dataset": args.dataset,
        "target": args.target,
        "batch_size": args.batch_size,
        "warmup": args.warmup,
        "iterations": args.iterations,
        "dtype": args.dtype,
        "torch_version": torch.__version__,
        "torchvision_version": version("torchvision"),
    }
    about |= {"mode": args.mode} if args.mode else {}
    return about | ({"output_stride": args.output_stride} if args.output_stride != 32 else {})


def time_network(
    backbone: Backbone,
    image: torch.Tensor,
    target: str,
    clock: Clock,
    warmup: int,
    iterations: int,
    usage: Usage | None = None,
) -> list[Row]:
    """Time a network on an image (B, C, H, W), as a whole or cut into rows that tile the pass.

    target: "model", "block" (its stages) or "layer" (stages and operations). The row of the whole
    pass comes last; all rows are from the same passes. With `usage` the whole pass has its page
    faults, and for "layer" each row, counted in passes of their own after the timed ones.
    """
    shape = list(image.shape)
    forward, operations = mark_pass(backbone, shape, target, clock.mark)
    watched = usage.watch(forward) if usage else forward
    passes = run_passes(watched, image, clock, warmup + iterations)[warmup:]
    # Whole nanoseconds, one at the least: what a record holds (pyperf takes no zero).
    samples = np.maximum(np.round(passes, 6), 1e-6)
    stages = [
        (stage, [op for _, op in group]) for stage, group in groupby(operations, itemgetter(0))
    ]
    columns = iter(samples.T[:, np.newaxis])
    rows: list[Row] = []
    for number, (stage, inside) in enumerate(stages):
        layers = [
            Row("layer", op.type, op.path, number, op.input_shape, next(columns), cost=op.cost)
            for op in (inside if target == "layer" else ())
        ]
        times = np.round(sum(layer.samples for layer in layers), 6) if layers else next(columns)
        first = inside[0].input_shape
        cost = sum_costs(op.cost for op in inside)
        about = (stage.type, stage.path, number, first)
        rows += [Row("block", *about, times, stage.settings, cost=cost), *layers]
    whole = np.round(samples.sum(axis=1), 6)[np.newaxis]
    cost = sum_costs(op.cost for _, op in operations) if operations else None
    rows.append(Row("model", backbone.name, "", None, shape, whole, cost=cost))
    if usage:
        rows[-1].page_faults.append(usage.page_faults(iterations))
    if usage and target == "layer":
        _count_faults(backbone, image, rows)
    return number_rows(rows)


def run_passes(
    forward: Callable[[torch.Tensor], torch.Tensor],
    image: torch.Tensor,
    clock: Clock,
    passes: int,
) -> list[list[float]]:
    """What the clock reads after each pass, with a progress bar on a terminal."""
    readings = []
    with torch.inference_mode(), tqdm(total=passes, disable=None, leave=False) as bar:
        for _ in range(passes):
            forward(image)
            readings.append(clock.read())
            bar.update()
    return readings


def pass_cost(backbone: Backbone, input_shape: list[int]) -> Cost | None:
    """What a pass costs, for an input of a shape (B, C, H, W); None where it cannot be cut into
    operations."""
    try:
        # A copy is not compiled; to record it would undo what the compiler has made.
        _, operations = trace_operations(copy(backbone.network), input_shape)
    except Exception:  # whatever a forward of another form makes the recording run into
        return None
    return sum_costs(operation.cost for operation in operations)


def _count_faults(backbone: Backbone, image: torch.Tensor, rows: list[Row]) -> None:
    """Give the layers' rows their page faults, the median of three passes, and the stages' rows
    their sums."""
    clock = FaultClock()
    forward, _ = mark_pass(backbone, list(image.shape), "layer", clock.mark)
    counts = np.median(run_passes(forward, image, clock, 3), axis=0)
    layers = [row for row in rows if row.level == "layer"]
    for row, count in zip(layers, counts, strict=True):
        row.page_faults.append(round(count))
    for stage in (row for row in rows if row.level == "block"):
        inside = [row for row in layers if row.stage == stage.stage]
        stage.page_faults.append(sum(row.page_faults[0] for row in inside))


def mark_pass(
    backbone: Backbone, input_shape: list[int], target: str, mark: Callable[[], object]
) -> tuple[Callable[[torch.Tensor], torch.Tensor], list[tuple[Stage, Operation]]]:
    """The pass with the marks of a target, for an input of a shape (B, C, H, W), and the operations
    between them, each with its stage.

    For "model" this is the stock pass between two marks, and there are no operations.
    """
    network = backbone.network
    if target == "model":

        def forward(image: torch.Tensor) -> torch.Tensor:
            mark()
            output = network(image)
            mark()
            return output

        return forward, []
    try:
        graph, operations = trace_operations(network, input_shape)
        keep_tensors(network, graph, input_shape)
    except Exception as error:  # whatever a forward of another form makes the recording run into
        networks.check_input(backbone, input_shape)
        reason = str(error).partition("\n")[0]
        message = f"{backbone.name} cannot be cut into operations faithfully ({reason})"
        raise Failure(f"{message}; use --target model") from error
    stages = [backbone.stage_at(operation) for operation in operations]
    parts = stages if target == "block" else range(len(operations))
    forward = insert_marks(network, graph, parts, mark)
    return forward, list(zip(stages, operations, strict=True))
