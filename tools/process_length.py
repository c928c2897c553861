"""Tries how many passes a process should time: the interval of a ratio, for equal minutes.

A program for people, not a test. It runs rounds of two commands with many passes per process, and
evaluates them as if each process had stopped after fewer. What comes out is stored in
tools/passes.json, which METHOD.md's table is made from.
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
MINUTES = 10  # for which half-widths are given
WARMUP = ["--warmup", "2"]


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        ending.PROGRAM, description=__doc__.splitlines()[0], allow_abbrev=False
    )
    parser.add_argument("commands", nargs=2, metavar="COMMAND", help="as compare.py takes it")
    parser.add_argument("--title", required=True, help="in the table; one of the same is replaced")
    parser.add_argument(
        "--passes", type=flag_types.positive, required=True, help="the most per process"
    )
    parser.add_argument("--rounds", type=flag_types.positive, default=12, help="default: 12")
    parser.add_argument("--file", type=Path, default=tools.PASSES, help="that results go to")
    arguments = parser.parse_args()
    if arguments.rounds < 3:
        parser.error("--rounds: a scatter takes at least 3")
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
    """The seconds of each round, and the runs of each command. Raises Failure if one fails."""
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
    """What each number of passes is worth. most: passes that each process has timed. seconds: that
    a round with these takes. runs: of each command, in the order of rounds."""
    samples = [[run.whole.samples[0] for run in same] for same in runs]  # milliseconds
    means = [fmean(float(run.mean()) / 1e3 for run in same) for same in samples]

    def cost(passes: int) -> float:
        """Seconds of both processes' passes, of which one of each turn is not timed."""
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
