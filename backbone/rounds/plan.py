"""A wrapper's plan: the lines printed by its loop, as commands and the files of their results.

A line is [N+] [VARIABLE=VALUE ...] SCRIPT FLAGS [-> FOLDER/NAME], in a shell's quoting:

    12+ cpu/timer.py --i pascal --target block
    LD_PRELOAD=libjemalloc.so.2 cpu/timer.py --i pascal -> modes/LD_PRELOAD=libjemalloc.so.2

Timers run in rounds; 12+ requests at least 12 of them. Other scripts run once. The user's flags are
appended to the line's. Network, input and target determine where results are stored; flags that
change conditions become part of the folder's name. If a line ends in -> FOLDER/NAME, the name
describes the line's own flags, and only the user's flags become part of the folder's name.
"""

import argparse
import json
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from backbone.command import flags
from backbone.command.errors import Failure
from backbone.command.files import ROOT
from backbone.command.image_files import check_images
from backbone.command.options import STOCK, MemoryOptions, TimerOptions, Workload
from backbone.network import catalog
from backbone.rounds.commands import Command, read_command, split_variables

TARGET_FOLDERS = {"model": "", "block": "blocks/", "layer": "layers/"}
# Fields in a record's text, since parsing records takes seconds.
FILE_ID = re.compile(r'"file_id": ?("\w+")')
WEIGHTS, IMAGES = (
    re.compile(rf'"{field}": ?("(?:[^"\\]|\\.)+")') for field in ("weights", "images")
)
TO_OVERRIDE = ("--iterations", "--warmup")  # users may set these although lines set them too
ALIASES = {"--i": "--input", "--target": "--w"}


@dataclass(frozen=True, eq=False)
class Planned:
    """A command of a plan.

    least: minimum number of rounds. file: path of its results in the results folder, without an
    ending. stale: if the line has -> FOLDER/NAME, the common beginning of the paths of all results
    of its network and input in that folder, which the new set replaces.
    """

    command: Command
    options: TimerOptions | MemoryOptions
    least: int
    file: str
    stale: str | None

    @property
    def workload(self) -> Workload:
        """The command's network and input."""
        return self.options.workload

    @property
    def device(self) -> str:
        """torch's name of the measured device."""
        return "cuda" if str(ROOT / "timer.py") in self.command.words else "cpu"


def read_plan(lines: Sequence[str], arguments: Sequence[str], wrapper: str) -> list[Planned]:
    """Parse a plan and append the user's arguments. Wrong flags are usage errors, which exit.
    Raises Failure if there is nothing to run or two lines would store the same file."""
    own = _flags_in(lines)
    plan = [_read_line(line, arguments, wrapper, own) for line in lines]
    if not plan:
        raise Failure("nothing to run: INPUTS is empty")
    files = [planned.file for planned in plan]
    if twice := [file for file in files if files.count(file) > 1]:
        raise Failure(f"two commands would store {twice[0]}; does INPUTS name an input twice?")
    return plan


def _read_line(line: str, arguments: Sequence[str], wrapper: str, own: set[str]) -> Planned:
    text, _, label = line.partition(" -> ")
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise Failure(f"{text}: {error}") from error
    least = int(words.pop(0).rstrip("+")) if re.fullmatch(r"\d+\+", words[0]) else 1
    _, (script, *script_flags) = split_variables(words)
    parser = import_module(script.removesuffix(".py").replace("/", ".")).make_parser()
    parser.prog = script
    parser.description = f"{wrapper} passes its arguments on to {script}, which has these flags."
    parser.epilog = (
        f"{wrapper} itself sets {', '.join(sorted(own))}. It also takes --new, which discards "
        "pending rounds and starts over. Variables: INPUTS, ROUNDS, PRECISION, RESULTS, PYTHON."
    )
    _refuse_own_flags(arguments, own, parser)
    options = _options_of(parser, [*script_flags, *arguments])
    users = _options_of(parser, arguments) if label else options
    if label and users.mode != STOCK:
        parser.error(f"{users.mode.flags} is a mode, which {wrapper} sets itself")
    place = words.index(script)
    words[place] = str(ROOT / script)
    is_timer = isinstance(options, TimerOptions)
    mode = label.partition("/")[2] or (is_timer and options.mode.flags) or "stock"
    command = read_command(
        shlex.join([*words[:place], script, *script_flags, *arguments]),
        [*words, *arguments],
        label=mode,
    )
    folder, file, stale = _place_of(script, options, users, label)
    return Planned(command, options, least, folder + file, stale and folder + stale)


def _flags_in(lines: Sequence[str]) -> set[str]:
    """The flags that the lines of a plan set, so a user cannot."""
    words = [word.partition("=")[0] for line in lines for word in line.partition(" -> ")[0].split()]
    own = {word for word in words if word.startswith("--")}.difference(TO_OVERRIDE)
    return own | {ALIASES[flag] for flag in own if flag in ALIASES} | {"--json", "--turns"}


def _refuse_own_flags(
    arguments: Sequence[str], own: set[str], parser: argparse.ArgumentParser
) -> None:
    for word in arguments:
        flag = word.partition("=")[0]
        if flag in own:
            advice = "INPUTS=..." if flag in ("--i", "--input") else f"{parser.prog} itself"
            parser.error(f"{flag} is set by the wrapper; use {advice} to choose it")


def _options_of(
    parser: argparse.ArgumentParser, words: Sequence[str]
) -> TimerOptions | MemoryOptions:
    is_timer = parser.prog.endswith("timer.py")
    if is_timer:
        parser.set_defaults(iterations=None)  # None: chosen by the duration of a pass
    options = (flags.timer_options if is_timer else flags.memory_options)(parser, words)
    catalog.check_named(options.workload, parser.error)
    return options


def _place_of(
    script: str,
    options: TimerOptions | MemoryOptions,
    users: TimerOptions | MemoryOptions,
    label: str,
) -> tuple[str, str, str | None]:
    """The folder of a command's results, with a trailing slash; their file name; and, if the line
    has a label, the beginning of the names of all files that they replace."""
    network = options.workload.network_name
    name = f"{network}_{options.workload.dataset}"
    if isinstance(options, MemoryOptions):
        kind = "model_structures" if options.structure else "memory_reports"
        return f"{kind}{options.folder_suffix}/", name, None
    device = "cpu/" if script.startswith("cpu/") else ""
    stats = f"{device}{network}_stats{users.folder_suffix}"
    if not label:
        return f"{stats}/{TARGET_FOLDERS[options.target]}", name, None
    folder, _, mode = label.partition("/")
    spelled = re.sub("[ =]", "_", mode.replace("--", ""))
    # A set of modes belongs to one input, a set of scaling results to all.
    stale = f"{network}_" if folder == "scaling" else f"{name}_"
    return f"{stats}/{folder}/", f"{name}_{spelled}", stale


def check_network(plan: Sequence[Planned], results: Path) -> None:
    """Raise Failure if an image of the plan cannot be read, or if the folders of its results hold
    results of a different network with the same name (a user's own from another file, or
    torchvision's), or of different weights or images from a file or folder with the same name."""
    if folder := plan[0].workload.images:
        check_images(folder)
    workloads = {Path(planned.file).parent: planned.workload for planned in plan}
    for folder, workload in workloads.items():
        weights_id, images_id = workload.weights_id, workload.images_id
        for file in _records_of(results / folder, workload.network_name):
            text = file.read_text("utf-8", "replace")
            weights, images = _value_in(text, WEIGHTS), _value_in(text, IMAGES)
            reason = None
            if _value_in(text, FILE_ID) != workload.file_id:
                reason = f"{file} belongs to a different network named {workload.network_name}"
            elif weights is not None and weights != weights_id:
                reason = f"{file} belongs to different weights, {weights}"
            elif images is not None and images != images_id:
                reason = f"{file} belongs to different images, {images}"
            if reason:
                raise Failure(f"{reason}; RESULTS=FOLDER stores this one's results elsewhere")


def _value_in(text: str, field: re.Pattern[str]) -> str | None:
    """The value of a field in a record's text; None if it is missing."""
    found = field.search(text)
    return None if found is None else json.loads(found[1])


def _records_of(folder: Path, network: str) -> Iterator[Path]:
    """The stored records of a network in a folder."""
    named = re.compile(rf"{network}_(cityscapes|pascal|\d+x[\dx]+)(_.*)?\.json")
    for file in sorted(folder.glob(f"{network}_*.json")):
        if named.fullmatch(file.name):
            yield file
