"""Rounds: their order, their share of the passes, and what stands until the last has ended."""

import contextlib
import fcntl
import os
import pty
import re
import resource
import struct
import sys
import termios

import pytest
from project import ROOT
from wrappers import CPU_TIMES, files_in, run, start

import timer
from cpu import timer as cpu_timer


def test_rounds(checkout, stand_in):
    """Each round has one run of everything on an input, and VOC has twice as many rounds."""
    env = {**stand_in, "ROUNDS": "3"}
    result = run(checkout / "cpu/stats.sh", "--iterations", "31", "--warmup=6", env=env)
    assert (result.returncode, result.stdout) == (0, ""), result.stderr
    lines = [line.removeprefix("cpu/stats.sh: ") for line in result.stderr.splitlines()]
    expected = [
        f"cpu/timer.py --i {dataset} --target {target}{kept} {passes} --iterations 31 --warmup=6 "
        f"--rounds {rounds} -> "
        f"cpu/mobilenetv2_stats{kept.replace(' --', '_')}/{folder}mobilenetv2_{dataset}.txt"
        for dataset, rounds, stock_passes, kept_passes in (
            ("cityscapes", 3, "--iterations 160 --warmup 20", "--iterations 240 --warmup 20"),
            ("pascal", 6, *["--iterations 1000 --warmup 40"] * 2),
        )
        for target, folder in (("model", ""), ("block", "blocks/"), ("layer", "layers/"))
        for kept, passes in (("", stock_passes), (" --keep-memory", kept_passes))
    ]
    assert lines[:12] == expected
    rounds = [line.partition(":")[0].partition(", about")[0] for line in lines[12:21]]
    assert [line.replace(", the last minute", "") for line in rounds] == [
        *("round 1 of 6, pascal", "round 1 of 3, cityscapes", "round 2 of 6, pascal"),
        *("round 3 of 6, pascal", "round 2 of 3, cityscapes", "round 4 of 6, pascal"),
        *("round 5 of 6, pascal", "round 3 of 3, cityscapes", "round 6 of 6, pascal"),
    ]
    for file in CPU_TIMES:
        runs = (checkout / file).read_text().splitlines()
        assert len(runs) == (6 if "pascal" in file else 3)
        assert all("--keep-memory" in each for each in runs) == ("keep-memory" in file)
    # At its end the whole pass of each input, as stored, and how the README is brought up to date.
    stored = (checkout / "cpu/mobilenetv2_stats/mobilenetv2_pascal.txt").read_text().splitlines()
    assert lines[-7:-1] == stored
    assert "results.py --update" in lines[-1]


def test_what_time_is_left(monkeypatch):
    monkeypatch.setattr("sys.path", sys.path.copy())
    monkeypatch.setattr("sys.argv", ["rounds.py", "cpu/stats.sh"])
    sys.path.insert(0, str(ROOT / "shell"))
    from rounds import PlannedInput, in_order

    slow = PlannedInput("cityscapes", rounds=3, seconds=[100, 200])
    assert slow.seconds_left == 150
    quick = PlannedInput("pascal", rounds=6)
    order = [f"{each.name[0]}{number}" for each, number in in_order([slow, quick])]
    assert order == ["p1", "c1", "p2", "p3", "c2", "p4", "p5", "c3", "p6"]


def test_ten_rounds_unless_said_otherwise(checkout, stand_in):
    for rounds, number in (("", 10), ("7", 7)):
        env = {**stand_in, "ROUNDS": rounds, "STAND_IN_FAILS": "--i pascal"}
        result = run(checkout / "cpu/stats.sh", "--s", "1", env=env)
        assert result.returncode == 1
        command = "cpu/timer.py --i cityscapes --target model --iterations 160 --warmup 20 --s 1"
        assert result.stderr.startswith(f"cpu/stats.sh: {command} --rounds {number} -> ")
        assert f"cpu/stats.sh: round 1 of {2 * number}, pascal: 6 runs by turns\n" in result.stderr


def test_bar_on_a_terminal(checkout, stand_in):
    """A bar with the time that is left in place of lines."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 25, 100, 0, 0))  # rows, columns
    env = {**stand_in, "ROUNDS": "2"}
    process = start(checkout / "modes.sh", env=env, stderr=theirs)
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # which ends a terminal
        while part := os.read(ours, 4096):
            shown += part
    os.close(ours)
    assert process.wait(timeout=60) == 0, shown
    text = shown.decode()
    assert re.search(r"modes.sh: round 2 of 2, pascal\S* .* of \d+ runs", text), text
    assert "runs by turns" not in text


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
    fails = {"STAND_IN_FAILS": "pascal --target block", "STAND_IN_ROUND": "2"}
    env = {**stand_in, **fails, "ROUNDS": "10"}
    result = run(checkout / "cpu/stats.sh", env=env)
    assert (result.returncode, result.stdout) == (1, "")
    *_, at, last = result.stderr.splitlines()
    assert at.startswith("cpu/stats.sh: round 2 of 20, pascal")
    assert "cpu/timer.py --i pascal --target block" in last and "failed: exit status 3" in last
    assert files_in(checkout) == before and not list(checkout.rglob(".new"))


def test_full_disk_at_the_end_of_the_last_round(checkout, stand_in):
    """What can't be stored whole leaves what stood there."""
    before = files_in(checkout)
    env = {**stand_in, "ROUNDS": "2", "STAND_IN_ADDS": 1000 * "x"}
    # A file can't grow beyond what three runs with memory kept leave, and four without.
    limit = 4 * 1060
    result = run(
        checkout / "cpu/stats.sh",
        env=env,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert (result.returncode, result.stdout) == (1, "")
    assert "round 4 of 4, pascal" in result.stderr
    assert "failed: exit status 1: " in result.stderr.splitlines()[-1]
    assert files_in(checkout) == before and not list(checkout.rglob(".new"))
