"""Memory of a network during inference; with --struct True, its structure."""

import argparse
import sys
from contextlib import redirect_stdout

from backbone.command import ending, files, flags
from backbone.command.errors import Failure
from backbone.command.options import MemoryOptions
from backbone.network import catalog
from backbone.record.memory_record import MemoryReport, Structure, describe_input, dumps


def make_parser() -> argparse.ArgumentParser:
    """A parser with the flags of this script."""
    parser = flags.script_parser(__doc__)
    parser.add_argument(
        "--struct",
        nargs="?",
        const="True",
        default="False",
        type=str.title,
        choices=("True", "False"),
        help="print the layers instead of the memory report (default: %(default)s)",
    )
    parser.add_argument(
        "--device",
        choices=("auto", "cuda", "cpu"),
        default="auto",
        help="device of the memory report; auto is CUDA if available (default: %(default)s)",
    )
    parser.add_argument("--json", metavar="FILE", help="also write the report or structure as JSON")
    return parser


def main() -> None:
    parser = make_parser()
    options = flags.memory_options(parser)
    catalog.check_named(options.workload, parser.error)
    if options.json is not None:
        files.check_writable(options.json)
    from backbone.report.memory_text import format_report, format_structure

    with redirect_stdout(sys.stderr):  # a user's network may print
        record = describe_structure(options) if options.structure else report_memory(options)
    text = format_structure(record) if options.structure else format_report(record)
    if options.json is not None:
        files.write_whole(options.json, dumps(record))
    print(text, end="")


def describe_structure(options: MemoryOptions) -> Structure:
    """The layers of a network, from shapes only."""
    import torch

    from backbone.measure.structure import list_layers
    from backbone.network.build import build
    from backbone.trace.measurable import check_input

    input_shape = options.workload.input_shape
    with torch.device("meta"):
        backbone, _ = build(options.workload, "meta")
    check_input(backbone, input_shape)
    layers, macs = list_layers(backbone.network, input_shape)
    return Structure(describe_input(options.workload, backbone.name), layers, macs)


def report_memory(options: MemoryOptions) -> MemoryReport:
    """The tensors of a network after a pass, and the peak memory of the pass."""
    import torch

    from backbone.measure import machine, memory
    from backbone.measure.denormal import Denormals, count_denormals
    from backbone.network.build import build
    from backbone.network.own import failing_at_its_line
    from backbone.trace.measurable import check_input

    no_cuda = machine.why_no_cuda()
    if options.device == "cuda" and no_cuda:
        raise Failure(f"{no_cuda}; use --device cpu")
    on_cpu = no_cuda or options.device == "cpu"
    device = torch.device("cpu" if on_cpu else "cuda:0")
    reporter = memory.load_reporter()
    backbone, image = build(options.workload, device)
    check_input(backbone, options.workload.input_shape)
    network = backbone.network
    predicted = memory.predict_peak(network, image)
    with failing_at_its_line(options.workload.model):
        measured = memory.measure_peak(network, image)
    denormals = Denormals(weights=0, activations=0)  # as with random weights
    if options.workload.has_given_values:
        denormals = count_denormals(network, image)
    return MemoryReport(
        input=describe_input(options.workload, backbone.name),
        device="cpu" if on_cpu else torch.cuda.get_device_name(device),
        storage=str(image.device),
        tensors=memory.list_tensors(reporter, network, image),
        allocator_bytes=None if on_cpu else torch.cuda.memory_allocated(device),
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        predicted_peak=predicted,
        measured_peak=measured,
        denormal_weights=denormals.weights,
        denormal_activations=denormals.activations,
    )


if __name__ == "__main__":
    ending.run(main)
