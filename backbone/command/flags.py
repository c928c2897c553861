"""Flags that scripts share, and their conversion to options."""

import argparse
from collections.abc import Callable, Sequence

from backbone.command.ending import PROGRAM
from backbone.command.flag_types import (
    existing_file,
    existing_folder,
    image_size,
    model,
    positive,
    whole_number,
)
from backbone.command.options import (
    DATASETS,
    DEFAULT_MODEL,
    INT8,
    PYTORCH,
    MemoryOptions,
    Mode,
    TimerOptions,
    Workload,
    flag_of,
)

OLD_TARGETS = {"yes": "model", "no": "layer", "False": "layer"}
DTYPES = ("float32", "bfloat16", "float16")
RUNTIMES = {  # and the precisions that each has on a CPU
    PYTORCH: DTYPES,
    "onnxruntime": ("float32", INT8),
    "openvino": ("float32", "bfloat16", INT8),
}
NOT_WITH_RUNTIME = {
    "compile": "it is PyTorch's compiler; the runtime has its own",
    "fold": "the runtime folds batch norms itself",
    "channels_last": "the runtime chooses memory formats itself",
    "train": "the exported network is in eval mode",
}
MODES = {
    "channels_last": "use channels_last memory format for weights and image",
    "fold": "fold each batch norm into the convolution before it",
    "compile": "compile the network by torch.compile with default settings",
    "freeze": "with --compile: treat weights as constants (Inductor's freezing)",
    "train": "leave the network in training mode",
}


def script_parser(description: str) -> argparse.ArgumentParser:
    """A parser with the flags that all measuring scripts share."""
    parser = argparse.ArgumentParser(PROGRAM, description=description, allow_abbrev=False)
    parser.add_argument(
        "--i",
        "--input",
        dest="dataset",
        type=image_size,
        default="cityscapes",
        help=f"image size: {', '.join(DATASETS)}, or HxW or CxHxW, height first "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--model",
        type=model,
        default=DEFAULT_MODEL,
        help="a classification or segmentation network from torchvision, or your own: FILE.py:NAME "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--weights",
        type=existing_file,
        metavar="FILE",
        help="a state dictionary to load into the network (default: random weights)",
    )
    parser.add_argument(
        "--output-stride",
        type=int,
        choices=(32, 16, 8),
        default=32,
        help="input size divided by the size of the last feature map; dilations replace strides "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--batch-size",
        "--s",
        type=positive,
        default=1,
        help="images per pass (default: %(default)s)",
    )
    parser.set_defaults(images=None)  # only timers have --images
    return parser


def timer_parser(description: str) -> argparse.ArgumentParser:
    """A parser with the flags of both timers."""
    parser = script_parser(description)
    target = parser.add_mutually_exclusive_group()
    target.add_argument(
        "--target",
        choices=("model", "block", "layer"),
        default="model",
        help="time the whole pass, its stages, or its stages and operations (default: %(default)s)",
    )
    target.add_argument(
        "--w",
        choices=OLD_TARGETS,
        help="the study's spelling: yes is --target model, no is --target layer",
    )
    parser.add_argument(
        "--iterations",
        type=positive,
        default=300,
        help="timed passes (default: 300; wrappers choose by the duration of a pass)",
    )
    parser.add_argument(
        "--warmup", type=whole_number, default=25, help="warm-up passes (default: %(default)s)"
    )
    for name, meaning in MODES.items():
        parser.add_argument(flag_of(name), action="store_true", help=meaning)
    parser.add_argument(
        "--dtype",
        choices=(*DTYPES, INT8),
        default="float32",
        help="data type of weights and image (default: %(default)s)",
    )
    parser.add_argument(
        "--images",
        type=existing_folder,
        metavar="FOLDER",
        help="compare a mode's answers with stock's on these images, some of which calibrate int8 "
        "(default: random images)",
    )
    parser.add_argument(
        "--turns",
        action="store_true",
        help="take turns assigned by a parent process over stdin and stdout (used by compare.py)",
    )
    parser.add_argument(
        "--json", metavar="FILE", help="also write every sample to FILE, as a pyperf suite"
    )
    # Only one of the two timers has a flag for these.
    parser.set_defaults(keep_memory=False, runtime=PYTORCH, threads=None, cuda_graph=False)
    return parser


def timer_options(
    parser: argparse.ArgumentParser, words: Sequence[str] | None = None
) -> TimerOptions:
    """A timer's options, from the command line unless words are given. Flags that cannot be
    combined are usage errors."""
    parsed = parser.parse_args(words)
    parsed.target = OLD_TARGETS.get(parsed.w, parsed.target)
    if parsed.compile and parsed.target != "model":
        parser.error(
            "--compile fuses operations, so none can be timed; use --target model or modes.sh"
        )
    if parsed.cuda_graph and parsed.target != "model":
        parser.error("--cuda-graph launches all operations at once; use --target model")
    if parsed.freeze and not parsed.compile:
        parser.error("--freeze is an option of torch.compile; add --compile")
    for flag in ("fold", "freeze"):
        if getattr(parsed, flag) and parsed.train:
            parser.error(
                f"--{flag} fixes the batch statistics that --train recomputes; use only one of them"
            )
    if parsed.turns and parsed.json:
        parser.error(
            "--turns sends the record to the parent process; it cannot be combined with --json"
        )
    mode = Mode(
        keep_memory=parsed.keep_memory,
        channels_last=parsed.channels_last,
        fold=parsed.fold,
        compile=parsed.compile,
        freeze=parsed.freeze,
        cuda_graph=parsed.cuda_graph,
        train=parsed.train,
        dtype=parsed.dtype,
        runtime=parsed.runtime,
    )
    options = TimerOptions(
        workload=_workload_of(parsed),
        mode=mode,
        target=parsed.target,
        iterations=parsed.iterations,
        warmup=parsed.warmup,
        threads=parsed.threads,
        json=parsed.json,
        turns=parsed.turns,
    )
    if mode.runtime != PYTORCH:
        _check_runtime(options, parser.error)
    elif mode.dtype == INT8:
        parser.error(
            "--dtype int8 needs --runtime onnxruntime or openvino, which only cpu/timer.py has"
        )
    return options


def _check_runtime(options: TimerOptions, refuse: Callable[[str], None]) -> None:
    """Refuse, by a parser's error(), flags that cannot be combined with another runtime."""
    mode = options.mode
    runtime = f"--runtime {mode.runtime}"
    if options.target != "model":
        refuse(f"{runtime} fuses operations, so none can be timed; use --target model")
    for name, reason in NOT_WITH_RUNTIME.items():
        if getattr(mode, name):
            refuse(f"{flag_of(name)} cannot be combined with {runtime}: {reason}")
    if mode.dtype not in RUNTIMES[mode.runtime]:
        *others, last = RUNTIMES[mode.runtime]
        known = f"{', '.join(others)} or {last}"
        refuse(f"--dtype {mode.dtype} is not available with {runtime}, which has {known} on a CPU")


def memory_options(
    parser: argparse.ArgumentParser, words: Sequence[str] | None = None
) -> MemoryOptions:
    """mem.py's options, from the command line unless words are given."""
    parsed = parser.parse_args(words)
    return MemoryOptions(
        workload=_workload_of(parsed),
        structure=parsed.struct == "True",
        device=parsed.device,
        json=parsed.json,
    )


def _workload_of(parsed: argparse.Namespace) -> Workload:
    return Workload(
        model=parsed.model,
        output_stride=parsed.output_stride,
        dataset=parsed.dataset,
        batch_size=parsed.batch_size,
        weights=parsed.weights,
        images=parsed.images,
    )
