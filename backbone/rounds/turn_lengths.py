"""The numbers of timed passes of a process and of its turns."""

from collections.abc import Sequence
from math import ceil

TURN_SECONDS = 0.1  # minimum duration of the slowest run's turn
LEAST_PASSES = 10  # minimum number of timed passes per turn
# Timed passes of a process on a CPU if the first command's pass takes less than 0.3 s (five rounds
# then have the study's 300), and if it takes longer. METHOD.md describes the experiment.
SHORT_SECONDS = 0.3
SHORT_PASSES = 60
LONG_PASSES = 2
GPU_TURN_SECONDS = 1.0  # minimum duration of a turn on a GPU, whose clock rises under load
GPU_PASSES = 300  # minimum number of timed passes of the first command's process there
GPU_TURNS = 2  # minimum number of turns of each process there


def turns_of_runs(
    passes: Sequence[int | None], seconds: Sequence[float], is_on_gpu: Sequence[bool]
) -> list[list[int]]:
    """The timed passes of each turn, for each run; all runs have the same number of turns.

    Arguments have one item per run, the first command's first: passes, in all its turns together
    (None to choose by the duration of a pass); seconds, of a pass; is_on_gpu.
    """
    if not any(is_on_gpu):
        of_all = passes[0] or (SHORT_PASSES if seconds[0] < SHORT_SECONDS else LONG_PASSES)
        turn = max(LEAST_PASSES, ceil(TURN_SECONDS / max(seconds)))
        return [[min(turn, left) for left in range(of_all, 0, -turn)]] * len(seconds)
    of_a_turn = [max(LEAST_PASSES, ceil(GPU_TURN_SECONDS / of_run)) for of_run in seconds]
    if passes[0] is None:
        least = GPU_PASSES if is_on_gpu[0] else 0
        turns = max(GPU_TURNS, ceil(least / of_a_turn[0]))
    else:
        turns = max(1, round(passes[0] / of_a_turn[0]))  # the same number if a pass takes as long
    return [
        _split(of_run or turns * turn, turns)
        for of_run, turn in zip(passes, of_a_turn, strict=True)
    ]


def _split(passes: int, turns: int) -> list[int]:
    """Split passes into turns that differ by at most one pass."""
    return [passes * (turn + 1) // turns - passes * turn // turns for turn in range(turns)]
