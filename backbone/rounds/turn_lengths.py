"""How many passes a process times, and how many in each of its turns."""

from collections.abc import Collection
from math import ceil

TURN_SECONDS = 0.1  # that the slowest run's turn takes, at least
LEAST_PASSES = 10  # timed in a turn
# Timed passes of a process on a CPU if the first command's pass takes less than 0.3 s (five rounds
# then have the study's 300), and if it takes longer. METHOD.md has the experiment.
SHORT_SECONDS = 0.3
SHORT_PASSES = 60
LONG_PASSES = 2
GPU_TURN_SECONDS = 1.0  # that the fastest run's turn takes on a GPU, whose clock rises under load
GPU_PASSES = 300  # that a process times there, at least
GPU_TURNS = 2  # that it has, at least


def turns_of_runs(
    passes: int | None, first: float, seconds: Collection[float], is_on_gpu: bool
) -> list[int]:
    """The timed passes of each turn of runs that take turns.

    passes: of all turns; None: as many as suit the first command. first: the seconds of that one's
    pass. seconds: of each run's pass.
    """
    if not is_on_gpu:
        passes = passes or (SHORT_PASSES if first < SHORT_SECONDS else LONG_PASSES)
        turn = max(LEAST_PASSES, ceil(TURN_SECONDS / max(seconds)))
        return [min(turn, left) for left in range(passes, 0, -turn)]
    turn = max(LEAST_PASSES, ceil(GPU_TURN_SECONDS / min(seconds)))
    passes = passes or max(GPU_PASSES, GPU_TURNS * turn)
    turns = max(1, passes // turn)
    return [passes * (number + 1) // turns - passes * number // turns for number in range(turns)]
