"""compare.py's report: the speed-up of each command over the first, and whether it is certain."""

from collections.abc import Sequence
from dataclasses import dataclass

from backbone.record.rows import Record
from backbone.report.numbers import show_limits, show_mean, show_range, show_range_of_counts
from backbone.statistics.intervals import Interval, per_pass
from backbone.statistics.looks import judge
from backbone.statistics.ratios import mean_of_rounds, speed_up

LONGEST = 60  # longest command that is printed in one line with its time


@dataclass(frozen=True)
class Compared:
    """A command compared with the first.

    milliseconds: per pass, geometric mean over the rounds. images: per pass. speed_up: per image,
    over the first command, from the ratios within rounds; None for the first. verdict: "faster",
    "slower", "same" or "undecided"; None for the first. rounds: number of rounds with this command.
    process_means: milliseconds per pass of each process. page_faults: per pass, for each process;
    empty if not counted.
    """

    command: str
    milliseconds: Interval
    images: int
    speed_up: Interval | None
    verdict: str | None
    rounds: int
    process_means: list[float]
    page_faults: list[int]

    @property
    def fields(self) -> dict[str, str | float | None]:
        """Its fields in --json."""
        ratio = self.speed_up or Interval(1.0, 1.0, 1.0)
        return {
            "command": self.command,
            "mean_ms": self.milliseconds.mean,
            "low_ms": self.milliseconds.low,
            "high_ms": self.milliseconds.high,
            "batch_size": self.images,
            "speed_up": ratio.mean,
            "low": ratio.low,
            "high": ratio.high,
            "verdict": self.verdict,
            "rounds": self.rounds,
        }


def compare(commands: Sequence[str], records: Sequence[Record], same: float) -> list[Compared]:
    """Compare commands, given their records, with the first. same: percentage within which two
    commands are called the same."""
    compared = []
    first = records[0]
    for number, (command, record) in enumerate(zip(commands, records, strict=True)):
        ratio = speed_up(record, first, first) if number > 0 else None
        compared.append(
            Compared(
                command=command,
                milliseconds=mean_of_rounds(record),
                images=record.images_per_pass,
                speed_up=ratio,
                verdict=None if ratio is None else judge(ratio, same),
                rounds=record.conditions["rounds"],
                process_means=record.whole.run_means.tolist(),
                page_faults=list(record.whole.page_faults),
            )
        )
    return compared


def is_slower_by(speed_up: Interval, percent: float) -> bool:
    """Whether a command certainly takes longer than the first by more than this many percent."""
    return speed_up.high is not None and 1 / speed_up.high > 1 + percent / 100


def format_comparison(compared: Sequence[Compared], same: float) -> str:
    """The comparison as text: for each command a line, and a line about its processes. If a command
    is too long for its line, the commands are numbered and listed below."""
    names = [entry.command for entry in compared]
    numbers = [f"command {number}" for number in range(1, len(names) + 1)]
    is_long = max(map(len, names)) > LONGEST
    shown = numbers if is_long else names
    width = max(map(len, shown))
    lines = []
    has_batches = len({entry.images for entry in compared}) > 1
    for name, entry in zip(shown, compared, strict=True):
        rate = f", {_format_rate(entry)}" if has_batches else ""
        ratio = _format_ratio(entry, same, "times the images/s" if has_batches else "times as fast")
        lines.append(f"{name:<{width}}  {_format_mean(entry)}{rate}{ratio}")
        lines.append(f"  {_format_processes(entry)}")
    if is_long:
        lines += ["", *(f"{number}: {name}" for number, name in zip(numbers, names, strict=True))]
    return "\n".join(lines) + "\n"


def _format_mean(entry: Compared) -> str:
    mean = entry.milliseconds
    limits = "" if mean.low is None else f" ({show_limits(mean)})"
    return f"{show_mean(mean)} ms{limits}"


def _format_rate(entry: Compared) -> str:
    return f"{show_mean(per_pass(entry.images, entry.milliseconds))} images/s"


def _format_ratio(entry: Compared, same: float, unit: str) -> str:
    if entry.speed_up is None:
        return ""
    ratio = entry.speed_up
    limits = "" if ratio.low is None else f" ({show_limits(ratio)})"
    return f"  {show_mean(ratio)} {unit}{limits}: {word_verdict(entry.verdict, same)}"


def word_verdict(verdict: str, same: float) -> str:
    """A verdict as printed text."""
    return f"same within {same:g} %" if verdict == "same" else verdict


def _format_processes(entry: Compared) -> str:
    means = entry.process_means
    noun = "process" if len(means) == 1 else "processes"
    text = f"{len(means)} {noun}, {show_range(means)} ms"
    if entry.page_faults:
        text += f", {show_range_of_counts(entry.page_faults)} page faults per pass"
    return text
