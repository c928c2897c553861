"""compare.py: what is printed, what is refused, and that nothing is left behind."""

import fcntl
import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from project import ENVIRONMENT, ROOT, assert_one_line, python, without_note

from backbone.record import records
from backbone.record.rows import Record, Row
from backbone.report.comparison import compare, format_comparison, is_slower_by
from backbone.statistics.intervals import Interval
from backbone.statistics.looks import judge
from backbone.statistics.ratios import mean_of_rounds, speed_ups

TIMER = "cpu/timer.py --i 64x96"
QUICK = ("--rounds", "2", "--iterations", "3", "--warmup", "1")


def test_two_equal_commands_by_turns(tmp_path):
    file = tmp_path / "comparison.json"
    result = python("compare.py", *QUICK, "--json", file, TIMER, TIMER)
    assert (result.returncode, result.stderr) == (0, "")
    first, processes, second, _ = result.stdout.splitlines()
    assert first.startswith(f"{TIMER}  ") and " ms (" in first and "times" not in first
    assert processes.startswith("  2 processes, ") and processes.endswith(" page faults a pass")
    assert " times as fast (" in second
    one, other = json.loads(file.read_text())
    assert one["command"] == other["command"] == TIMER
    assert (one["speed_up"], one["verdict"]) == (1.0, None)
    assert other["low"] < other["speed_up"] < other["high"]
    assert other["verdict"] in ("faster", "slower", "same", "undecided")
    assert one["low_ms"] < one["mean_ms"] < one["high_ms"]


def test_variables_quotes_and_an_interpreter_of_its_own(tmp_path):
    link = tmp_path / "a python"
    link.symlink_to(sys.executable)
    where = {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = f"OMP_NUM_THREADS=1 WORDS='a b' '{link}' {TIMER}"
    result = python("compare.py", *QUICK, command, env=ENVIRONMENT | where)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.endswith(f"\n\ncommand 1: {command}\n")


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("/bin/ls", "exit status 2: "),
        ("no-such-program --i pascal", "cannot start: No such file or directory"),
        ("mem.py --i 64x96", "is not a timer of this project, or is too old"),
        ("cpu/timer.py --speed", "error: unrecognized arguments: --speed"),
        ("/bin/true", "is not a timer of this project"),
        ("/bin/echo hi", "is not a timer of this project"),
        ("timer.py --i 64x96", "timer.py: no CUDA device here"),
        ("cpu/timer.py 'x", "No closing quotation"),
        ("cpu/timer.py --iterations=9", "--iterations is compare.py's to set"),
        ("A=1", "names no timer"),
    ],
)
def test_command_that_is_no_timer_or_cannot_start(command, reason):
    result = python("compare.py", *QUICK, command)
    assert_one_line(result, f"compare.py: {command}" if "A=1" not in command else "A=1", reason)
    assert "--iterations 3" not in result.stderr  # nor other flags that are compare.py's own


def test_what_is_printed_before_a_failure_is_not_lost():
    """As in a pipe, where Python keeps it in a buffer."""
    result = python("compare.py", *QUICK, TIMER, "cpu/timer.py --speed", TIMER)
    assert result.returncode == 1
    assert result.stdout.count(f"{TIMER}  ") == 2 and " times as fast (" in result.stdout
    assert "unrecognized arguments: --speed" in result.stderr


def test_one_measurement_at_a_time(tmp_path):
    with (tmp_path / "mobilenetv2-profile.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        env = ENVIRONMENT | {"PROFILE_LOCKS": str(tmp_path)}
        result = python("compare.py", TIMER, TIMER, env=env)
    assert_one_line(result, "another measurement is running on this machine; let it end first")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--rounds", "1", TIMER], "'1' is not a whole number from 2 up"),
        (["--same", "-1", TIMER], "'-1' is not a non-negative number"),
        (["--same", "x", TIMER], "'x' is not a non-negative number"),
        (["--fail-slower", "3", TIMER], "--fail-slower needs a second command"),
        ([], "required: COMMAND"),
    ],
)
def test_wrong_flags(words, text):
    result = python("compare.py", *words)
    assert (result.returncode, result.stdout) == (2, "")
    assert text in result.stderr.splitlines()[-1]


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_interrupted_in_mid_turn(tmp_path, name):
    file = tmp_path / "comparison.json"
    file.write_text("as it was")
    command = [sys.executable, "compare.py", "--json", str(file), "--iterations", "100000"]
    with start(*command, TIMER, TIMER) as process:
        runs = wait_for_runs(psutil.Process(process.pid), number=2)
        process.send_signal(signal.Signals[name])
        stdout, stderr = process.communicate(timeout=30)
    assert (process.returncode, stdout, stderr) == (128 + signal.Signals[name], "", "")
    assert not any(run.is_running() for run in runs)
    assert file.read_text() == "as it was"


def test_trials_interrupted_in_mid_turn(tmp_path):
    """A signal to tools/trials.py alone ends compare.py and its runs too."""
    file = tmp_path / "trials.json"
    with start(sys.executable, "tools/trials.py", "--title", "x", "--file", file, TIMER) as process:
        while not (below := psutil.Process(process.pid).children()):
            time.sleep(0.1)
        runs = wait_for_runs(below[0], number=1)
        process.terminate()
        stdout, stderr = process.communicate(timeout=30)
    assert (process.returncode, stdout, stderr) == (143, "", "")
    assert not any(each.is_running() for each in [*below, *runs])
    assert not file.exists()


def start(*command: str | Path) -> subprocess.Popen:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=ROOT, env=ENVIRONMENT, **pipes)


def wait_for_runs(driver: psutil.Process, number: int) -> list[psutil.Process]:
    """The runs of compare.py, once it has this number of them."""
    for _ in range(300):
        if len(runs := driver.children()) == number:
            return runs
        assert driver.is_running()
        time.sleep(0.1)
    pytest.fail("waited in vain")


def test_nobody_reads():
    """As with `| head -0`: it ends as a shell reports SIGPIPE."""
    with subprocess.Popen(
        [sys.executable, "compare.py", *QUICK, TIMER],
        cwd=ROOT,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        process.stdout.close()
        assert without_note(process.stderr.read().decode()) == ""
    assert process.returncode == 141


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (1.03, 1.2, "faster"),
        (0.8, 0.97, "slower"),
        (0.99, 1.01, "same"),
        (1.005, 1.015, "same"),  # certainly faster, and by so little that nobody cares
        (0.97, 1.01, "undecided"),
        (1.0, 1.03, "undecided"),
    ],
)
def test_verdicts(low, high, verdict):
    assert judge(Interval(math.sqrt(low * high), low, high), same=2) == verdict


@pytest.mark.parametrize("length", [60, 61])
def test_long_commands_have_numbers_and_stand_below(length):
    """A variable of 3,000 characters would push the times off the screen."""
    names = ["cpu/timer.py", "A=" + (length - 2) * "x"]
    runs = [({"round": number, "group": 0, "order_seed": 1}, 1.0) for number in (1, 2)]
    compared = compare(names, [made_of(runs), made_of(runs)], same=2)
    lines = format_comparison(compared, same=2).splitlines()
    if length == 60:
        assert len(lines) == 4 and lines[2].startswith(f"{names[1]}  1.")
    else:
        assert lines[0].startswith("command 1  1.") and lines[2].startswith("command 2  1.")
        assert max(map(len, lines[:4])) < 90
        assert lines[4:] == ["", f"command 1: {names[0]}", f"command 2: {names[1]}"]


def test_slower_for_certain():
    assert is_slower_by(Interval(0.8, 0.75, 0.85), percent=10)
    assert not is_slower_by(Interval(0.9, 0.85, 0.95), percent=10)
    assert not is_slower_by(Interval(0.8, 0.6, 1.1), percent=10)


def test_a_round_counts_once_however_many_groups_it_has():
    """Ten rounds: in one two modes were in one group, in nine they are compared by stock."""
    stock, kept, folded = [], [], []
    for number in range(1, 11):
        here = {"round": number, "order_seed": 7}
        stock += [(here | {"group": group}, 8 + group) for group in (0, 1)]
        kept.append((here | {"group": 0}, 4))
        folded.append((here | {"group": 0}, 2) if number == 5 else (here | {"group": 1}, 2.25))
    stock, kept, folded = (made_of(runs) for runs in (stock, kept, folded))
    assert speed_ups(folded, kept, stock) == pytest.approx([2] * 10)
    mean = mean_of_rounds(stock)
    assert mean.mean == mean.low == mean.high == pytest.approx(72**0.5)


def made_of(runs: list[tuple[dict, float]]) -> Record:
    """A record of a whole pass, by what is said of each run, and its milliseconds."""
    samples = np.array([[milliseconds] for _, milliseconds in runs])
    row = Row("model", "Network", path="", stage=None, input_shape=[1], samples=samples)
    return Record(rows=[row], conditions={"rounds": len(runs)}, runs=[run for run, _ in runs])


def test_ratios_are_of_the_same_round_and_group():
    def record(means: list[float], keys: list[tuple[int, int]]) -> records.Record:
        row = records.Row(
            level="model",
            type="x",
            path="",
            stage=None,
            input_shape=[1],
            samples=records.np.array([[mean] for mean in means]),
        )
        runs = [{"order_seed": 1, "round": number, "group": group} for number, group in keys]
        return records.Record(rows=[row], conditions={"rounds": len(runs)}, runs=runs)

    first = record([10, 20, 40, 80], [(1, 0), (1, 1), (2, 0), (2, 1)])
    other = record([40, 10], [(2, 1), (1, 1)])
    _, compared = compare(["a", "b"], [first, other], same=2)
    assert compared.speed_up.mean == pytest.approx(2)
    assert compared.speed_up.low == pytest.approx(2) and compared.speed_up.high == pytest.approx(2)
