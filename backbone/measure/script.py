"""One run of a timer, from its flags to its report; shared by both timers."""

import argparse
import gc
import os
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from datetime import datetime
from time import perf_counter
from typing import TYPE_CHECKING

from backbone.command import ending, files, flags
from backbone.command.errors import Failure
from backbone.command.image_files import check_images
from backbone.command.options import PYTORCH, STOCK, TimerOptions
from backbone.measure.turns import Turns
from backbone.network import catalog

if TYPE_CHECKING:
    from backbone.measure.clocks import Clock
    from backbone.record.rows import Record


@dataclass(frozen=True)
class Device:
    """The device-specific part of a timer.

    name: torch's name of the device. new_clock: creates the clock. prepare: sets up the process
    before torch computes anything, and raises Failure if the device is missing. describe: the
    conditions of device and process for a record.
    """

    name: str
    new_clock: "Callable[[], Clock]"
    prepare: Callable[[TimerOptions], None]
    describe: Callable[[TimerOptions], dict[str, str | int]]


def main(parser: argparse.ArgumentParser, device: Device) -> None:
    """Run the measurement that the command line asks for. Print the report and, if requested, write
    the record; with --turns, send the record to the parent process instead."""
    options = flags.timer_options(parser)
    turns = Turns() if options.turns else None
    catalog.check_named(options.workload, parser.error)
    if options.json is not None:
        files.check_writable(options.json)
    if turns is None and options.workload.images is not None:
        check_images(options.workload.images)
    with redirect_stdout(sys.stderr):  # a user's network may print
        record = measure(options, device, turns)
    if options.has_record:
        from backbone.record import records

        text = records.dumps(record)
        if turns is not None:
            turns.send(text)
            if not options.mode.compile:  # an exit handler ends its worker processes
                ending.end_at_once()
            return
        files.write_whole(options.json, text)
    from backbone.record.remarks import doubt_of_cut, remarks_on
    from backbone.record.text import format_rows

    print(format_rows(record.rows), end="")
    ratio = record.runs[0].get("cut_over_uncut")
    if ratio and (doubt := doubt_of_cut(options.target, record, ratio)):
        ending.say(doubt)
    for remark in remarks_on(record):
        ending.say(remark)
    if agreement := record.agreement:
        ending.say(f"same answer as stock on {agreement.text}")
    elif turns is None and options.workload.images and options.mode == STOCK:
        ending.say("--images has no effect on stock, with which the answers of modes are compared")


def measure(options: TimerOptions, device: Device, turns: Turns | None) -> "Record":
    """The record of this run. If no record is requested, it has only the timed rows, without costs
    and conditions. Raises Failure if the run is impossible."""
    date = str(datetime.now())
    gc.disable()  # it takes a fifth of the import time, and imported objects stay alive
    device.prepare(options)
    import torch

    from backbone.measure.machine import describe_software
    from backbone.measure.quantized import quantized_network
    from backbone.measure.timing import time_network, with_cost
    from backbone.measure.yardsticks import measure_yardsticks
    from backbone.network.build import build
    from backbone.network.modes import apply_mode, make_ready
    from backbone.network.own import failing_at_its_line
    from backbone.network.weights import digest_of
    from backbone.record.rows import Record
    from backbone.trace.measurable import check_input

    gc.freeze()
    gc.enable()
    clock = device.new_clock()
    backbone, image = build(options.workload, torch.device(device.name))
    weights = digest_of(backbone.network) if backbone.is_own and options.is_compared else None
    begun = perf_counter()
    image = apply_mode(backbone, image, options.mode)
    seconds = perf_counter() - begun
    check_input(backbone, options.workload.input_shape)
    with failing_at_its_line(options.workload.model), quantized_network(options) as quantized:
        begun = perf_counter()
        ready = make_ready(backbone, image, options.mode, quantized.file)
        seconds += perf_counter() - begun + quantized.seconds
        rows, fields = time_network(ready, image, clock, options, seconds, turns)
    fields = {"date": date} | fields
    if not options.is_compared:
        return Record(rows, conditions={}, runs=[fields])
    from backbone.record.records import collect_conditions  # it imports pyperf

    if turns is None or turns.is_first:
        stock_output = stock_output_by_hand(options, device) if turns is None else turns.reference
        fields |= measure_yardsticks(options, ready, image, clock, stock_output, weights)
    conditions = collect_conditions() | describe_software() | device.describe(options)
    conditions |= describe_options(options) | {"network": backbone.name}
    conditions |= {"iterations": rows[-1].samples.shape[1]}
    return Record(with_cost(rows, backbone), conditions, runs=[fields])


def stock_output_by_hand(options: TimerOptions, device: Device) -> bytes | None:
    """For a run without a parent: the stock output as bytes, from a process without the run's flags
    and variables. None if the run has neither, or, with a line on stderr, if that process fails."""
    import torch

    from backbone.measure.apart import without_changing
    from backbone.measure.reference import StockPass, compute_reference

    environment = without_changing(os.environ)
    if not options.mode.flags and len(environment) == len(os.environ):
        return None
    stock = StockPass(options.workload, device.name, torch.get_num_threads())
    try:
        return compute_reference(stock, environment)
    except Failure as failure:
        ending.say(f"no output difference: {failure}")
        return None


def describe_options(options: TimerOptions) -> dict[str, str | int]:
    """A record's conditions from a timer's flags."""
    workload = options.workload
    conditions = {
        "dataset": workload.dataset,
        "target": options.target,
        "batch_size": workload.batch_size,
        "warmup": options.warmup,
        "dtype": options.mode.dtype,
        "runtime": None if options.mode.runtime == PYTORCH else options.mode.runtime,
        "threads_chosen": options.threads,
        "output_stride": None if workload.output_stride == 32 else workload.output_stride,
        "weights": workload.weights_id,
        "images": workload.images_id,
        "file_id": workload.file_id,
    }
    conditions |= dict.fromkeys(options.mode.switched_on, "True")
    return {field: value for field, value in conditions.items() if value is not None}
