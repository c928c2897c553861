"""README's findings: three sentences from stored results."""

from collections.abc import Sequence
from operator import attrgetter

from backbone.record.stored import StoredModes, StoredTimes
from backbone.report.fastest import fastest_by_precision
from backbone.report.kinds import sum_by_kind, sum_rows
from backbone.report.numbers import show_mean
from backbone.report.parts import gain_of_memory_kept, parts_of
from backbone.report.stored_results import Results
from backbone.report.words import TIMES, word_mode
from backbone.statistics.looks import level_of

FLOAT32 = ", float32"  # which word_mode() leaves out
DEAREST = 2  # number of kinds of operations in a sentence


def finding_lines(results: Results) -> list[str]:
    """The findings on memory, on the fastest modes, and on MACs."""
    main = results.modes_of_main_network
    stock = [times for times in results.main_network if times.is_stock and times.ceilings]
    findings = (_of_memory(stock, results.times), _of_modes(main), _of_macs(stock))
    return [f"- {finding}" for finding in findings if finding]


def _of_memory(stock: Sequence[StoredTimes], all_times: list[StoredTimes]) -> str:
    """The share of page faults in a stock pass, and the speed-up from keeping memory."""
    shares, worth = [], []
    for times in stock:
        parts, ratio = parts_of(times, all_times), gain_of_memory_kept(times, all_times)
        if parts is not None and ratio is not None:
            share = 100 * parts.page_faults / parts.whole
            shares.append(f"{share:.0f} % of a stock pass at {times.dataset} size")
            worth.append(f"{show_mean(ratio)}{TIMES}")
    if not shares:
        return ""
    return (
        f"**Page faults** take {' and '.join(shares)}. Keeping freed memory in the process avoids "
        f"these faults and the cache misses that they cause: the pass is {' and '.join(worth)} as "
        "fast, with identical output."
    )


def _of_modes(inputs: Sequence[StoredModes]) -> str:
    """The fastest mode of each precision, by input."""
    sentences = []
    precisions: set[str] = set()
    for modes in inputs:
        fastest = fastest_by_precision(modes)
        precisions |= fastest.keys()
        words = [
            f"{word_mode(mode)}{FLOAT32 if mode.mode.dtype == 'float32' else ''} "
            f"{show_mean(ratio)}{TIMES}"
            for mode, ratio in fastest.values()
        ]
        if words:
            sentences.append(f"At {modes.dataset} size: {'; '.join(words)}.")
    if not sentences:
        return ""
    text = f"**Fastest mode by precision**, relative to stock. {' '.join(sentences)}"
    if precisions != {"float32"}:
        text += " Weights here are random: check the accuracy of lower precisions with yours."
    return text


def _of_macs(stock: Sequence[StoredTimes]) -> str:
    """The kinds of operations with the most time for their MACs, at the largest input."""
    if not stock:
        return ""
    times = max(stock, key=attrgetter("macs"))
    level = level_of(times.layer.conditions)
    whole = sum_rows(times.operations, times.ceilings, level)
    shares = {
        kind: (100 * total.time.mean / whole.time.mean, 100 * total.macs / whole.macs)
        for kind, total in sum_by_kind(times.operations, times.ceilings, level).items()
    }
    worst = sorted(shares, key=lambda kind: shares[kind][1] - shares[kind][0])[:DEAREST]
    told = [
        f"{kind} takes {shares[kind][0]:.0f} % of the time with {shares[kind][1]:.0f} % of the MACs"
        for kind in worst
    ]
    return f"**MACs do not predict time**: at {times.dataset} size, {'; '.join(told)}."
