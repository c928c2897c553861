"""compare.py: what is printed, what is refused, and how runs are compared."""

import json
import os
import sys

import numpy as np
import pytest
from project import ENVIRONMENT, assert_one_line, python

from backbone.record.rows import Record, Row
from backbone.report.comparison import compare, format_comparison, is_slower_by
from backbone.statistics.intervals import Interval
from backbone.statistics.looks import judge
from backbone.statistics.ratios import mean_of_rounds, speed_ups

TIMER = "cpu/timer.py --i 64x96"
QUICK = ("compare.py", "--rounds", "2", "--iterations", "3", "--warmup", "1")


def test_two_equal_commands_by_turns(tmp_path):
    """The second has variables, quotes and an interpreter of its own."""
    file, link = tmp_path / "comparison.json", tmp_path / "a python"
    link.symlink_to(sys.executable)
    timer = f"{TIMER} --target block"
    command = f"OMP_NUM_THREADS=1 WORDS='a b' '{link}' {timer}"
    env = ENVIRONMENT | {"PYTHONPATH": os.pathsep.join(sys.path)}
    flags = ("-L", "size", "64x96", "--json", file, timer.replace("64x96", "{size}"))
    result = python(*QUICK, *flags, command, env=env)
    assert (result.returncode, result.stderr) == (0, "")
    text, _, table = result.stdout.partition("\n\nBy stage, ms per pass, 2 rounds; the rows' inter")
    first, processes, second, _, *names = text.splitlines()
    assert first.startswith("command 1  ") and " ms (" in first and "times" not in first
    assert processes.startswith("  2 processes, ") and processes.endswith(" page faults per pass")
    assert second.startswith("command 2  ") and " times as fast (" in second
    assert names == ["", f"command 1: {timer}", f"command 2: {command}"]
    assert "  the whole pass\n" in table
    one, other = json.loads(file.read_text())
    assert (one["command"], one["speed_up"], one["verdict"]) == (timer, 1.0, None)
    assert other["low"] < other["speed_up"] < other["high"] and other["command"] == command
    assert other["verdict"] in ("faster", "slower", "same", "undecided")
    assert one["low_ms"] < one["mean_ms"] < one["high_ms"]
    rows = other["rows"]
    assert (
        "rows" not in one
        and len(rows) == 21
        and "Inverted Residual Block at position 1" in (row["name"] for row in rows)
    )
    sides = [[row[side]["milliseconds"] for row in rows] for side in ("first", "second")]
    differences = sum(row["difference_ms"] for row in rows)
    assert differences == pytest.approx(sum(sides[1]) - sum(sides[0]))


def test_commands_that_are_no_timers_or_cannot_start():
    """What the others give is printed all the same."""
    failures = {
        "no-such-program --i pascal": "cannot start: No such file or directory",
        "mem.py --i 64x96": "it is not a timer of this project, or one that is too old",
        "cpu/timer.py --speed": "exit status 2: cpu/timer.py: error: unrecognized arguments: --sp",
        "/bin/true": "it is not a timer of this project",
        "LD_PRELOAD=none cpu/timer.py": "exit status 1: cpu/timer.py: LD_PRELOAD=none: the loader",
    }
    result = python(*QUICK, TIMER, *failures, TIMER)
    assert (result.returncode, result.stderr.count("\n")) == (1, 1)
    assert result.stdout.count(f"{TIMER}  ") == 2 and " times as fast (" in result.stdout
    for command, reason in failures.items():
        assert f"{command} failed: {reason}" in result.stderr
    assert "--warmup" not in result.stderr  # nor other flags that are compare.py's own
    assert_one_line(python(*QUICK, "/bin/true", TIMER), "compare.py: /bin/true failed: it is not a")


@pytest.mark.parametrize(
    ("low", "high", "verdict", "is_slower"),
    [
        (1.03, 1.2, "faster", False),
        (0.75, 0.85, "slower", True),
        (0.85, 0.95, "slower", False),
        (1 / 1.02, 1.02, "same", False),
        (1.005, 1.015, "same", False),  # certainly faster, and by so little that nobody cares
        (0.6, 1.01, "undecided", False),
        (1.0, 1.03, "undecided", False),
    ],
)
def test_verdicts(low, high, verdict, is_slower):
    speed_up = Interval((low + high) / 2, low, high)
    assert judge(speed_up, same=2) == verdict
    assert is_slower_by(speed_up, percent=10) is is_slower


def made_of(*runs: tuple[int, int, float]) -> Record:
    """A record of a whole pass, by the round, the group and the milliseconds of each run."""
    samples = np.array([[milliseconds] for _, _, milliseconds in runs])
    row = Row("model", "Network", path="", stage=None, input_shape=[1], samples=samples)
    places = [{"order_seed": 7, "round": number, "group": group} for number, group, _ in runs]
    return Record(rows=[row], conditions={"rounds": len(runs)}, runs=places)


@pytest.mark.parametrize(("length", "shown"), [(60, "A=x"), (61, "command 2")])
def test_long_commands_have_numbers_and_stand_below(length, shown):
    names = ["cpu/timer.py", "A=".ljust(length, "x")]
    compared = compare(names, 2 * [made_of((1, 0, 1.0), (2, 0, 1.0))], same=2)
    lines = format_comparison(compared, same=2).splitlines()
    assert lines[2].startswith(shown) and "  1.00" in lines[2]
    below = ["", f"command 1: {names[0]}", f"command 2: {names[1]}"]
    assert lines[4:] == ([] if length == 60 else below)


def test_ratios_are_of_the_same_round_and_group_and_a_round_counts_once():
    first = made_of((1, 0, 10), (1, 1, 20), (2, 0, 40), (2, 1, 80))
    _, compared = compare(["a", "b"], [first, made_of((2, 1, 40), (1, 1, 10))], same=2)
    assert compared.speed_up.low == pytest.approx(2) == compared.speed_up.high
    # In one of ten rounds two modes were in one group, in nine they are compared by stock.
    rounds = range(1, 11)
    stock = made_of(*((number, group, 8 + group) for number in rounds for group in (0, 1)))
    kept = made_of(*((number, 0, 4) for number in rounds))
    folded = made_of(*((number, 0, 2) if number == 5 else (number, 1, 2.25) for number in rounds))
    assert speed_ups(folded, kept, stock) == pytest.approx([2] * 10)
    mean = mean_of_rounds(stock)
    assert mean.mean == mean.low == mean.high == pytest.approx(72**0.5)
