"""Turns and rounds: who takes turns with whom, who fails, and that nothing is left behind."""

import contextlib
import os
import shlex
import subprocess
import sys
from itertools import accumulate
from pathlib import Path

import psutil
import pytest
from project import ENVIRONMENT, ROOT, assert_one_line, script

from backbone.command.errors import Failure
from backbone.measure import available, process, rounds
from backbone.measure.addresses import ADDR_NO_RANDOMIZE, has_fixed_addresses
from backbone.measure.process import Command
from backbone.measure.rounds import Rounds

TIMER = "cpu/timer.py --i 64x96"

# What takes turns as a timer does, and takes no time: it says with which flags it was started, and
# does what its first word says where it says it.
STAND_IN = """
import os, sys, time
fault, moment = sys.argv[1].split(":")
reading, writing = map(int, sys.argv[-2:])
reader, writer = os.fdopen(reading), os.fdopen(writing, "w", buffering=1)
def at(here):
    if here != moment:
        return
    if fault == "fails":
        sys.exit("it says why")
    if fault == "is-killed":
        os.kill(os.getpid(), 9)
    if fault == "hangs":
        time.sleep(600)
    if fault == "ends":
        os._exit(0)
    if fault == "raves":
        print("what?", file=writer)
    if fault == "breaks-off":
        print({"start": "ready 0.001", "turn": "ended"}[here], file=writer)
    if fault == "notes":
        print("a note", file=sys.stderr)
    if fault == "tells":
        for sign in "+-":
            os.write(os.open("starts", os.O_WRONLY | os.O_APPEND | os.O_CREAT), sign.encode())
            time.sleep(0.3)
at("start")
print("ready SECONDS BYTES", file=writer)
left = 6
while left > 0:
    passes = int(reader.readline().split()[1])
    with open(os.path.join(os.path.dirname(__file__), "turns"), "a") as turns:
        print(sys.argv[1], file=turns)
    at("turn")
    time.sleep(SECONDS * (passes + 1))
    left = max(0, left - passes)
    print("ended", left, file=writer)
reader.readline()
at("end")
flags = open("/proc/self/personality").read().strip() if os.path.exists("/proc/self") else ""
print(os.environ["PYTHONHASHSEED"], flags)
"""


def stand_in(folder: Path, fault: str, memory: str = "1000", seconds: str = "0.001") -> Command:
    """A command of the stand-in that has a fault at a moment, such as "fails:turn". memory: what it
    says that it has held; seconds: and that a pass takes."""
    name = fault.replace(":", "-at-")
    file = folder / f"{name}.py"
    file.write_text(STAND_IN.replace("BYTES", memory).replace("SECONDS", seconds))
    return Command(
        name=name, words=[sys.executable, str(file), fault], stdout=folder / f"{name}.txt"
    )


def children() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


@pytest.mark.parametrize("moment", ["start", "turn", "end"])
@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("fails", "exit status 1: it says why"),
        ("is-killed", "SIGKILL"),
        ("ends", "has ended without taking turns; is it a timer?"),
        ("hangs", "and is given up"),
    ],
)
def test_run_that_fails_takes_none_of_the_others_with_it(
    tmp_path, monkeypatch, fault, reason, moment
):
    if fault == "ends" and moment == "end":
        pytest.skip("that is how a run should end")
    monkeypatch.setattr(process, "START_SECONDS", 2)
    monkeypatch.setattr(process, "LEAST_PATIENCE", 2)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    before = children()
    good = [stand_in(tmp_path / folder, "is:good") for folder in ("a", "b")]
    bad = stand_in(tmp_path, f"{fault}:{moment}")
    all_rounds = Rounds([good[0], bad, good[1]], seed=1)
    ended = [run for number in (1, 2) for run in all_rounds.run(number)]
    assert sorted((run.round, good.index(run.command)) for run in ended) == [
        *((1, 0), (1, 1), (2, 0), (2, 1)),
    ]
    assert list(all_rounds.failures) == [bad]
    others = {
        ("hangs", "end"): "has not ended",
        ("ends", "turn"): "has ended before its last turn had",
    }
    assert others.get((fault, moment), reason) in all_rounds.failures[bad]
    assert children() == before
    assert not list(tmp_path.rglob("*.stderr"))


@pytest.mark.parametrize("moment", ["start", "turn"])
def test_nothing_goes_on_without_the_first(tmp_path, moment):
    (tmp_path / "other").mkdir()
    first = stand_in(tmp_path, f"fails:{moment}")
    all_rounds = Rounds([first, stand_in(tmp_path / "other", "is:good")], seed=1)
    assert list(all_rounds.run(1)) == []
    assert list(all_rounds.failures) == [first]


def test_nothing_goes_on_where_all_are_needed(tmp_path):
    (tmp_path / "other").mkdir()
    commands = [stand_in(tmp_path, "is:good"), stand_in(tmp_path / "other", "fails:turn")]
    before = children()
    with pytest.raises(Failure, match="fails-at-turn failed: exit status 1: it says why"):
        list(Rounds(commands, seed=1, need_all=True).run(1))
    assert children() == before


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("raves:start", "said 'what?' where 'ready' was expected"),
        ("breaks-off:start", "said that it is ready, and ['0.001']"),
        ("breaks-off:turn", "said that its turn has ended, and []"),
    ],
)
def test_run_that_says_something_else_is_given_up(tmp_path, fault, reason):
    bad = stand_in(tmp_path, fault)
    all_rounds = Rounds([bad], seed=1)
    assert list(all_rounds.run(1)) == []
    assert all_rounds.failures[bad] == reason


@pytest.mark.parametrize(
    ("seconds", "passes"),
    [(0.001, 100), (0.03, 4), (0.04, 3), (0.4999, 3), (0.5, 8), (3, 8)],
)
def test_passes_of_a_turn(seconds, passes):
    """A tenth of a second at the least, and three passes, or eight long ones."""
    assert rounds.passes_of_a_turn(seconds) == passes


def test_files_that_a_control_group_has_read_are_no_memory_that_is_taken(tmp_path, monkeypatch):
    monkeypatch.setattr(available, "CGROUP", tmp_path)
    for name, text in (("max", "5000"), ("current", "4000")):
        (tmp_path / f"memory.{name}").write_text(f"{text}\n")
    assert available.available_bytes() == 1000
    (tmp_path / "memory.stat").write_text("anon 3400\ninactive_file 600\n")
    assert available.available_bytes() == 1600


def test_signal_in_the_middle_of_a_start_leaves_no_process(tmp_path, monkeypatch):
    @contextlib.contextmanager
    def interrupted():
        yield
        raise KeyboardInterrupt

    before = children()
    monkeypatch.setattr(process, "fixed_addresses", interrupted)
    with pytest.raises(KeyboardInterrupt):
        list(Rounds([stand_in(tmp_path, "hangs:start")], seed=1).run(1))
    assert children() == before
    assert not list(tmp_path.rglob("*.stderr"))


@pytest.mark.parametrize("memory", ["1000", "10 1000 2500"])
def test_memory_that_does_not_hold_all_makes_groups_with_the_first_in_each(
    tmp_path, monkeypatch, memory
):
    """The machine's memory, or a GPU's: 1000 bytes of 3500 that are to be had."""
    monkeypatch.setattr(rounds, "RESERVE", 0)
    monkeypatch.setattr(rounds, "available_bytes", lambda: 3500)
    commands = []
    for number in range(5):
        (tmp_path / str(number)).mkdir()
        commands.append(stand_in(tmp_path / str(number), "is:good", memory))
    all_rounds = Rounds(commands, seed=7)
    for number in (1, 2):
        groups: dict[int, list[Command]] = {}
        for run in all_rounds.run(number):
            groups.setdefault(run.group, []).append(run.command)
        assert [len(group) for group in groups.values()] == [3, 3]
        assert all(group[0] is commands[0] for group in groups.values())
        assert {command for group in groups.values() for command in group} == set(commands)


def test_as_many_runs_start_at_once_as_there_are_processors(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(rounds, "available_processors", lambda: 2)
    commands = []
    for number in range(5):
        (tmp_path / str(number)).mkdir()
        commands.append(stand_in(tmp_path / str(number), "tells:start"))
    all_rounds = Rounds(commands, seed=7)
    most = []
    for number in (1, 2):
        assert len(list(all_rounds.run(number))) == 5
        starts = (tmp_path / "starts").read_text()
        (tmp_path / "starts").unlink()
        at_once = accumulate(1 if sign == "+" else -1 for sign in starts)
        most.append(max(at_once))
    assert most == [1, 2]  # in the first round each is seen to hold its memory before the next


def test_turns_are_in_random_order_and_those_of_like_speed_side_by_side(tmp_path):
    speeds = {"fast": "0.005", "slow": "0.04"}
    commands = [
        stand_in(tmp_path, f"{speed}:{number}", seconds=seconds)
        for number in (1, 2)
        for speed, seconds in speeds.items()
    ]
    handing_out = Rounds(commands, seed=3)
    for number in range(1, 5):  # in each two turns of three passes
        list(handing_out.run(number))
    turns = (tmp_path / "turns").read_text().split()
    orders = [tuple(turns[first : first + 4]) for first in range(0, len(turns), 4)]
    speeds_in_order = {tuple(turn.partition(":")[0] for turn in order) for order in orders}
    assert speeds_in_order == {("fast", "fast", "slow", "slow"), ("slow", "slow", "fast", "fast")}
    assert len(orders) == 8 and len(set(orders)) > 3


def test_runs_of_a_round_have_the_same_hashes_and_addresses(tmp_path):
    folders = [tmp_path / name for name in ("a", "b", "c")]
    for folder in folders:
        folder.mkdir()
    commands = [stand_in(folder, "is:good") for folder in folders]
    commands[2].environment["PYTHONHASHSEED"] = "5"
    all_rounds = Rounds(commands, seed=7)
    said = []
    for number in (1, 2):
        assert len(list(all_rounds.run(number))) == 3
        said.append([command.stdout.read_text().split() for command in commands])
    assert [[seed for seed, *_ in each] for each in said] == [["8", "8", "5"], ["9", "9", "5"]]
    for flags in (flags for each in said for _, *flags in each):
        assert not flags or int(flags[0], base=16) & ADDR_NO_RANDOMIZE
    assert not has_fixed_addresses()  # this process is as it was


def test_what_a_run_notes_is_told_once(tmp_path):
    (tmp_path / "other").mkdir()
    commands = [stand_in(tmp_path, "notes:end"), stand_in(tmp_path / "other", "notes:turn")]
    all_rounds = Rounds(commands, seed=1)
    notes = [run.notes for number in (1, 2) for run in all_rounds.run(number)]
    assert sorted(notes) == ["", "", "", "a note\n"]


def test_turns_end_by_themselves_where_the_one_who_hands_them_out_has_gone():
    reading, there = os.pipe()
    here, writing = os.pipe()
    command = [sys.executable, *shlex.split(TIMER), "--warmup", "0", "--iterations", "9"]
    with subprocess.Popen(
        [*command, "--turns", str(reading), str(writing)],
        cwd=ROOT,
        env=ENVIRONMENT,
        pass_fds=(reading, writing),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        os.close(reading)
        os.close(writing)
        assert os.read(here, 100).startswith(b"ready ")
        os.write(there, b"turn 3\n")
        assert os.read(here, 100) == b"ended 6\n"
        os.close(there)
        stdout, stderr = process.communicate(timeout=20)
    os.close(here)
    assert (process.returncode, stdout) == (1, "")
    assert stderr == "cpu/timer.py: the one who hands out turns has gone\n"


@pytest.mark.parametrize("pipes", [("98", "99"), ("0", "99")])
def test_pipes_that_are_not_open(pipes):
    result = script("cpu/timer.py", "--i", "64x96", "--turns", *pipes)
    assert_one_line(result, f"--turns {pipes[0]} {pipes[1]}: no such pipes are open here")
