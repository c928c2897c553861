"""Finds how many passes a process should time, by the interval of a ratio after equal time.

A program for people, not a test. It runs rounds of two commands with many passes per process, and
evaluates them as if each process had stopped after fewer. Results are stored in tools/passes.json,
the source of METHOD.md's table.
"""

import argparse
import random
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import exp, log, sqrt
from pathlib import Path
from statistics import NormalDist, fmean, stdev

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from backbone.command import ending, flag_types
from backbone.command.errors import Failure
from backbone.command.files import check_writable, write_whole
from backbone.command.interrupts import interrupts_raised
from backbone.record import tools
from backbone.record.rows import Record
from backbone.record.tools import PassesTried
from backbone.rounds import locks, schedule
from backbone.rounds.commands import Command, read_command
from backbone.rounds.progress import Progress
from backbone.rounds.questions import Series
from backbone.rounds.turn_lengths import turns_of_runs
from backbone.statistics.looks import StopRule

TRIED = (2, 4, 8, 12, 16, 24, 30, 60, 90, 120)
MINUTES = 10  # after which half-widths are compared
WARMUP = ["--warmup", "2"]


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        ending.PROGRAM, description=__doc__.splitlines()[0], allow_abbrev=False
    )
    parser.add_argument("commands", nargs=2, metavar="COMMAND", help="a command as for compare.py")
    parser.add_argument(
        "--title", required=True, help="title in the table; replaces results with the same title"
    )
    parser.add_argument(
        "--passes",
        type=flag_types.positive,
        required=True,
        help="largest number of passes per process",
    )
    parser.add_argument("--rounds", type=flag_types.positive, default=12, help="default: 12")
    parser.add_argument("--file", type=Path, default=tools.PASSES, help="file for the results")
    arguments = parser.parse_args()
    if arguments.rounds < 3:
        parser.error("--rounds: a scatter needs at least 3 rounds")
    return arguments


def main() -> None:
    arguments = parse_arguments()
    check_writable(arguments.file)
    commands = [read_command(text, [*text.split(), *WARMUP]) for text in arguments.commands]
    seconds, runs = run_rounds(commands, arguments.rounds, arguments.passes)
    rows = list(evaluate(arguments.title, arguments.passes, fmean(seconds), runs))
    for row in rows:
        print(
            f"{row.passes:4} passes: scatter {100 * row.scatter:5.2f} %, {row.seconds:5.1f} s per "
            f"round, ±{row.half_width:.2f} % after {MINUTES} min"
        )
    stored = tools.load(PassesTried, arguments.file)
    others = [row for row in stored if row.title != arguments.title]
    write_whole(arguments.file, tools.dumps([*others, *rows]))


def run_rounds(
    commands: list[Command], rounds: int, passes: int
) -> tuple[list[float], list[list[Record]]]:
    """Run rounds; returns the seconds of each round and the runs of each command. Raises Failure if
    a run fails."""
    rule = StopRule(rounds)
    ends = []
    series = [Series("passes", commands, questions=[], passes=passes)]
    with (
        interrupts_raised(),
        locks.machine_taken(),
        locks.earlier_processes_ended() as lock,
        Progress(["passes"], rule, lines=False) as progress,
    ):
        ends.append(time.monotonic())
        outcome = schedule.run_rounds(
            series,
            rule,
            random.randrange(10**9),
            progress,
            need_all=True,
            keep=lambda ended: ends.append(time.monotonic()),
            locks=(lock,),
        )
    if not outcome.is_complete:
        raise Failure(outcome.failed)
    seconds = [end - begun for begun, end in pairwise(ends)]
    return seconds, [outcome.runs[command] for command in commands]


def evaluate(
    title: str, most: int, seconds: float, runs: Sequence[Sequence[Record]]
) -> Iterator[PassesTried]:
    """The precision of each number of passes. most: passes timed by each process. seconds: duration
    of such a round. runs: the runs of each command, in the order of rounds."""
    samples = [[run.whole.samples[0] for run in same] for same in runs]  # milliseconds
    means = [fmean(float(run.mean()) / 1e3 for run in same) for same in samples]

    def cost(passes: int) -> float:
        """Seconds of both processes' passes, including one untimed pass per turn."""
        turns, _ = turns_of_runs([passes] * 2, means, [False] * 2)
        return sum(means) * (passes + len(turns))

    for passes in (tried for tried in TRIED if tried <= most):
        first, second = ([float(run[:passes].mean()) for run in same] for same in samples)
        scatter = stdev(log(one / other) for one, other in zip(first, second, strict=True))
        of_round = seconds - cost(most) + cost(passes)
        half_width = NormalDist().inv_cdf(0.975) * scatter / sqrt(60 * MINUTES / of_round)
        yield PassesTried(title, passes, scatter, of_round, 100 * (exp(half_width) - 1))


if __name__ == "__main__":
    ending.run(main)
