"""The modes of networks other than MobileNet-V2."""

from collections.abc import Iterator

from backbone.record.stored import StoredMode, StoredModes
from backbone.record.titles import MAIN_NETWORK
from backbone.report.fastest import fastest_modes, over
from backbone.report.markdown import format_table
from backbone.report.numbers import show_interval
from backbone.report.stored_results import Results
from backbone.report.words import word_mode
from backbone.statistics.looks import SAME, judge


def order_blocks(results: Results) -> list[str]:
    """A table of the modes of each network, if modes of other networks than MobileNet-V2 are
    stored."""
    main = results.modes_of_main_network
    rows = [cells for inputs in results.modes for cells in order_cells(inputs, main)]
    has_others = any(row["Model"] != MAIN_NETWORK for row in rows)
    return [format_table(rows), _word_help(rows)] if has_others else []


def _word_help(rows: list[dict[str, str]]) -> str:
    """A sentence on whether the fastest mode is the same for other networks."""
    others = [row for row in rows if row["Model"] != MAIN_NETWORK]
    fastest = {row["Fastest mode"] for row in rows if row["Model"] == MAIN_NETWORK}
    same = sum(row["Fastest mode"] in fastest for row in others)
    return (
        f"In {same or 'none'} of the {len(others)} rows of other networks, the fastest mode is "
        f"the same as for {MAIN_NETWORK}."
    )


def order_cells(inputs: list[StoredModes], main: list[StoredModes]) -> Iterator[dict[str, str]]:
    """A row for each input of a network: its fastest mode, and where its modes rank differently
    from those of the main network for the same dataset and device."""
    for modes in inputs:
        fastest = fastest_modes(modes)
        if not fastest:
            continue
        mode, ratio = fastest[0]
        kept = None if modes.kept is None else over(modes, mode, modes.kept)
        same = [
            other
            for other in main
            if (other.dataset, other.configuration) == (modes.dataset, modes.configuration)
        ]
        yield {
            "Model": modes.network,
            "Dataset": modes.dataset,
            "Device": modes.configuration,
            "Fastest mode": word_mode(mode),
            "Times as fast as stock": show_interval(ratio),
            "Times as fast as memory kept": "-" if kept is None else show_interval(kept),
            "Other order": _word_orders(modes, same[0]) if same else "-",
        }


def _word_orders(modes: StoredModes, main: StoredModes) -> str:
    """Of the pairs of modes in which one is certainly faster here and the other in the main
    network, the pair that differs most, and the number of further pairs."""
    there = {mode.name: mode for mode in main.modes}
    both = [mode for mode in modes.modes if mode.name in there]
    pairs: list[tuple[float, StoredMode, StoredMode]] = []
    for first in both:
        for second in both:
            here = over(modes, first, second)
            other = over(main, there[first.name], there[second.name])
            if here is None or other is None:
                continue
            if judge(here, SAME) == "faster" and judge(other, SAME) == "slower":
                pairs.append((here.mean / other.mean, first, second))
    if not pairs:
        return "none"
    _, first, second = max(pairs, key=lambda pair: pair[0])
    more = f", and {len(pairs) - 1} more" if len(pairs) > 1 else ""
    return f'"{word_mode(first)}" is faster than "{word_mode(second)}"{more}'
