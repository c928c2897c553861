"""What a network holds in memory during inference; with --struct, how it is built."""

from backbone import flags, script


def main() -> None:
    parser = flags.script_parser(__doc__)
    does = "the layers instead of the memory report"
    truth = {"type": str.title, "choices": ("True", "False")}
    parser.add_argument("--struct", nargs="?", const="True", default="False", **truth, help=does)
    does = "of the memory report; auto is CUDA if there is one"
    parser.add_argument("--device", choices=("auto", "cuda", "cpu"), default="auto", help=does)
    args = flags.parse(parser)
    import torch

    from backbone import machine, memory, networks

    if args.struct == "True":  # from shapes alone
        with torch.device("meta"):
            backbone, image = networks.make_stock(args, "meta")
        layers, macs = memory.list_layers(backbone.network, image)
        print(memory.format_layers(layers, list(image.shape)))
        print(f"Total MACs: {macs:,} (1 MAC = 2 FLOPs)")
        return
    no_cuda = machine.why_no_cuda()
    if args.device == "cuda" and no_cuda:
        raise script.Failure(f"{no_cuda}; --device cpu reports the CPU")
    device = torch.device("cpu" if no_cuda or args.device == "cpu" else "cuda")
    reporter = memory.load_reporter()
    backbone, image = networks.make_stock(args, device)
    network = backbone.network
    predicted = memory.predict_peak(network, image)
    measured = memory.measure_peak(network, image)
    print(memory.format_tensors(reporter, network, image), end="")
    print(f"Parameters: {sum(parameter.numel() for parameter in network.parameters())}")
    on = torch.cuda.get_device_name(device) if image.is_cuda else None
    print(memory.format_peak(predicted, measured, on))


if __name__ == "__main__":
    script.run(main)
