"""How far the rounds are: a bar on a terminal, lines elsewhere."""

import sys
from collections.abc import Sequence
from time import monotonic

from tqdm import tqdm

from backbone.command import ending
from backbone.rounds.groups import Round, Series


class Progress:
    """Shows on stderr how the rounds go."""

    def __init__(
        self,
        all_series: Sequence[Series],
        ended: Sequence[Round] = (),
        lines: bool = True,
    ) -> None:
        """ended: rounds that are not run again. lines: whether there are any where there is no
        terminal."""
        self._series = {each.name: each for each in all_series}
        self._left = {each.name: each.rounds for each in all_series}
        for each in ended:
            self._left[each.series] -= 1
        self._seconds: dict[str, list[float]] = {each.name: [] for each in all_series}
        self._begun = 0.0
        self._lines = lines
        runs = sum(self._left[each.name] * len(each.commands) for each in all_series)
        self._bar = tqdm(
            total=runs,
            disable=None,
            leave=False,
            bar_format="{desc} {bar} {n_fmt} of {total_fmt} runs",
        )

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def round_begins(self, series: Series, number: int) -> None:
        """Say which round of a series begins, from 1, and how long the rest takes, once that is
        known."""
        self._begun = monotonic()
        rounds = sum(each.rounds for each in self._series.values())
        text = f"round {rounds - sum(self._left.values()) + 1} of {rounds}, {series.name}"
        if all(self._seconds[name] or not left for name, left in self._left.items()):
            minutes = self._seconds_left() / 60
            text += f", about {minutes:.0f} min to go" if minutes >= 1 else ", the last minute"
        if not self._bar.disable:
            self._bar.set_description_str(f"{ending.PROGRAM}: {text}")
        elif self._lines:
            self.say(f"{text}: {len(series.commands)} runs by turns")

    def run_ended(self, notes: str) -> None:
        """Count a run that has finished. notes: what it wrote to stderr, if no run before wrote the
        same."""
        self._bar.update()
        self._write(notes)

    def round_ended(self, ended: Round) -> None:
        """Name what failed in a round."""
        self._seconds[ended.series].append(monotonic() - self._begun)
        self._left[ended.series] -= 1
        if self._lines:
            for command, reason in ended.failures.items():
                self.say(f"{command.name} failed, and is left out of later rounds: {reason}")

    def say(self, line: str) -> None:
        """Show a line."""
        self._write(f"{ending.PROGRAM}: {line}\n")

    def _seconds_left(self) -> float:
        """How long the rounds that are left take, by the mean of their series' so far."""
        seconds = 0.0
        for name, left in self._left.items():
            if left:
                seconds += left * sum(self._seconds[name]) / len(self._seconds[name])
        return seconds

    def _write(self, text: str) -> None:
        self._bar.write(text, file=sys.stderr, end="")
