"""Timers' command lines side by side, by turns: which is faster, and whether that is certain.

A command is a timer with its flags, such as 'cpu/timer.py --i pascal', of this checkout or another;
before it may stand variables of its environment (OMP_NUM_THREADS=1) and an interpreter of its own.
"""

import argparse
import contextlib
import json
import random
import re
import shlex
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from backbone.command import ending, files, flags
from backbone.command.errors import Failure
from backbone.command.interrupts import interrupts_raised

if TYPE_CHECKING:
    from backbone.measure.process import Command
    from backbone.report.comparison import Compared


OWN_FLAGS = ("--iterations", "--warmup", "--rounds", "--turns", "--json", "--append")


def parse_arguments() -> argparse.Namespace:
    """The command line. A command that cannot be read is a usage error."""
    parser = argparse.ArgumentParser(
        ending.PROGRAM,
        description=__doc__,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("commands", nargs="+", metavar="COMMAND", help="a timer with its flags")
    least_two = partial(flags.whole_number, least=2)
    for name, kind, default, meaning in (
        ("--rounds", least_two, 15, "each starts one process of every command"),
        ("--iterations", flags.positive, 300, "timed passes of each command, in all"),
        ("--warmup", flags.whole_number, 30, "passes before them, in all"),
        ("--seed", flags.whole_number, None, "of the random order of turns"),
    ):
        default_text = "" if default is None else f" (default: {default})"
        parser.add_argument(name, type=kind, default=default, help=meaning + default_text)
    parser.add_argument(
        "--same", type=percent, default=2, help="percent within which two are the same (default: 2)"
    )
    parser.add_argument(
        "--fail-slower",
        metavar="PERCENT",
        type=percent,
        help="exit 1 if the second is slower than the first by more than that for certain",
    )
    parser.add_argument("--json", metavar="FILE", help="also write the comparison as JSON")
    arguments = parser.parse_args()
    if arguments.fail_slower is not None and len(arguments.commands) < 2:
        parser.error("--fail-slower needs a second command")
    return arguments


def percent(text: str) -> float:
    """A flag's type: a number from 0 up."""
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no number from 0 up")


def main() -> None:
    arguments = parse_arguments()
    if arguments.json is not None:
        files.check_writable(arguments.json)
    from backbone.report import comparison

    with interrupts_raised(), tempfile.TemporaryDirectory() as folder:
        commands = [
            make_command(text, arguments, Path(folder, str(number)))
            for number, text in enumerate(arguments.commands)
        ]
        failures = run_rounds(commands, arguments)
        compared = compare_records(commands, failures, arguments.same)
    print(comparison.format_comparison(compared, arguments.same), end="")
    if arguments.json is not None:
        text = json.dumps([each.fields for each in compared], indent=1) + "\n"
        files.write_whole(arguments.json, text)
    if failures:
        raise Failure(tell(failures))
    if arguments.fail_slower is not None:
        second = compared[1].speed_up
        if comparison.is_slower_by(second, arguments.fail_slower):
            raise Failure(f"{commands[1].name} is slower by more than {arguments.fail_slower:g} %")


def make_command(text: str, arguments: argparse.Namespace, folder: Path) -> "Command":
    """A command as one types it, which leaves its stdout and its record in a folder. Raises Failure
    where it cannot be read."""
    from backbone.measure.process import read_command

    try:
        words = shlex.split(text)
    except ValueError as error:
        raise Failure(f"{text}: {error}") from error
    for flag in (word.partition("=")[0] for word in words):
        if flag in OWN_FLAGS:
            raise Failure(f"{text}: {flag} is compare.py's to set")
    passes = ["--iterations", str(arguments.iterations), "--warmup", str(arguments.warmup)]
    rounds = ["--rounds", str(arguments.rounds), "--append", str(folder / "record.json")]
    folder.mkdir()
    return read_command(text, words, [*passes, *rounds], folder / "stdout")


def run_rounds(
    commands: Sequence["Command"], arguments: argparse.Namespace
) -> dict["Command", str]:
    """Run all rounds, with a bar on a terminal; which commands have failed, and why. It ends early
    where nothing is left to compare."""
    from tqdm import tqdm

    from backbone.measure.rounds import Rounds

    seed = random.randrange(10**9) if arguments.seed is None else arguments.seed
    rounds = Rounds(commands, seed)
    with tqdm(total=arguments.rounds * len(commands), disable=None, leave=False) as bar:
        for number in range(1, arguments.rounds + 1):
            with contextlib.closing(rounds.run(number)) as ended:
                for run in ended:
                    bar.update()
                    bar.write(run.notes, file=sys.stderr, end="")
            left = len(commands) - len(rounds.failures)
            if commands[0] in rounds.failures or left < min(2, len(commands)):
                break
    return rounds.failures


def compare_records(
    commands: Sequence["Command"], failures: dict["Command", str], same: float
) -> list["Compared"]:
    """The commands that have not failed, each beside the first. Raises Failure where the first, or
    all others, have failed."""
    from backbone.record import records
    from backbone.report.comparison import compare

    ended = [command for command in commands if command not in failures]
    if commands[0] in failures or (len(commands) > 1 and len(ended) < 2):
        raise Failure(tell(failures))
    loaded = [records.load(command.stdout.with_name("record.json")) for command in ended]
    return compare([command.name for command in ended], loaded, same)


def tell(failures: dict["Command", str]) -> str:
    """Which commands have failed, and why, in one line."""
    return "; ".join(f"{command.name}: {reason}" for command, reason in failures.items())


if __name__ == "__main__":
    ending.run(main)
