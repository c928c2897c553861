"""Flags that scripts share."""

import argparse
from collections.abc import Callable
from difflib import get_close_matches

from backbone.inputs import DATASETS, shape_of
from backbone.script import PROGRAM, importing

DEFAULT = "mobilenet_v2"  # the network unless another is named

MODES = {
    "--channels-last": "weights and image in channels_last memory format",
    "--fold": "batch norm folded into the convolution before it",
    "--compile": "compiled by torch.compile, with its default settings",
    "--train": "the network left in training mode",
}
EXACT = ("", "--keep-memory")  # the modes that change no arithmetic


def whole_number(least: int, most: int = 2**63 - 1) -> Callable[[str], int]:
    """A flag's type: a whole number from `least` to `most`, which unsaid is what torch can take."""

    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = least - 1
        if number < least or text != str(number):  # nor +5, 05 or 1_000, which a shell reads apart
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least} up")
        if number > most:
            raise argparse.ArgumentTypeError(f"{text!r} is more than {most}")
        return number

    return parse


def script_parser(description: str) -> argparse.ArgumentParser:
    """The flags that every measuring script has."""
    flags = argparse.ArgumentParser(
        prog=PROGRAM,
        description=description,
        allow_abbrev=False,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    flags.add_argument(
        "--i",
        "--input",
        dest="dataset",
        type=_image_size,
        default="cityscapes",
        metavar=f"{{{','.join(DATASETS)},HxW}}",
        help="image size",
    )
    flags.add_argument(
        "--model", type=_network, default=DEFAULT, help="a classification network of torchvision's"
    )
    flags.add_argument(
        "--output-stride",
        type=int,
        choices=(32, 16, 8),
        default=32,
        help="input size over that of the last feature map, by dilations in place of strides",
    )
    flags.add_argument(
        "--s",
        "--batch-size",
        dest="batch_size",
        type=whole_number(1),
        default=1,
        help="images in a pass",
    )
    return flags


def timer_parser(description: str) -> argparse.ArgumentParser:
    """The flags that both timers have."""
    flags = script_parser(description)
    target = flags.add_mutually_exclusive_group()
    target.add_argument(
        "--target",
        choices=("model", "block", "layer"),
        default="model",
        help="time the whole network, its stages, or its stages and operations",
    )
    target.add_argument(
        "--w",
        dest="target",
        type=_target_by_old_name,
        default=argparse.SUPPRESS,
        metavar="{yes,no}",
        help="older spelling: yes is --target model, no is --target layer",
    )
    flags.add_argument("--iterations", type=whole_number(1), default=300, help="timed passes")
    flags.add_argument("--warmup", type=whole_number(0), default=25, help="passes before them")
    for mode, does in MODES.items():
        flags.add_argument(mode, action="store_true", help=does)
    flags.add_argument(
        "--dtype",
        choices=("float32", "bfloat16", "float16"),
        default="float32",
        help="of network and image",
    )
    record = flags.add_mutually_exclusive_group()
    record.add_argument("--json", metavar="FILE", help="also write every sample, as a pyperf suite")
    record.add_argument(
        "--append", metavar="FILE", help="add this run to such a record; print all of its runs"
    )
    return flags


def parse(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """A script's flags. An output stride that a network has not is a usage error."""
    args = parser.parse_args()
    if args.output_stride != 32 and args.model != DEFAULT:
        from backbone import networks  # which the type of --model has imported

        try:
            networks.check_output_stride(args.model)
        except ValueError as error:
            parser.error(str(error))
    return args


def _image_size(text: str) -> str:
    try:
        shape_of(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def _network(name: str) -> str:
    if name == DEFAULT:  # to import torch takes seconds
        return name
    with importing():
        from backbone import networks

    known = networks.list_names()
    if name not in known:
        near = ", ".join(get_close_matches(name, known, cutoff=0.5)) or "see torchvision.models"
        raise argparse.ArgumentTypeError(f"{name!r} is none of torchvision's; near it: {near}")
    return name


def parse_timer(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """A timer's flags, and its mode: the flags that set it, as one would type them. Modes that do
    not go together are usage errors."""
    args = parse(parser)
    if args.compile and args.target != "model":
        parser.error("--compile fuses operations, and leaves none to time; use --target model")
    if args.fold and args.train:
        parser.error("--fold fixes the statistics that --train computes anew; use one of the two")
    words = ["--keep-memory", *MODES]
    flags = [word for word in words if getattr(args, word[2:].replace("-", "_"), False)]
    args.mode = " ".join(flags + ([f"--dtype {args.dtype}"] if args.dtype != "float32" else []))
    return args


def _target_by_old_name(text: str) -> str:
    targets = {"yes": "model", "no": "layer", "False": "layer"}
    if text not in targets:
        raise argparse.ArgumentTypeError(f"{text!r} is neither yes nor no")
    return targets[text]
