"""For wrappers: rounds.py WRAPPER PYTHON WAITING/ --need-all|--leave-out runs what WAITING/plan
says, by rounds, with an interpreter.

A run's text and record wait in that folder. A run that fails ends it all; with --leave-out it is
left out, unless it is the first of its input, which the others are compared with. The exit status
is then 3. The plan is what the function plan_run in storing.sh writes, field by field.
"""

import contextlib
import os
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from time import monotonic

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
del sys.argv[0]  # messages begin with the wrapper's name

from tqdm import tqdm  # noqa: E402

from backbone.command import ending  # noqa: E402
from backbone.command.errors import Failure  # noqa: E402
from backbone.command.interrupts import interrupts_raised  # noqa: E402
from backbone.measure.process import Command, read_command  # noqa: E402
from backbone.measure.rounds import Rounds  # noqa: E402

SOME_LEFT_OUT = 3


@dataclass
class PlannedInput:
    """The runs on one input, which take turns, and how many rounds of them there will be. seconds:
    of the rounds that have ended."""

    name: str
    rounds: int
    commands: list[Command] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    @property
    def seconds_left(self) -> float:
        """How long its other rounds will take; at least one must have ended."""
        return (self.rounds - len(self.seconds)) * fmean(self.seconds)


def read_plan(waiting: Path, interpreter: str) -> list[PlannedInput]:
    """What is planned, input by input."""
    inputs: dict[str, PlannedInput] = {}
    fields = iter((waiting / "plan").read_text().split("\0")[:-1])
    for name in fields:
        rounds, file, count = int(next(fields)), next(fields), int(next(fields))
        words = [next(fields) for _ in range(count)]
        text, record = (waiting / f"{file}.{kind}" for kind in ("txt", "json"))
        flags = ["--append", str(record)]
        command = read_command(" ".join(words), words, flags, text, interpreter)
        inputs.setdefault(name, PlannedInput(name, rounds)).commands.append(command)
    return list(inputs.values())


def in_order(inputs: list[PlannedInput]) -> Iterator[tuple[PlannedInput, int]]:
    """All rounds by input and number, so that each input's are spread over the whole time."""
    rounds = [(each, number) for each in inputs for number in range(1, each.rounds + 1)]
    yield from sorted(rounds, key=lambda each_round: (each_round[1] - 0.5) / each_round[0].rounds)


class Progress:
    """How far the rounds are: a bar on a terminal, and a line a round elsewhere."""

    def __init__(self, inputs: list[PlannedInput]) -> None:
        self._inputs = inputs
        self._bar = tqdm(
            total=sum(each.rounds * len(each.commands) for each in inputs),
            disable=None,
            leave=False,
            bar_format="{desc} {bar} {n_fmt} of {total_fmt} runs",
        )

    def begin(self, now: PlannedInput, number: int) -> None:
        """Say which round begins, and what time is left, once that is known."""
        text = f"round {number} of {now.rounds}, {now.name}"
        if all(each.seconds for each in self._inputs):
            minutes = sum(each.seconds_left for each in self._inputs) / 60
            text += f", about {minutes:.0f} min to go" if minutes >= 1 else ", the last minute"
        if self._bar.disable:
            self.note(f"{text}: {len(now.commands)} runs by turns\n")
        else:
            self._bar.set_description_str(f"{ending.PROGRAM}: {text}")

    def step(self, notes: str) -> None:
        """Count a run that has ended, and say what it has noted."""
        self._bar.update()
        self._bar.write(notes, file=sys.stderr, end="")

    def note(self, line: str) -> None:
        """Say something."""
        self._bar.write(f"{ending.PROGRAM}: {line}", file=sys.stderr, end="")

    def close(self) -> None:
        """Take the bar away."""
        self._bar.close()


def run_rounds(inputs: list[PlannedInput], need_all: bool, progress: Progress) -> list[Command]:
    """Run all rounds; the commands that are left out. Raises Failure where a run has failed that
    nothing goes on without, or the wrapper has gone."""
    seed = random.randrange(10**9)
    wrapper = os.getppid()
    by_turns = {each.name: Rounds(each.commands, seed, need_all) for each in inputs}
    left_out: list[Command] = []
    for now, number in in_order(inputs):
        progress.begin(now, number)
        begun = monotonic()
        rounds = by_turns[now.name]
        with contextlib.closing(rounds.run(number)) as ended:
            for run in ended:
                progress.step(run.notes)
                if os.getppid() != wrapper:
                    raise Failure("the wrapper has gone")
        now.seconds.append(monotonic() - begun)
        first = now.commands[0]
        if first in rounds.failures:
            raise Failure(f"{first.name} failed: {rounds.failures[first]}")
        for command in rounds.failures.keys() - left_out:
            reason = rounds.failures[command]
            progress.note(f"{command.name} failed, and is left out: {reason}\n")
            left_out.append(command)
    return left_out


def main() -> None:
    interpreter, waiting, failing = sys.argv[1:]
    inputs = read_plan(Path(waiting), interpreter)
    progress = Progress(inputs)
    try:
        with interrupts_raised():
            left_out = run_rounds(inputs, failing == "--need-all", progress)
    except Failure as failure:
        raise Failure(f"{failure}; what was stored before is as it was") from failure
    finally:
        progress.close()
    for command in left_out:
        command.stdout.unlink(missing_ok=True)
        command.stdout.with_suffix(".json").unlink(missing_ok=True)
    if left_out:
        sys.exit(SOME_LEFT_OUT)


if __name__ == "__main__":
    ending.run(main)
