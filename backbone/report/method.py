"""METHOD.md's tables, from the results of the programs in tools/."""

from collections import Counter
from collections.abc import Iterable, Iterator

from backbone.record.tools import PassesTried, Simulated, Trial
from backbone.report.markdown import format_table
from backbone.report.numbers import show_range, show_range_of_counts
from backbone.report.stored_results import Results
from backbone.report.tables import sum_blocks
from backbone.statistics.intervals import Interval, scatter
from backbone.statistics.looks import level_of


def format_method(results: Results) -> dict[str, list[str]]:
    """The blocks of each part, by title; a part may be empty."""
    return {
        "Trials": _table_of(trials_cells(results.trials)),
        "Simulation": _table_of(simulated_cells(results.simulated)),
        "Passes per process": _table_of(map(passes_cells, results.passes)),
        "Sums of the rows": sum_blocks(results),
    }


def _table_of(rows: Iterable[dict[str, str]]) -> list[str]:
    rows = list(rows)
    return [format_table(rows)] if rows else []


def trials_cells(trials: Iterable[Trial]) -> Iterator[dict[str, str]]:
    """A row for all trials with the same title."""
    by_title: dict[str, list[Trial]] = {}
    for trial in trials:
        by_title.setdefault(trial.title, []).append(trial)
    for title, alike in by_title.items():
        verdicts = Counter(trial.verdict for trial in alike)
        ratios = [Interval(trial.speed_up, trial.low, trial.high) for trial in alike]
        scatters = [
            scatter(ratio, trial.rounds, level_of({"stop_rule": trial.rule}))
            for ratio, trial in zip(ratios, alike, strict=True)
        ]
        yield {
            "Compared": title,
            "Trials": str(len(alike)),
            "Verdicts": ", ".join(f"{number} {verdict}" for verdict, number in verdicts.items()),
            "Times as fast": show_range([ratio.mean for ratio in ratios]),
            "Half-width (%)": show_range([100 * ratio.half_width for ratio in ratios]),
            "Rounds": show_range_of_counts([trial.rounds for trial in alike]),
            "Seconds": show_range_of_counts([trial.seconds for trial in alike]),
            "Scatter of a round (%)": show_range([100 * value for value in scatters]),
        }


def simulated_cells(simulated: Iterable[Simulated]) -> Iterator[dict[str, str]]:
    """A row for each scatter and precision; cells list one value per effect."""
    by_case: dict[tuple[str, float], list[Simulated]] = {}
    for row in simulated:
        by_case.setdefault((row.scatter, row.precision), []).append(row)
    for (scatter_in_words, precision), rows in by_case.items():
        yield {
            "Scatter of the ratio": scatter_in_words,
            "Within (%)": f"{precision:g}",
            "Effect (%)": " / ".join(f"{row.effect:g}" for row in rows),
            "Mean rounds": " / ".join(f"{row.rounds:.1f}" for row in rows),
            "Interval holds the truth (%)": " / ".join(f"{100 * row.holds:.0f}" for row in rows),
            "Wrong sign (%)": " / ".join(f"{100 * row.wrong:.1f}" for row in rows),
        }


def passes_cells(tried: PassesTried) -> dict[str, str]:
    """A row for a number of passes per process."""
    return {
        "Input": tried.title,
        "Passes per process": str(tried.passes),
        "Scatter of a round (%)": f"{100 * tried.scatter:.1f}",
        "Round (s)": f"{tried.seconds:.1f}",
        "Half-width after 10 min (%)": f"{tried.half_width:.2f}",
    }
