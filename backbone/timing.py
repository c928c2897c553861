"""Timed passes and the rows that they make; what the machine attains at the most."""

import argparse
import contextlib
import sys
from collections.abc import Callable
from copy import copy
from dataclasses import replace
from importlib.metadata import version
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from backbone import networks, script
from backbone.instrument import mark_pass, trace_operations
from backbone.networks import Backbone, compile_network
from backbone.rows import Ceilings, Row, format_rows, number_rows, sum_costs

ABOUT = ("dataset", "target", "batch_size", "warmup", "iterations", "dtype")


class Clock(Protocol):
    """What a timer brings of its own: how to mark a moment, and how to read the marks."""

    def mark(self) -> None:
        """Mark this moment, without waiting for anything."""

    def read(self) -> list[float]:
        """After a pass: milliseconds from each of its marks to the next."""


def report_times(
    args: argparse.Namespace, device: torch.device, clock: Clock, machine_conditions: dict
) -> None:
    """A timer from its flags to its report on stdout and, with --json or --append, its record.
    Raises script.Failure where that cannot be written, or stands and is of other conditions."""
    backbone, image = networks.make(args, device)
    file = args.json if args.append is None else args.append
    if file is not None:
        from backbone import records  # pyperf is for those who ask for one

        script.check_writable(file)
        about = {"network": backbone.name} | {name: getattr(args, name) for name in ABOUT}
        about |= {"torch_version": torch.__version__, "torchvision_version": version("torchvision")}
        about |= {"mode": args.mode} if args.mode else {}
        about |= {"output_stride": args.output_stride} if args.output_stride != 32 else {}
        record = records.start(machine_conditions | about)
        if args.append is not None:
            records.read_like(Path(file), record)
    run = {"compile_time": compile_network(backbone.network, image)} if args.compile else {}
    rows, used = time_network(backbone, image, args.target, clock, args.warmup, args.iterations)
    if file is not None:
        if args.target == "model":  # the other targets' passes are traced anyway
            with contextlib.suppress(Exception):  # of a forward that cannot be cut
                # A copy is not compiled; to record it would undo what the compiler has made.
                _, operations = trace_operations(copy(backbone.network), list(image.shape))
                cost = sum_costs(operation.cost for operation in operations)
                rows = [replace(rows[0], cost=cost)]
        record.runs[0].update(run | used)
        record = record._replace(rows=rows)
        if args.append is not None:
            record = records.add(Path(file), record)
        script.write_whole(file, records.dumps(record))
        # Not before the run is stored: it needs memory that a system may end a process for.
        further = {}
        try:
            if args.target == "layer":
                further |= measure_ceilings(image.device, image.dtype, clock)._asdict()
            further |= networks.output_difference(args, backbone.network, image)
        except (MemoryError, RuntimeError) as error:
            if not script.is_out_of_memory(error):
                raise
        if further:
            record.runs[-1].update(further)
            script.write_whole(file, records.dumps(record))
        rows = record.rows
    print(format_rows(rows), end="")


def time_network(
    backbone: Backbone, image: Tensor, target: str, clock: Clock, warmup: int, iterations: int
) -> tuple[list[Row], dict[str, float]]:
    """Time a network on an image (B, C, H, W), as a whole or cut into rows that tile the pass.

    target: "model", "block" (its stages) or "layer" (stages and operations). The row of the whole
    pass comes last; all are from the same passes. On a CPU it has its minor page faults, for
    "layer" all have, counted in passes of their own. Beside the rows: what a record says of it.
    """
    shape = list(image.shape)
    forward, operations = mark_pass(backbone, shape, target, clock.mark)
    readings, usage = _run_passes(forward, image, clock, warmup + iterations)
    # Whole nanoseconds, one at the least: what a record holds (pyperf takes no zero).
    samples = np.maximum(np.round(readings[warmup:], 6), 1e-6)
    faults, counts = [], []  # of each operation the median of three passes; the counter's marks
    if target == "layer" and not image.is_cuda:
        forward, _ = mark_pass(
            backbone, shape, target, lambda: counts.append(getrusage(RUSAGE_SELF).ru_minflt)
        )
        with torch.inference_mode():
            for _ in range(3):
                forward(image)
        counts = np.diff(np.reshape(counts, (3, -1)))
        faults = np.median(counts, axis=0).astype(int).tolist()

    def row(intervals: slice, *about, **more) -> Row:
        times = np.round(samples[:, intervals].sum(axis=1), 6)[np.newaxis]
        counted = [sum(faults[intervals])] if faults else []
        return Row(*about, times, page_faults=counted, **more)

    rows, end = [], 0
    for number, (stage, group) in enumerate(groupby(operations, itemgetter(0))):
        inside = [operation for _, operation in group]
        start, end = end, end + (len(inside) if target == "layer" else 1)
        about = "block", stage.type, stage.path, number, inside[0].input_shape
        cost = sum_costs(operation.cost for operation in inside)
        rows.append(row(slice(start, end), *about, settings=stage.settings, cost=cost))
        for at, operation in enumerate(inside if target == "layer" else (), start):
            about = "layer", operation.type, operation.path, number, operation.input_shape
            rows.append(row(slice(at, at + 1), *about, cost=operation.cost))
    cost = sum_costs(operation.cost for _, operation in operations) if operations else None
    rows.append(row(slice(None), "model", backbone.name, "", None, shape, cost=cost))
    if image.is_cuda:
        used = {"peak_allocated_memory": torch.cuda.max_memory_allocated(image.device)}
    else:
        page_faults, system_time = np.median(usage[warmup:], axis=0).tolist()
        rows[-1].page_faults[:] = [round(page_faults)]
        unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss
        peak = getrusage(RUSAGE_SELF).ru_maxrss * unit
        used = {"system_time": round(system_time, 6), "peak_resident_memory": peak}
    return number_rows(rows), used


def _run_passes(
    forward: Callable[[Tensor], Tensor], image: Tensor, clock: Clock, passes: int
) -> tuple[list[list[float]], list[tuple[int, float]]]:
    """What the clock reads after each pass, and the minor page faults and seconds of system time of
    each, outside its marks; with a progress bar on a terminal."""
    readings, usage = [], []
    with torch.inference_mode(), tqdm(total=passes, disable=None, leave=False) as bar:
        for _ in range(passes):
            before = getrusage(RUSAGE_SELF)
            forward(image)
            after = getrusage(RUSAGE_SELF)
            usage.append((after.ru_minflt - before.ru_minflt, after.ru_stime - before.ru_stime))
            readings.append(clock.read())
            bar.update()
    return readings, usage


def measure_ceilings(device: torch.device, dtype: torch.dtype, clock: Clock) -> Ceilings:
    """The best of 30 products of square matrices and of 15 copies of 512 MiB, in touched memory.
    Half of the products are torch.mm's, half a pointwise convolution's in channels_last, by another
    library (and perhaps in TF32, as in the network): neither is the faster one on all machines."""

    def least_ms(operation: Callable[[], object]) -> float:
        for _ in range(15):
            clock.mark()
            operation()
        clock.mark()
        return min(clock.read())

    side = {"cpu": 2048, "cuda": 8192}[device.type]  # of the matrices
    copied = 2**29  # bytes: with the copy, far more than the caches hold
    with torch.inference_mode():
        a, b = (torch.ones(side, side, device=device, dtype=dtype) for _ in range(2))
        image = a.view(1, side // 32, 32, side).permute(0, 3, 1, 2)  # pixel by pixel
        filters = b.view(side, 1, 1, side).permute(0, 3, 1, 2)
        source = torch.ones(copied // dtype.itemsize, device=device, dtype=dtype)
        target = torch.ones_like(source)
        products = lambda: torch.mm(a, b), lambda: torch.conv2d(image, filters)
        product_ms = min(least_ms(product) for product in products)
        copy_ms = least_ms(lambda: target.copy_(source))
    return Ceilings(2 * side**3 / product_ms * 1e3, 2 * copied / copy_ms * 1e3)
