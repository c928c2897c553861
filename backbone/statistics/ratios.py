"""Times and ratios of records, by rounds."""

from collections import defaultdict
from statistics import geometric_mean

from backbone.record.rows import Record
from backbone.statistics.intervals import Interval, geometric_interval
from backbone.statistics.looks import level_of


def speed_up(record: Record, other: Record, first: Record) -> Interval | None:
    """How many times as fast a record's pass is as another's, image by image if their batches are
    of different sizes, over the rounds that the two share; None if they share none. first: see
    speed_ups()."""
    ratios = speed_ups(record, other, first)
    return geometric_interval(ratios, level_of(record.conditions)) if ratios else None


def speed_ups(record: Record, other: Record, first: Record) -> list[float]:
    """How many times as fast a record's pass is as another's, for each image, round by round; empty
    if the two share no round. Runs in the same group of a round are compared directly. Runs in
    different groups are compared through the first record, which has a run in each group."""
    means, others, firsts = (_means_by_round(each) for each in (record, other, first))
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
    """The same in one round, from the milliseconds of a pass in each group: the ratios in the
    groups that both have been in; if there are none, in those that the first has been in too."""
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
    """How many times as long as the network's own pass the pass cut into parts takes, in the same
    process; None if that was not measured."""
    ratios = [run["cut_over_uncut"] for run in record.runs if "cut_over_uncut" in run]
    return geometric_interval(ratios, level_of(record.conditions)) if ratios else None


def mean_of_rounds(record: Record) -> Interval:
    """Milliseconds of a pass over the rounds; a run in each group of a round counts once."""
    level = level_of(record.conditions)
    by_round = _means_by_round(record).values()
    if not by_round:
        return geometric_interval(record.whole.run_means, level)
    return geometric_interval([geometric_mean(means.values()) for means in by_round], level)


def _means_by_round(record: Record) -> dict[tuple[int, int], dict[int, float]]:
    """Milliseconds of a pass in each run, by its round and its group there; empty for a run outside
    of rounds, whose timer was started by hand. The seed of the order of turns is part of a round's
    key: each measurement has another."""
    means: dict[tuple[int, int], dict[int, float]] = defaultdict(dict)
    for run, mean in zip(record.runs, record.whole.run_means.tolist(), strict=True):
        if "round" in run:
            means[run["order_seed"], run["round"]][run["group"]] = mean
    return means
