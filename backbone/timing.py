"""Timed passes, and the rows that they make."""

import argparse
from collections.abc import Callable
from importlib.metadata import version
from itertools import groupby
from operator import itemgetter
from typing import Protocol

import numpy as np
import torch
from tqdm import tqdm

from backbone import files, networks
from backbone.inputs import DATASETS
from backbone.instrument import Operation, insert_marks, trace_operations
from backbone.networks import Backbone, Stage
from backbone.rows import Row, format_rows
from backbone.script import importing


class Clock(Protocol):
    """What a timer brings of its own: how to mark a moment, and how to read the marks."""

    def mark(self) -> None:
        """Mark this moment, without waiting for anything."""

    def read(self) -> list[float]:
        """After a pass: milliseconds from each of its marks to the next."""


def report_times(
    args: argparse.Namespace, device: torch.device, clock: Clock, machine: dict[str, str | int]
) -> None:
    """A timer from its flags to its report on stdout and, with --json, its record.

    machine: what the record says of the machine beside what all records say.
    """
    image = torch.rand(args.batch_size, *DATASETS[args.dataset].shape, device=device)
    backbone = networks.build()
    backbone.network.to(device)
    if args.json is not None:
        # What can go wrong with the record is better known before a long run than after it; pyperf
        # is for those who ask for one.
        with importing():
            from backbone import records

        files.check_writable(args.json)
        about = machine | {
            "torch_version": torch.__version__,
            "torchvision_version": version("torchvision"),
            "network": backbone.name,
            "dtype": str(image.dtype).removeprefix("torch."),
            "dataset": args.dataset,
            "target": args.target,
            "warmup": args.warmup,
        }
    rows = time_network(backbone, image, args.target, clock, args.warmup, args.iterations)
    if args.json is not None:
        files.write_whole(args.json, records.dumps(rows, about))
    print(format_rows(rows), end="")


def time_network(
    backbone: Backbone,
    image: torch.Tensor,
    target: str,
    clock: Clock,
    warmup: int,
    iterations: int,
) -> list[Row]:
    """Time a network on an image (B, C, H, W), as a whole or cut into rows that tile the pass.

    target: "model", "block" (its stages) or "layer" (stages and operations). The row of the whole
    pass comes last; all rows are from the same passes.
    """
    shape = list(image.shape)
    forward, operations = mark_pass(backbone, shape, target, clock.mark)
    passes = []
    with torch.inference_mode(), tqdm(total=warmup + iterations, disable=None, leave=False) as bar:
        for _ in range(warmup + iterations):
            forward(image)
            passes.append(clock.read())
            bar.update()
    # Whole nanoseconds, one at the least: what a record holds (pyperf takes no zero).
    samples = np.maximum(np.round(passes[warmup:], 6), 1e-6)
    rows, columns = [], iter(samples.T)
    for number, (stage, group) in enumerate(groupby(operations, key=itemgetter(0))):
        inside = [operation for _, operation in group]
        layers = [
            Row("layer", op.kind, op.path, number, op.input_shape, next(columns))
            for op in (inside if target == "layer" else ())
        ]
        times = np.round(sum(layer.samples for layer in layers), 6) if layers else next(columns)
        first = inside[0].input_shape
        rows += [Row("block", stage.kind, stage.path, number, first, times, stage.settings)]
        rows += layers
    whole = np.round(samples.sum(axis=1), 6)
    return [*rows, Row("model", backbone.name, "", None, shape, whole)]


def mark_pass(
    backbone: Backbone, input_shape: list[int], target: str, mark: Callable[[], object]
) -> tuple[Callable[[torch.Tensor], torch.Tensor], list[tuple[Stage, Operation]]]:
    """The pass with the marks of a target, and the operations between them, each with its stage.

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
    graph, operations = trace_operations(network, input_shape)
    stages = [backbone.stage_at(operation.path) for operation in operations]
    parts = stages if target == "block" else range(len(operations))
    forward = insert_marks(network, graph, parts, mark)
    return forward, list(zip(stages, operations, strict=True))
