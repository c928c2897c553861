"""Rounds: their order, their share of the passes, and what stands until the last has ended."""

import os
import re

import pytest
from wrappers import TIMES, files_in, run

import timer
from cpu import timer as cpu_timer


def test_rounds(checkout, stand_in):
    """Each round has one run of everything; what was stored stands until the last has ended."""
    env = {**stand_in, "ROUNDS": "3"}
    result = run(checkout / "cpu/stats.sh", "--iterations", "31", "--warmup=6", env=env)
    assert (result.returncode, result.stdout) == (0, ""), result.stderr
    *_, pascal, last = result.stderr.splitlines()
    said = [line.removeprefix("cpu/stats.sh: round ") for line in result.stderr.splitlines()[:-7]]
    flags = "--iterations 31 --warmup=6 --rounds 3"
    order = [(d, t) for d in ("cityscapes", "pascal") for t in ("model", "block", "layer")]
    expected = [
        (f"{r} of 3, run {i} of 6", f"cpu/timer.py --i {d} --target {t} {flags}")
        for r in (1, 2, 3)
        for i, (d, t) in enumerate(order, start=1)
    ]
    assert len(said) == len(expected) == 18
    for number, (line, (where, command)) in enumerate(zip(said, expected, strict=True)):
        left = ", about 1 min to go" if number else ""
        assert line.startswith(f"{where}{left}: {command} -> cpu/mobilenetv2_stats/")
    for file in TIMES:
        text = (checkout / "cpu/mobilenetv2_stats" / file).read_text()
        assert text.count("cpu/timer.py --i ") == 3
    # At its end the whole pass of each input, as stored, and how the README is brought up to date.
    stored = checkout / "cpu/mobilenetv2_stats/mobilenetv2_pascal.txt"
    assert pascal == stored.read_text().splitlines()[-1]
    assert result.stderr.splitlines()[-7].startswith("cpu/timer.py --i cityscapes --target model")
    assert "results.py --update" in last


def test_says_how_long_the_rest_takes(checkout, stand_in, tmp_path):
    # A clock that goes 65 s ahead at each look, which is one a run.
    (tmp_path / "bin").mkdir()
    date = tmp_path / "bin/date"
    date.write_text(f"""#!/bin/sh
echo >>"{tmp_path}/ticks"
echo $(($(wc -l <"{tmp_path}/ticks") * 65))
""")
    date.chmod(0o755)
    path = f"{tmp_path}/bin:{os.environ['PATH']}"
    result = run(checkout / "cpu/stats.sh", env={**stand_in, "ROUNDS": "2", "PATH": path})
    left = re.findall(r"about (\d+) min to go", result.stderr)
    # 78 parts in all, 12 for a run of Cityscapes and 1 of VOC: after the first 12, 66 are left.
    done = [12, 24, 36, 37, 38, 39, 51, 63, 75, 76, 77]
    assert left == [str(65 * i * (78 - part) // part // 60 + 1) for i, part in enumerate(done, 1)]


def test_five_rounds_unless_said_otherwise(checkout, stand_in):
    for rounds, number in (("", 5), ("7", 7)):
        env = {**stand_in, "ROUNDS": rounds, "STAND_IN_FAILS": "cpu/timer.py"}
        result = run(checkout / "cpu/stats.sh", "--s", "1", env=env)
        assert result.returncode == 3
        command = f"cpu/timer.py --i cityscapes --target model --s 1 --rounds {number} -> "
        first = f"cpu/stats.sh: round 1 of {number}, run 1 of 6: {command}"
        assert result.stderr.startswith(first)


@pytest.mark.parametrize(
    ("flags", "iterations", "warmup"),
    [
        ([], 300, 25),
        (["--rounds", "5"], 60, 5),
        (["--rounds", "5", "--iterations", "3"], 1, 5),
        (["--rounds", "7", "--warmup", "0"], 43, 0),
        (["--rounds", "7"], 43, 4),
    ],
)
def test_passes_are_shared_out_and_rounded_up(flags, iterations, warmup):
    options = cpu_timer.parse_options(flags)
    assert (options.iterations, options.warmup) == (iterations, warmup)
    # Each process has all warm-up passes: a GPU's clocks rise in each.
    options = timer.parse_options(flags)
    assert (options.iterations, options.warmup) == (iterations, 0 if "0" in flags else 25)


@pytest.mark.parametrize("rounds", ["0", "x", "-1", "1.5", "05"])
def test_wrong_rounds(checkout, stand_in, rounds):
    result = run(checkout / "cpu/stats.sh", env={**stand_in, "ROUNDS": rounds})
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == f"cpu/stats.sh: ROUNDS={rounds} is no whole number from 1 up\n"


@pytest.mark.parametrize("flags", [["--iterations", "many"], ["--warmup"], ["--iterations="]])
def test_wrong_passes_are_the_scripts_to_refuse(checkout, flags, ready):
    result = run(checkout / "cpu/stats.sh", *flags, env=ready)
    assert (result.returncode, result.stdout) == (2, "")
    assert "usage: cpu/timer.py" in result.stderr and "failed (exit status 2)" in result.stderr


def test_failing_in_a_later_round(checkout, stand_in):
    before = files_in(checkout)
    env = {**stand_in, "STAND_IN_FAILS": "pascal --target block", "STAND_IN_ROUND": "2"}
    result = run(checkout / "cpu/stats.sh", env=env)
    assert (result.returncode, result.stdout) == (3, "")
    *_, at, last = result.stderr.splitlines()
    assert "round 2 of 5, run 5 of 6" in at
    assert "cpu/timer.py --i pascal --target block" in last and "failed (exit status 3)" in last
    assert files_in(checkout) == before and not list(checkout.rglob(".new"))
