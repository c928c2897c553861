"""Flags that scripts share, and how they become options."""

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
    "compile": "it is PyTorch's compiler, and the runtime has its own",
    "fold": "the runtime folds batch norms itself",
    "channels_last": "the runtime chooses memory formats itself",
    "train": "what is exported is the network in eval mode",
}
MODES = {
    "channels_last": "weights and image in channels_last memory format",
    "fold": "batch norm folded into the convolution before it",
    "compile": "compiled by torch.compile, with its default settings",
    "freeze": "with --compile: weights as constants (Inductor's freezing)",
    "train": "the network left in training mode",
}


def script_parser(description: str) -> argparse.ArgumentParser:
    """The flags that every measuring script has."""
    parser = argparse.ArgumentParser(
        PROGRAM,
        description=description,
        allow_abbrev=False,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--i",
        "--input",
        dest="dataset",
        type=image_size,
        default="cityscapes",
        help=f"image size: {', '.join(DATASETS)}, HxW, height first, or CxHxW",
    )
    parser.add_argument(
        "--model",
        type=model,
        default=DEFAULT_MODEL,
        help="a classification or segmentation network of torchvision's, or your own: FILE.py:NAME",
    )
    parser.add_argument(
        "--weights", type=existing_file, metavar="FILE", help="a state dictionary for it"
    )
    parser.add_argument(
        "--output-stride",
        type=int,
        choices=(32, 16, 8),
        default=32,
        help="input size over that of the last feature map, by dilations in place of strides",
    )
    parser.add_argument("--batch-size", "--s", type=positive, default=1, help="images a pass")
    parser.set_defaults(images=None)  # only timers have a flag for them
    return parser


def timer_parser(description: str) -> argparse.ArgumentParser:
    """The flags that both timers have."""
    parser = script_parser(description)
    target = parser.add_mutually_exclusive_group()
    target.add_argument(
        "--target",
        choices=("model", "block", "layer"),
        default="model",
        help="time the whole network, its stages, or its stages and operations",
    )
    target.add_argument(
        "--w",
        choices=OLD_TARGETS,
        help="older spelling: yes is --target model, no is --target layer",
    )
    parser.add_argument("--iterations", type=positive, default=300, help="timed passes")
    parser.add_argument("--warmup", type=whole_number, default=25, help="passes before them")
    for name, meaning in MODES.items():
        parser.add_argument(flag_of(name), action="store_true", help=meaning)
    parser.add_argument(
        "--dtype", choices=(*DTYPES, INT8), default="float32", help="of network and image"
    )
    parser.add_argument(
        "--images",
        type=existing_folder,
        metavar="FOLDER",
        help="compare a mode's answers with stock's on these images; some calibrate int8",
    )
    parser.add_argument(
        "--turns",
        action="store_true",
        help="take turns that a parent process hands out over stdin and stdout, as compare.py does",
    )
    parser.add_argument("--json", metavar="FILE", help="also write every sample, as a pyperf suite")
    # Only one of the timers has a flag for these.
    parser.set_defaults(keep_memory=False, runtime=PYTORCH, threads=None, cuda_graph=False)
    return parser


def timer_options(
    parser: argparse.ArgumentParser, words: Sequence[str] | None = None
) -> TimerOptions:
    """A timer's options, from the command line unless words are given. Flags that do not go
    together are usage errors."""
    parsed = parser.parse_args(words)
    parsed.target = OLD_TARGETS.get(parsed.w, parsed.target)
    if parsed.compile and parsed.target != "model":
        parser.error(
            "--compile fuses operations, and leaves none to time; use --target model, or modes.sh"
        )
    if parsed.cuda_graph and parsed.target != "model":
        parser.error("--cuda-graph launches the pass as a whole; use --target model")
    if parsed.freeze and not parsed.compile:
        parser.error("--freeze has torch.compile take weights as constants; use it with --compile")
    for flag in ("fold", "freeze"):
        if getattr(parsed, flag) and parsed.train:
            parser.error(
                f"--{flag} fixes the statistics that --train computes anew; use one of the two"
            )
    if parsed.turns and parsed.json:
        parser.error("--turns sends the record to the parent process; --json does not go with it")
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
        parser.error("--dtype int8 needs --runtime onnxruntime or openvino, which cpu/timer.py has")
    return options


def _check_runtime(options: TimerOptions, refuse: Callable[[str], None]) -> None:
    """Refuse, by a parser's error(), what does not go with another runtime than PyTorch."""
    mode = options.mode
    runtime = f"--runtime {mode.runtime}"
    if options.target != "model":
        refuse(f"{runtime} fuses operations, and leaves none to time; use --target model")
    for name, reason in NOT_WITH_RUNTIME.items():
        if getattr(mode, name):
            refuse(f"{flag_of(name)} does not go with {runtime}: {reason}")
    if mode.dtype not in RUNTIMES[mode.runtime]:
        *others, last = RUNTIMES[mode.runtime]
        known = f"{', '.join(others)} or {last}"
        refuse(f"--dtype {mode.dtype} does not go with {runtime}, which has {known} on a CPU")


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
