"""What a network holds in memory during inference; with --struct, how it is built."""

import argparse

from backbone import flags, script


def main() -> None:
    parser = flags.script_parser(__doc__)
    parser.add_argument(
        "--struct",
        type=truth,
        nargs="?",
        const=True,
        default=False,
        metavar="True|False",
        help="the layers instead of the memory report",
    )
    parser.add_argument(
        "--device",
        choices=("auto", "cuda", "cpu"),
        default="auto",
        help="of the memory report; auto is CUDA if there is one",
    )
    args = flags.parse(parser)
    (print_structure if args.struct else print_memory)(args)


def truth(text: str) -> bool:
    """A flag's type: True or False, and it means what it says."""
    truths = {"true": True, "false": False}
    if text.lower() not in truths:
        raise argparse.ArgumentTypeError(f"{text!r} is neither True nor False")
    return truths[text.lower()]


def print_structure(args: argparse.Namespace) -> None:
    """The table of layers and the multiply-accumulates, from shapes alone."""
    with script.importing():
        import torch

        from backbone import modes, networks, structure

    with torch.device("meta"):
        backbone, image = modes.make_stock(args, "meta")
    with networks.explaining(backbone, list(image.shape)):
        layers, macs = structure.list_layers(backbone.network, image)
    print(structure.format_layers(layers, list(image.shape)))
    print(f"Total MACs: {macs:,} (1 MAC = 2 FLOPs)")


def print_memory(args: argparse.Namespace) -> None:
    """The tensors that a pass leaves, then what it needs at its worst moment."""
    with script.importing():
        import torch

        from backbone import machine, memory, modes, networks, peak

    no_cuda = machine.why_no_cuda()
    if args.device == "cuda" and no_cuda:
        raise script.Failure(f"{no_cuda}; --device cpu reports the CPU")
    device = torch.device("cpu" if no_cuda or args.device == "cpu" else "cuda")
    reporter = memory.load_reporter()
    backbone, image = modes.make_stock(args, device)
    network = backbone.network
    with networks.explaining(backbone, list(image.shape)):
        predicted = peak.predict(network, image)
        measured = memory.run_pass(network, image)
    print(memory.format_tensors(reporter, network, image), end="")
    print(f"Parameters: {sum(parameter.numel() for parameter in network.parameters())}")
    on = torch.cuda.get_device_name(device) if image.is_cuda else None
    print(peak.format_peak(predicted, measured, on), end="")


if __name__ == "__main__":
    script.run(main)
