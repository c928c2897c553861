"""Times and speed-ups of records over rounds."""

from collections import defaultdict
from statistics import geometric_mean

from backbone.record.rows import Record
from backbone.statistics.intervals import Interval, geometric_interval
from backbone.statistics.looks import level_of


def speed_up(record: Record, other: Record, first: Record) -> Interval | None:
    """The speed-up of a record over another, over the rounds that they share; None if they share
    none. Per image, if their batch sizes differ. first: see `speed_ups()`."""
    ratios = speed_ups(record, other, first)
    return geometric_interval(ratios, level_of(record.conditions)) if ratios else None


def speed_ups(record: Record, other: Record, first: Record) -> list[float]:
    """The speed-up per image of a record over another in each round that they share. Runs in the
    same group of a round are compared directly, runs in different groups through the first record,
    which has a run in each group."""
    means, others, firsts = (_means_by_round(one_record) for one_record in (record, other, first))
    in_each_round = [
        _speed_ups_in_round(means[key], others[key], firsts.get(key, {}))
        for key in means
        if key in others
    ]
    images = record.images_per_pass / other.images_per_pass
    return [images * geometric_mean(ratios) for ratios in in_each_round if ratios]


def _speed_ups_in_round(
    means: dict[int, float], others: dict[int, float], firsts: dict[int, float]
) -> list[float]:
    """The speed-ups in one round, from the milliseconds per pass in each group: in the groups that
    both records share or, if there are none, through the first record."""
    shared = means.keys() & others.keys()
    if shared:
        return [others[group] / means[group] for group in shared]
    return [
        (others[there] / firsts[there]) * (firsts[here] / means[here])
        for here in means
        for there in others
        if {here, there} <= firsts.keys()
    ]


def cut_over_uncut(record: Record) -> Interval | None:
    """The time of the pass cut into parts divided by that of the uncut pass in the same process;
    None if not measured."""
    ratios = [run["cut_over_uncut"] for run in record.runs if "cut_over_uncut" in run]
    return geometric_interval(ratios, level_of(record.conditions)) if ratios else None


def mean_of_rounds(record: Record) -> Interval:
    """Milliseconds per pass over the rounds; runs in different groups of a round are averaged."""
    level = level_of(record.conditions)
    by_round = _means_by_round(record).values()
    if not by_round:
        return geometric_interval(record.whole.run_means, level)
    return geometric_interval([geometric_mean(means.values()) for means in by_round], level)


def _means_by_round(record: Record) -> dict[tuple[int, int], dict[int, float]]:
    """Milliseconds per pass of each run, by round and group; empty for a run outside of rounds,
    whose timer was started by hand. The seed, which differs between measurements, is part of a
    round's key."""
    means: dict[tuple[int, int], dict[int, float]] = defaultdict(dict)
    for run, mean in zip(record.runs, record.whole.run_means.tolist(), strict=True):
        if "round" in run:
            means[run["order_seed"], run["round"]][run["group"]] = mean
    return means
