"""Progress of a measurement: a line after each round, and a bar on a terminal."""

import sys
from collections.abc import Iterable, Sequence
from time import monotonic

from tqdm import tqdm

from backbone.command import ending
from backbone.rounds.background import Background
from backbone.rounds.groups import Round
from backbone.rounds.questions import Answer
from backbone.statistics.intervals import Interval
from backbone.statistics.looks import StopRule

MOST_LISTED = 3  # number of answers up to which a line lists them all


class Progress:
    """Shows on stderr the answers so far, their precision, and the remaining time."""

    def __init__(self, series: Iterable[str], rule: StopRule, lines: bool = True) -> None:
        """series: their names. lines: whether to show a line after each round, in addition to the
        bar."""
        self._rule = rule
        self._lines = lines
        self._begun = 0.0
        self._seconds: dict[str, list[float]] = {name: [] for name in series}
        self._left = {name: (rule.first, rule.last) for name in series}  # fewest and most rounds
        self._background = Background()
        self._bar = tqdm(disable=None, leave=False, bar_format="{desc} {bar} {percentage:.0f} %")

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def round_begins(self, series: str, number: int, runs: int) -> None:
        """Show that a round of a series begins, with this many runs."""
        self._begun = monotonic()
        self._background.start()
        self._bar.set_description_str(f"{ending.PROGRAM}: {series}, round {number}", refresh=False)
        self._bar.reset(2 * runs)  # a step when a run is warm, and one when it ends
        if self._bar.disable and self._lines and number == 1:
            self._say(f"{series}, starting round 1 with {runs} processes")

    def run_warmed_up(self) -> None:
        """Show that a run has had its warm-up passes."""
        self._bar.update()

    def run_ended(self, notes: str) -> None:
        """Show that a run has finished. notes: its stderr, if no earlier run wrote the same."""
        self._bar.update()
        self._write(notes)

    def round_ended(
        self, ended: Round, answers: Sequence[Answer], is_new: bool, is_last: bool
    ) -> None:
        """Show that a round has ended. is_new: False if it was loaded from pending results.
        is_last: whether its series ends."""
        self._left[ended.series] = (0, 0) if is_last else self._rounds_left(ended.number, answers)
        if not is_new:
            return
        self._seconds[ended.series].append(monotonic() - self._begun)
        for note in self._background.notes():
            self._say(note)
        if self._lines:
            for command, reason in ended.failures.items():
                self._say(f"{command.name} failed and is left out of later rounds: {reason}")
            round_name = f"{ended.series}, round {ended.number}"
            round_name += ", its last" if is_last else ""
            self._say(f"{round_name}: {'; '.join([*_known(answers), *self._to_go()])}")

    def _rounds_left(self, number: int, answers: Sequence[Answer]) -> tuple[int, int]:
        """The fewest and the most rounds that a series may take after this one."""
        likely = max((answer.likely_last for answer in answers), default=self._rule.last)
        return max(1, likely - number), self._rule.last - number

    def _to_go(self) -> list[str]:
        """The remaining time, once a round of each series has been run."""
        least = most = 0.0
        for series, (fewest, all_left) in self._left.items():
            if not all_left:
                continue
            if not (seconds := self._seconds[series]):
                return []
            least += fewest * sum(seconds) / len(seconds) / 60
            most += all_left * sum(seconds) / len(seconds) / 60
        if most == 0:
            return []
        if most < 1:
            return ["less than a minute to go"]
        ends = dict.fromkeys(f"{max(1, minutes):.0f}" for minutes in (least, most))
        return [f"{' to '.join(ends)} min to go"]

    def _say(self, line: str) -> None:
        self._write(f"{ending.PROGRAM}: {line}\n")

    def _write(self, text: str) -> None:
        self._bar.write(text, file=sys.stderr, end="")


def _known(answers: Sequence[Answer]) -> list[str]:
    """All answers so far or, if there are many, the number of certain ones and the fastest."""
    if len(answers) <= MOST_LISTED:
        return [_show_answer(answer) for answer in answers]
    compared = [answer for answer in answers if answer.ratio is not None]
    asked = {answer.question.command for answer in compared}
    open_commands = {answer.question.command for answer in compared if not answer.is_known}
    fastest = min(answers, key=lambda answer: answer.milliseconds.mean)
    return [
        _show_answer(answers[0]),
        f"{len(asked) - len(open_commands)} of {len(asked)} certain",
        f"fastest: {_show_answer(fastest)}",
    ]


def _show_answer(answer: Answer) -> str:
    """The time of a command, and its speed-up over its reference, if any."""
    mean = answer.milliseconds.mean
    text = f"{answer.question.command.label} {mean:,.{_decimals(mean)}f} ms"
    text += _show_half_width(answer.milliseconds)
    if answer.ratio is None:
        return text
    text += f", {answer.ratio.mean:.2f}x {answer.question.reference.label}"
    return text + _show_half_width(answer.ratio)


def _show_half_width(interval: Interval) -> str:
    if interval.half_width is None or interval.half_width > 1:  # too few rounds
        return ""
    percent = 100 * interval.half_width
    return f" ±{percent:.{1 if percent < 10 else 0}f} %"


def _decimals(milliseconds: float) -> int:
    """The number of decimals that shows three digits."""
    return 0 if milliseconds >= 100 else 1 if milliseconds >= 10 else 2
