"""What MobileNet-V2 holds in memory during inference; with --struct, how it is built."""

import argparse

from backbone import cli


def main() -> None:
    flags = cli.parser(__doc__)
    flags.add_argument(
        "--struct",
        type=truth,
        nargs="?",
        const=True,
        default=False,
        metavar="True|False",
        help="the layers instead of the memory report",
    )
    flags.add_argument(
        "--device",
        choices=("auto", "cuda", "cpu"),
        default="auto",
        help="of the memory report; auto is CUDA if there is one",
    )
    args = flags.parse_args()
    (report_structure if args.struct else report_memory)(args)


def truth(text: str) -> bool:
    """A flag's type: True or False, and it means what it says."""
    truths = {"true": True, "false": False}
    if text.lower() not in truths:
        raise argparse.ArgumentTypeError(f"{text!r} is neither True nor False")
    return truths[text.lower()]


def report_structure(args: argparse.Namespace) -> None:
    """The table of layers and the multiply-accumulates, from shapes alone."""
    with cli.importing():
        import torch

        from backbone import mobilenetv2, structure

    with torch.device("meta"):
        network = mobilenetv2.build()
        image = torch.empty(args.batch_size, *cli.DATASETS[args.dataset])
    layers, macs = structure.trace(network, image)
    print(structure.table(layers, list(image.shape)))
    print(f"Total MACs: {macs:,} (1 MAC = 2 FLOPs)")


def report_memory(args: argparse.Namespace) -> None:
    """The tensors that a pass leaves, then what it needs at its worst moment."""
    with cli.importing():
        import torch

        from backbone import memory, mobilenetv2, peak

    cuda = torch.cuda.is_available()
    if args.device == "cuda" and not cuda:
        raise cli.Failure("no CUDA device here; --device cpu reports the CPU")
    device = torch.device("cuda" if cuda and args.device != "cpu" else "cpu")
    reporter = memory.load_reporter()
    network = mobilenetv2.build().to(device)
    image = torch.rand(args.batch_size, *cli.DATASETS[args.dataset], device=device)
    predicted = peak.predict(network, image)
    measured = memory.run_pass(network, image)
    print(memory.table(reporter, network, image), end="")
    print(f"Parameters: {sum(parameter.numel() for parameter in network.parameters())}")
    on = torch.cuda.get_device_name(device) if image.is_cuda else None
    print(peak.report(predicted, measured, on), end="")


if __name__ == "__main__":
    cli.run(main)
