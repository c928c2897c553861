"""Simulates comparisons that stop at looks: how many rounds they take, and how often they are
wrong.

A program for people, not a test. It finds the level at which 5 % of comparisons have an interval
that misses the truth at any of their looks, and simulates comparisons whose ratios scatter in
several ways. Results are stored in tools/looks.json, the source of METHOD.md's table.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import log
from pathlib import Path

import numpy as np
from scipy.stats import t

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from backbone.command import ending, flag_types
from backbone.command.files import check_writable, write_whole
from backbone.record import tools
from backbone.record.tools import Simulated
from backbone.statistics.intervals import reach
from backbone.statistics.looks import LEVEL, LOOKS, SAME

LAST = LOOKS[-1]
HEAP = log(1.6)  # difference of the logarithms of the times of two heap states
PRECISIONS = (5.0, 10.0)  # percent


@dataclass(frozen=True)
class Scatter:
    """A distribution of log ratios between rounds: draw() returns them, shape (comparisons,
    rounds); `mean` is their true mean."""

    words: str
    draw: Callable[[np.random.Generator, int], np.ndarray]
    mean: float = 0.0


def normal(scatter: float) -> Scatter:
    """Normally distributed log ratios."""
    return Scatter(
        f"normal, {100 * scatter:g} %", lambda rng, trials: rng.normal(0, scatter, (trials, LAST))
    )


def two_states(words: str, share: float) -> Scatter:
    """A share of one command's processes is in another heap state; in addition, ratios scatter by
    2 %."""

    def draw(rng: np.random.Generator, trials: int) -> np.ndarray:
        is_in_second = rng.random((trials, LAST)) < share
        return HEAP * is_in_second + rng.normal(0, 0.02, (trials, LAST))

    return Scatter(f"2 %, two heap states, 1.6 apart, {words}", draw, HEAP * share)


def drift(rng: np.random.Generator, trials: int) -> np.ndarray:
    """Ratios that scatter by 3.5 % and drift by 4 % over all rounds."""
    return np.linspace(-0.02, 0.02, LAST) + rng.normal(0, 0.035, (trials, LAST))


def bursts(rng: np.random.Generator, trials: int) -> np.ndarray:
    """Ratios that scatter by 3.5 %, in one round of ten by 17.5 %."""
    wide = np.where(rng.random((trials, LAST)) < 0.1, 5, 1)
    return rng.normal(0, 0.035, (trials, LAST)) * wide


CASES: list[tuple[Scatter, tuple[float, ...]]] = [
    (normal(0.01), (0, 5, 50)),
    (normal(0.035), (0, 5, 50)),
    (normal(0.1), (0, 5, 50)),
    (Scatter("3.5 %, drifting by 4 % over 20 rounds", drift), (0, 5)),
    (Scatter("3.5 %, bursts: 17.5 % in one round of ten", bursts), (0, 5)),
    (two_states("half of the processes in each", 1 / 2), (5,)),
    (two_states("one process in five in the second", 1 / 5), (5,)),
    (two_states("one process in ten in the second", 1 / 10), (5,)),
]


def find_level(rng: np.random.Generator, trials: int) -> float:
    """The level at which 5 % of comparisons miss the truth at any of their looks."""
    values = rng.normal(0, 1, (trials, LAST))
    least = np.ones(trials)
    for look in LOOKS:
        mean, deviation = _moments(values, look)
        statistic = np.abs(mean) / deviation * np.sqrt(look)
        least = np.minimum(least, 2 * t.sf(statistic, look - 1))
    return float(np.quantile(least, 0.05))


def simulate(
    scatter: Scatter, effect: float, precision: float, rng: np.random.Generator, trials: int
) -> Simulated:
    """Simulate comparisons that stop at the first look with a known verdict and a half-width within
    the precision (percent), or at the last look. effect: percent."""
    truth = log(1 + effect / 100) + scatter.mean
    values = log(1 + effect / 100) + scatter.draw(rng, trials)
    margin = log(1 + SAME / 100)
    rounds = np.full(trials, LAST)
    means, halves = np.empty(trials), np.empty(trials)
    going = np.ones(trials, bool)
    for look in LOOKS:
        mean, deviation = _moments(values, look)
        half = deviation * reach(look, LEVEL)
        known = (np.abs(mean) > half) | (np.abs(mean) + half <= margin)
        stops = going & ((known & (half <= log(1 + precision / 100))) | (look == LAST))
        rounds[stops], means[stops], halves[stops] = look, mean[stops], half[stops]
        going &= ~stops
    return Simulated(
        scatter.words,
        effect,
        precision,
        rounds=float(rounds.mean()),
        holds=float(np.mean(np.abs(means - truth) <= halves)),
        wrong=float(np.mean((np.abs(means) > halves) & (np.sign(means) != np.sign(truth)))),
    )


def _moments(values: np.ndarray, look: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation over the rounds up to a look, for each comparison."""
    seen = values[:, :look]
    return seen.mean(axis=1), seen.std(axis=1, ddof=1)


def simulate_all(rng: np.random.Generator, trials: int) -> Iterator[Simulated]:
    """Simulate all cases at each precision."""
    for scatter, effects in CASES:
        for effect in effects:
            for precision in PRECISIONS:
                yield simulate(scatter, effect, precision, rng, trials)


def main() -> None:
    parser = argparse.ArgumentParser(
        ending.PROGRAM, description=__doc__.splitlines()[0], allow_abbrev=False
    )
    parser.add_argument("--trials", type=flag_types.positive, default=200_000, help="of each case")
    parser.add_argument(
        "--seed", type=flag_types.whole_number, default=0, help="seed of the random numbers"
    )
    parser.add_argument("--file", type=Path, default=tools.LOOKS, help="file for the results")
    arguments = parser.parse_args()
    check_writable(arguments.file)
    rng = np.random.default_rng(arguments.seed)
    print(f"level: {find_level(rng, arguments.trials):.4f}; in use: {LEVEL}")
    rows = list(simulate_all(rng, arguments.trials))
    for row in rows:
        print(
            f"{row.scatter:<62} {row.effect:3.0f} % within {row.precision:2.0f} %: "
            f"{row.rounds:4.1f} rounds, holds {100 * row.holds:5.1f} %, "
            f"wrong sign {100 * row.wrong:4.1f} %"
        )
    write_whole(arguments.file, tools.dumps(rows))


if __name__ == "__main__":
    ending.run(main)
