"""Flags that scripts share, and the image sizes that they name."""

import argparse
import re
from difflib import get_close_matches
from functools import partial
from math import ceil

from backbone.script import PROGRAM

# Of their images, (C, H, W).
DATASETS = {"cityscapes": (3, 1024, 2048), "pascal": (3, 500, 334)}
DEFAULT = "mobilenet_v2"  # the network unless another is named
# With an output stride to choose: torchvision's ResNets without bottlenecks have no dilation.
DILATED = (DEFAULT, "resnet50", "resnet101", "resnet152", "resnext", "wide_resnet")
OLD_TARGETS = {"yes": "model", "no": "layer", "False": "layer"}
MODES = {
    "--channels-last": "weights and image in channels_last memory format",
    "--fold": "batch norm folded into the convolution before it",
    "--compile": "compiled by torch.compile, with its default settings",
    "--train": "the network left in training mode",
}
EXACT = ("", "--keep-memory")  # the modes that change no arithmetic


def size(text: str) -> str:
    """A flag's type: a dataset's name, which stands for the size of its images, or HxW."""
    if text in DATASETS or re.fullmatch("[1-9][0-9]{0,8}x[1-9][0-9]{0,8}", text):
        return text
    known = ", ".join(DATASETS)
    raise argparse.ArgumentTypeError(f"{text!r} is none of {known}, and no HxW such as 512x1024")


def whole_number(text: str, least: int = 0) -> int:
    """A flag's type: a whole number from `least` up, of nine digits at the most, for torch."""
    # Not +5, 05 or 1_000 either, which a shell reads apart.
    if re.fullmatch("0|[1-9][0-9]{0,8}", text) and int(text) >= least:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least} up to 999999999")


positive = partial(whole_number, least=1)


def script_parser(description: str) -> argparse.ArgumentParser:
    """The flags that every measuring script has."""
    flags = argparse.ArgumentParser(PROGRAM, description=description, allow_abbrev=False)
    flags.formatter_class = argparse.ArgumentDefaultsHelpFormatter
    does = f"image size: {', '.join(DATASETS)}, or HxW, height first"
    flags.add_argument("--i", "--input", dest="dataset", type=size, default="cityscapes", help=does)
    flags.add_argument("--model", default=DEFAULT, help="a classification network of torchvision's")
    does = "input size over that of the last feature map, by dilations in place of strides"
    flags.add_argument("--output-stride", type=int, choices=(32, 16, 8), default=32, help=does)
    flags.add_argument("--batch-size", "--s", type=positive, default=1, help="images a pass")
    return flags


def timer_parser(description: str) -> argparse.ArgumentParser:
    """The flags that both timers have."""
    flags = script_parser(description)
    target = flags.add_mutually_exclusive_group()
    does = "time the whole network, its stages, or its stages and operations"
    target.add_argument("--target", choices=("model", "block", "layer"), default="model", help=does)
    does = "older spelling: yes is --target model, no is --target layer"
    target.add_argument("--w", choices=OLD_TARGETS, help=does)
    flags.add_argument("--iterations", type=positive, default=300, help="timed passes")
    flags.add_argument("--warmup", type=whole_number, default=25, help="passes before them")
    flags.add_argument("--rounds", type=positive, default=1, help="processes that share them")
    for mode, does in MODES.items():
        flags.add_argument(mode, action="store_true", help=does)
    dtypes = ("float32", "bfloat16", "float16")
    flags.add_argument("--dtype", choices=dtypes, default="float32", help="of network and image")
    record = flags.add_mutually_exclusive_group()
    record.add_argument("--json", metavar="FILE", help="also write every sample, as a pyperf suite")
    record.add_argument("--append", metavar="FILE", help="add this run to one; print all its runs")
    return flags


def parse(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """A script's flags, and the `shape` of its images, (C, H, W). A network that torchvision has
    not, or an output stride that the network has not, is a usage error."""
    args = parser.parse_args()
    args.shape = DATASETS.get(args.dataset) or (3, *map(int, args.dataset.split("x")))
    if args.model != DEFAULT:  # to import torch takes seconds
        from backbone.networks import torchvision

        name, known = args.model, torchvision.models.list_models(module=torchvision.models)
        if name not in known:
            near = ", ".join(get_close_matches(name, known, cutoff=0.5)) or "see torchvision.models"
            parser.error(f"argument --model: {name!r} is none of torchvision's; near it: {near}")
        if args.output_stride != 32 and not name.startswith(DILATED):
            parser.error(f"{name} has no output stride to choose; {', '.join(DILATED)} have")
    return args


def parse_timer(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """A timer's flags, with its own share of the timed passes, and its mode: the flags that set it,
    as one would type them. Modes that do not go together are usage errors."""
    args = parse(parser)
    args.target = OLD_TARGETS.get(args.w, args.target)
    args.iterations = ceil(args.iterations / args.rounds)
    if args.compile and args.target != "model":
        parser.error("--compile fuses operations, and leaves none to time; use --target model")
    if args.fold and args.train:
        parser.error("--fold fixes the statistics that --train computes anew; use one of the two")
    words = ["--keep-memory", *MODES]
    mode = [word for word in words if getattr(args, word[2:].replace("-", "_"), False)]
    mode += [f"--dtype {args.dtype}"] if args.dtype != "float32" else []
    args.mode = " ".join(mode)
    return args
