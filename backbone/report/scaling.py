"""How the time of a pass scales with the batch size, the image size, and the threads."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from textwrap import wrap

from backbone.record.rows import Record
from backbone.record.stored import StoredScaling
from backbone.record.titles import count
from backbone.report.markdown import format_table
from backbone.report.numbers import show, show_interval, show_mean
from backbone.statistics.intervals import Interval
from backbone.statistics.looks import SAME, judge
from backbone.statistics.ratios import mean_of_rounds, speed_up

FEW_FAULTS = 100  # of an image: no more than a process has anyway


@dataclass(frozen=True)
class Point:
    """Passes of one size: x, the number that varies; label, what it is in a table; the records of
    stock and, on a CPU, of memory kept. first: the record that is in every group of a round."""

    x: int
    label: str
    stock: Record
    kept: Record | None
    first: Record

    @property
    def faults(self) -> float | None:
        """Page faults of a stock pass for each image; None on a GPU."""
        faults = self.stock.whole.median_faults
        return None if faults is None else faults / self.stock.images_per_pass

    @property
    def kept_speed_up(self) -> Interval | None:
        """How many times as fast the pass is with memory kept."""
        return None if self.kept is None else speed_up(self.kept, self.stock, self.first)

    def over(self, other: "Point", keeps_memory: bool) -> Interval | None:
        """How many times as fast an image is as at another point, stock or with memory kept."""
        record, reference = (self.kept, other.kept) if keeps_memory else (self.stock, other.stock)
        if record is None or reference is None:
            return None
        return speed_up(record, reference, self.first)


@dataclass(frozen=True)
class Panel:
    """Points that differ in one number alone. noun: of what; slope: on logarithmic axes, of the
    time of an image if it were in proportion."""

    noun: str
    axis: str
    slope: int
    points: list[Point]


def ms_per_image(record: Record) -> Interval:
    """Milliseconds of a pass for each of its images."""
    return mean_of_rounds(record).divided_by(record.images_per_pass)


def panels_of(scaling: StoredScaling) -> list[Panel]:
    """Its batch sizes, image sizes and threads, each if there are several."""
    first = scaling.records[0]

    def points(x_of: Callable[[Record], int], label_of: Callable[[Record], str]) -> list[Point]:
        """Those that differ from the first in this number alone, the smallest first."""
        alike = [r for r in scaling.records if _others_of(r, x_of) == _others_of(first, x_of)]
        stock = {x_of(r): r for r in alike if not r.mode.keep_memory}
        kept = {x_of(r): r for r in alike if r.mode.keep_memory}
        return [
            Point(x, label_of(stock[x]), stock[x], kept.get(x), _first_of(stock[x], scaling))
            for x in sorted(stock)
        ]

    panels = [
        Panel("images", "images in a batch", 0, points(_images_of, lambda r: str(_images_of(r)))),
        Panel("size", "pixels of an image", 1, points(_pixels_of, _size_of)),
        Panel("threads", "threads", -1, points(_threads_of, lambda r: str(_threads_of(r)))),
    ]
    return [panel for panel in panels if len(panel.points) > 1]


def _first_of(record: Record, scaling: StoredScaling) -> Record:
    """The stock pass on one image of a record's size, which takes turns with it."""
    for other in scaling.records:
        is_first = other.mode == record.mode and "threads_chosen" not in other.conditions
        if is_first and _images_of(other) == 1 and _pixels_of(other) == _pixels_of(record):
            return other
    return record


def _images_of(record: Record) -> int:
    return record.images_per_pass


def _pixels_of(record: Record) -> int:
    height, width = record.whole.input_shape[-2:]
    return height * width


def _size_of(record: Record) -> str:
    return "{} x {}".format(*record.whole.input_shape[-2:])


def _threads_of(record: Record) -> int:
    return record.conditions.get("threads", 0)


def _others_of(record: Record, x_of: Callable[[Record], int]) -> list[int]:
    """The numbers of a record but for one."""
    return [of(record) for of in (_images_of, _pixels_of, _threads_of) if of is not x_of]


def scaling_blocks(all_scaling: Sequence[StoredScaling]) -> list[str]:
    """For each network and device, a table and a sentence for each number that varies."""
    blocks = []
    for scaling in all_scaling:
        panels = panels_of(scaling)
        if panels:
            blocks.append(f"{scaling.network}, {scaling.configuration}:")
        for panel in panels:
            blocks.append(format_table(point_cells(panel, point) for point in panel.points))
            blocks.append(word_panel(panel))
    return blocks


def point_cells(panel: Panel, point: Point) -> dict[str, str]:
    """What a table says of a point."""
    ratio = point.kept_speed_up
    kept = None if point.kept is None else ms_per_image(point.kept)
    return {
        panel.noun.capitalize(): point.label,
        "Stock (ms per image)": show_interval(ms_per_image(point.stock)),
        "Memory kept (ms per image)": "-" if kept is None else show_interval(kept),
        "Memory kept, times as fast": "-" if ratio is None else show_interval(ratio),
        "Page faults per image": show("{:,.0f}", point.faults),
    }


def word_panel(panel: Panel) -> str:
    """A panel in a sentence."""
    if panel.noun == "size":
        return _word_sizes(panel.points)
    least, *others = panel.points
    if panel.noun == "images":
        told = f"Images per second in a batch of {others[-1].label}, relative to single images"
        return _word_ratios(told, others[-1], least)
    told = dict.fromkeys((0, len(others) - 1))  # the second thread, and all threads
    reference = count(least.x, "thread")
    return " ".join(
        _word_ratios(
            f"Speed of {others[index].label} threads, relative to {reference}", others[index], least
        )
        for index in told
    )


def _word_ratios(subject: str, point: Point, other: Point) -> str:
    """How many times as fast a point is as another."""
    stock, kept = (point.over(other, keeps_memory) for keeps_memory in (False, True))
    if stock is None:
        return f"{subject}: unknown."
    with_kept = "" if kept is None else f"; with memory kept, {show_interval(kept)}"
    return f"{subject}: {show_interval(stock)}{with_kept}."


def _word_sizes(points: list[Point]) -> str:
    """At which size page faults set in, and from which on keeping memory helps for certain."""
    sentences = []
    faulting = [point for point in points if (point.faults or 0) > FEW_FAULTS]
    if faulting == points:
        sentences.append(f"There are page faults at all sizes, from {points[0].label} on.")
    elif faulting:
        first = faulting[0]
        sentences.append(f"Page faults set in at {first.label}: {first.faults:,.0f} per image.")
    helped: list[Point] = []
    for point in reversed(points):
        ratio = point.kept_speed_up
        if ratio is None or judge(ratio, SAME) != "faster":
            break
        helped.insert(0, point)
    if helped:
        where = f"from {helped[0].label} on" if helped != points else "at all sizes"
        ratios = [show_mean(point.kept_speed_up) for point in (helped[0], helped[-1])]
        ends = " to ".join(dict.fromkeys(ratios))
        sentences.append(f"Keeping memory helps {where}: {ends} times as fast.")
    elif points[0].kept is not None:
        sentences.append("Keeping memory helps at no size for certain.")
    return " ".join(sentences) or _word_ends(points)


def _word_ends(points: list[Point]) -> str:
    """How much longer the largest image takes for its pixels than the smallest."""
    least, most = points[0], points[-1]
    times = ms_per_image(most.stock).mean / ms_per_image(least.stock).mean
    pixels = f"{most.x / least.x:.1f} times the pixels of {least.label}"
    return f"{most.label} has {pixels}, and takes {times:.1f} times as long."


def format_scaling(scaling: StoredScaling) -> str:
    """What scaling.sh prints at its end, at most 90 columns wide."""
    first = scaling.records[0]
    number = len(first.rounds)
    rounds = "1 round, which gives no interval" if number == 1 else f"{number} rounds"
    lines = [f"{scaling.network}, {scaling.configuration}: ms per image, {rounds}"]
    panels = panels_of(scaling)
    for panel in panels:
        has_kept = any(point.kept for point in panel.points)
        kept_heads = f" {'memory kept':>22} {'times as fast':>20}" if has_kept else ""
        lines += ["", f"  {panel.noun:<12} {'stock':>22}{kept_heads}"]
        for point in panel.points:
            line = f"  {point.label:<12} {show_interval(ms_per_image(point.stock)):>22}"
            if point.kept is not None:
                line += f" {show_interval(ms_per_image(point.kept)):>22}"
            if (ratio := point.kept_speed_up) is not None:
                line += f" {show_interval(ratio):>20}"
            lines.append(line)
        lines += wrap(word_panel(panel), 90, initial_indent="  ", subsequent_indent="  ")
    if not panels:
        lines.append(f"  {_size_of(first)}: {show_interval(ms_per_image(first))}")
    return "\n".join(lines) + "\n"
