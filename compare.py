"""Compares timer commands that alternate in fresh processes: which is faster, and is it certain?

A command is a timer with its flags, such as 'cpu/timer.py --i pascal', from this or another
checkout. Environment variables (OMP_NUM_THREADS=1) and an interpreter may precede it. With --target
block or layer, a table shows which stages or operations make the difference. With -L s 1,2,4,
'cpu/timer.py --s {s}' stands for three commands.
"""

import argparse
import json
import random
import re
import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from backbone.command import ending, files, flag_types
from backbone.command.errors import Failure
from backbone.command.interrupts import interrupts_raised
from backbone.command.parameter_lists import expand, take_lists
from backbone.rounds import locks
from backbone.rounds.commands import Command, read_command
from backbone.rounds.uncut import Uncut, as_whole, check_cuts, is_cut
from backbone.statistics.looks import SAME, StopRule

if TYPE_CHECKING:
    from backbone.record.rows import Record
    from backbone.report.differences import Differences
    from backbone.rounds import schedule
    from backbone.rounds.questions import Question

OWN_FLAGS = ("--iterations", "--warmup", "--turns", "--json")
CPU_WARMUP = 2  # passes; a GPU's timer has its own default
CUT_LEAST = 12  # rounds before the first look, since intervals of many rows are wide
MANY = 20  # commands above which a line announces the duration of a round
PROCESS_SECONDS = 5  # rough duration of a process without its passes


def parse_arguments() -> argparse.Namespace:
    """Parse the command line. Invalid parameter lists are usage errors."""
    parser = argparse.ArgumentParser(
        ending.PROGRAM,
        description=__doc__,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("commands", nargs="+", metavar="COMMAND", help="a timer with its flags")
    parser.add_argument(
        "-L",
        "--parameter-list",
        nargs=2,
        metavar=("VAR", "VALUES"),
        help="run each command that contains {VAR} once per value (comma-separated); several "
        "lists give all combinations",
    )
    least_two = partial(flag_types.whole_number, least=2)
    for name, kind, default, meaning in (
        ("--precision", percent, 10, "stop when each ratio is known within this many percent"),
        ("--rounds", least_two, None, "number of rounds, each with one process per command"),
        (
            "--iterations",
            flag_types.positive,
            None,
            "timed passes per process (default: 60, or 2 if a pass takes 0.3 s or longer; at least "
            "300 on a GPU)",
        ),
        ("--warmup", flag_types.whole_number, None, "warm-up passes (default: 2, on a GPU 25)"),
        ("--seed", flag_types.whole_number, None, "seed for the order of turns"),
        (
            "--same",
            percent,
            SAME,
            "call two commands the same if they are within this many percent",
        ),
    ):
        default_text = "" if default is None else f" (default: {default})"
        parser.add_argument(name, type=kind, default=default, help=meaning + default_text)
    parser.add_argument(
        "--fail-slower",
        metavar="PERCENT",
        type=percent,
        help="exit with 1 if the second command is certainly slower by more than this",
    )
    parser.add_argument(
        "--all", action="store_true", help="list all rows that differ, not only the ten largest"
    )
    parser.add_argument("--json", metavar="FILE", help="also write the comparison as JSON")
    lists, words = take_lists(sys.argv[1:], ("-L", "--parameter-list"))
    arguments = parser.parse_args(words)
    try:
        arguments.commands = expand(arguments.commands, lists)
    except ValueError as error:
        parser.error(str(error))
    if arguments.fail_slower is not None and len(arguments.commands) < 2:
        parser.error("--fail-slower needs a second command")
    return arguments


def percent(text: str) -> float:
    """argparse type: a non-negative number."""
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a non-negative number")


def main() -> None:
    arguments = parse_arguments()
    if arguments.json is not None:
        files.check_writable(arguments.json)
    commands = [make_command(text, arguments) for text in arguments.commands]
    if arguments.all and not any(map(is_cut, commands)):
        raise Failure("--all needs a command with --target block or layer")
    if len(commands) > MANY:
        minutes = len(commands) * PROCESS_SECONDS / 60
        ending.say(f"{len(commands)} commands: a round takes {minutes:.0f} minutes or more")
    from backbone.record.remarks import remarks_on
    from backbone.report import comparison
    from backbone.report.difference_text import format_differences

    with interrupts_raised(), locks.machine_taken(), locks.earlier_processes_ended() as lock:
        commands, outcome = measure(commands, arguments, lock)
    if not outcome.is_complete:
        raise Failure(outcome.failed)
    ended = [command for command in commands if command in outcome.runs]
    joined = [outcome.record_of(command) for command in ended]
    compared = comparison.compare([command.name for command in ended], joined, arguments.same)
    print(comparison.format_comparison(compared, arguments.same), end="")
    for command, record in zip(ended, joined, strict=True):
        for remark in remarks_on(record):
            ending.say(f"{command.name}: {remark}")
    differences = differences_of(ended, joined)
    for command, found in differences.items():
        title = f"\n{command.name}, compared with {ended[0].name}\n" if len(ended) > 2 else "\n"
        print(f"{title}{format_differences(found, arguments.all)}", end="")
    if arguments.json is not None:
        all_fields = [
            one.fields | ({"rows": differences[command].fields} if command in differences else {})
            for command, one in zip(ended, compared, strict=True)
        ]
        files.write_whole(arguments.json, json.dumps(all_fields, indent=1) + "\n")
    if outcome.failures:
        raise Failure(outcome.failed)
    if arguments.fail_slower is not None:
        second = compared[1].speed_up
        if comparison.is_slower_by(second, arguments.fail_slower):
            raise Failure(f"{commands[1].name} is slower by more than {arguments.fail_slower:g} %")


def make_command(text: str, arguments: argparse.Namespace) -> Command:
    """Parse a command as typed by the user. Raises Failure if it is not a timer's command."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise Failure(f"{text}: {error}") from error
    for flag in (word.partition("=")[0] for word in words):
        if flag in OWN_FLAGS:
            raise Failure(f"{text}: {flag} is set by compare.py")
    command = read_command(text, words)
    warmup = arguments.warmup
    if warmup is None and command.is_on_cpu:
        warmup = CPU_WARMUP
    passes = [] if warmup is None else ["--warmup", str(warmup)]
    return replace(command, words=[*command.words, *passes])


def measure(
    commands: list[Command], arguments: argparse.Namespace, lock: int
) -> "tuple[list[Command], schedule.Outcome]":
    """Run the commands; returns them with their results. If one cannot be cut into stages or
    operations, all are run again with whole passes. lock: an open file that the processes keep
    open."""
    try:
        least = CUT_LEAST if any(map(is_cut, commands)) else 1
        outcome = run_rounds(commands, arguments, lock, least)
        check_cuts(outcome.failures.values())
    except Uncut as uncut:
        ending.say(f"comparing whole passes instead of stages or operations: {uncut}")
        commands = [*map(as_whole, commands)]
        outcome = run_rounds(commands, arguments, lock, least=1)
    return commands, outcome


def differences_of(
    commands: Sequence[Command], joined: "Sequence[Record]"
) -> "dict[Command, Differences]":
    """The differences of each command from the first by stage or operation. If two commands cannot
    be compared that way, a line on stderr says why."""
    from backbone.report.differences import NOUNS, find_differences

    found = {}
    first, *others = joined
    for command, record in zip(commands[1:], others, strict=True):
        if NOUNS.keys() & {first.conditions["target"], record.conditions["target"]}:
            try:
                found[command] = find_differences(first, record)
            except Failure as failure:
                ending.say(f"{command.name}: no table of differences: {failure}")
    return found


def run_rounds(
    commands: Sequence[Command], arguments: argparse.Namespace, lock: int, least: int
) -> "schedule.Outcome":
    """Run rounds until every verdict is known, or the number that the user asked for, with a bar on
    a terminal. lock: an open file that the processes keep open. least: the first round that may be
    the last. Raises Uncut."""
    from backbone.rounds import schedule
    from backbone.rounds.caches import empty_caches
    from backbone.rounds.progress import Progress
    from backbone.rounds.questions import Series

    rule = StopRule(arguments.rounds)
    seed = random.randrange(10**9) if arguments.seed is None else arguments.seed
    questions = questions_about(commands, arguments)
    series = [Series("comparison", commands, questions, least, passes=arguments.iterations)]
    with empty_caches() as variables, Progress(["comparison"], rule, lines=False) as progress:
        return schedule.run_rounds(
            *(series, rule, seed, progress),
            keep=lambda ended: check_cuts(ended.failures.values()),
            locks=(lock,),
            variables=variables,
        )


def questions_about(commands: Sequence[Command], arguments: argparse.Namespace) -> list["Question"]:
    """The questions: the speed-up of each command over the first, or the time of a single command.
    With --fail-slower, also whether the second is slower than allowed."""
    from backbone.rounds.questions import Question

    first, *others = commands
    if not others:
        return [Question(first, precision=arguments.precision)]
    questions = [
        Question(command, first, arguments.precision, same=arguments.same) for command in others
    ]
    if arguments.fail_slower is not None:
        questions[0] = replace(questions[0], outside=1 / (1 + arguments.fail_slower / 100))
    return questions


if __name__ == "__main__":
    ending.run(main)
