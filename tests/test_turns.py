"""Turns and rounds: who takes turns with whom, who fails, and that nothing is left behind."""

import contextlib
import json
import shlex
import subprocess
import sys
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

import psutil
import pytest
from project import CEILINGS, ENVIRONMENT, ROOT, script

from backbone.command.errors import Failure
from backbone.measure import available
from backbone.measure.addresses import ADDR_NO_RANDOMIZE, has_fixed_addresses
from backbone.record import records
from backbone.rounds import groups, runs
from backbone.rounds.commands import Command
from backbone.rounds.groups import Round
from backbone.rounds.questions import Series
from backbone.rounds.schedule import Outcome, in_order, run_rounds
from backbone.statistics.looks import StopRule

TIMER = "cpu/timer.py --i 64x96"

# Takes turns as a timer does, in no time. What it is told and how it was started are conditions of
# its record. It does what its first argument says at the moment that this names.
STAND_IN = """
import json, os, sys, time
fault, moment = sys.argv[1].split(":")
assert sys.argv[2:] == ["--turns"]
reader, writer = sys.stdin, os.fdopen(1, "w", buffering=1)
def at(here):
    if here != moment:
        return
    if fault == "fails":
        sys.exit("it says why")
    if fault == "is-killed":
        os.kill(os.getpid(), 9)
    if fault == "is-ended":
        os.kill(os.getpid(), 15)
    if fault == "hangs":
        time.sleep(600)
    if fault == "ends":
        os._exit(0)
    if fault == "raves":
        print("what?", file=writer)
    if fault == "is-newer":
        print("protocol 99", file=writer)
    if fault == "is-older":
        print("ready 0.001 1000", file=writer)
    if fault == "breaks-off":
        end = "record 9\\nno record"
        print({"warm": "ready 0.001", "turn": "end", "end": end}[here], file=writer)
    if fault == "notes":
        print("a note", file=sys.stderr)
    if fault == "tells":
        for sign in "+-":
            os.write(os.open("starts", os.O_WRONLY | os.O_APPEND | os.O_CREAT), sign.encode())
            time.sleep(0.3)
at("start")
print("protocol 5", file=writer)
at("prepare")
print("prepared", file=writer)
assert reader.readline() == "start\\n"
at("warm")
print("ready SECONDS BYTES", file=writer)
samples = 0
while (told := reader.readline().strip()).startswith("turn"):
    passes = int(told.split()[1])
    with open(os.path.join(os.path.dirname(__file__), "turns"), "a") as turns:
        print(sys.argv[1], file=turns)
    at("turn")
    time.sleep(SECONDS * (passes + 1))
    samples += passes
    print("ended", file=writer)
at("end")
flags = open("/proc/self/personality").read().strip() if os.path.exists("/proc/self") else ""
run = {"told": told, "hash_seed": os.environ["PYTHONHASHSEED"], "flags": flags}
row = {"level": "model", "type": "Net", "name": "Net", "input_shape": "[1]", "device": fault}
padding = "x" * 100000  # more than a pipe holds
row |= {"of_a_newer_version": os.getpid()}  # which is ignored
metadata = row | {"date": json.dumps(run), "settings": json.dumps({"padding": padding})}
bench = {"runs": [{"values": [0.001] * samples, "metadata": metadata}]}
record = json.dumps({"version": "1.0", "benchmarks": [bench]})
print(f"record {len(record)}\\n{record}", end="", file=writer, flush=True)
"""


def stand_in(folder: Path, fault: str, memory: str = "1000", seconds: str = "0.001") -> Command:
    """A command of the stand-in that has a fault at a moment, such as "fails:turn". memory: what it
    says that it has held; seconds: and that a pass takes."""
    name = fault.replace(":", "-at-")
    folder.mkdir(exist_ok=True)
    file = folder / f"{name}.py"
    file.write_text(STAND_IN.replace("BYTES", memory).replace("SECONDS", seconds))
    return Command(name=name, words=[sys.executable, str(file), fault])


class Log:
    """An observer that keeps what it is told."""

    def __init__(self) -> None:
        self.rounds: list[Round] = []
        self.notes: list[str] = []

    def round_begins(self, series, number, runs):
        pass

    def run_ended(self, notes):
        self.notes.append(notes)

    def round_ended(self, ended, answers, is_new, is_last):
        if is_new:
            self.rounds.append(ended)


def run_all(
    commands: Sequence[Command],
    rounds: int,
    log: Log | None = None,
    passes: int | None = 6,
    **options,
) -> Outcome:
    """A number of rounds of one series of commands, with a seed of 7."""
    series = Series("s", list(commands), questions=[], passes=passes)
    return run_rounds([series], StopRule(rounds), 7, log or Log(), **options)


def told_in(outcome: Outcome, command: Command) -> list[dict[str, str]]:
    """What the stand-in was told in each of a command's runs, and how it was started."""
    return [json.loads(record.runs[0]["date"]) for record in outcome.runs[command]]


def children() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


@pytest.mark.parametrize("moment", ["start", "warm", "turn", "end"])
@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("fails", "exit status 1: it says why"),
        ("is-killed", "SIGKILL"),
        ("ends", "is not a timer of this project, or is too old to take turns"),
        ("hangs", "timed out waiting for"),
    ],
)
def test_run_that_fails_takes_none_of_the_others_with_it(
    tmp_path, monkeypatch, fault, reason, moment
):
    monkeypatch.setattr(runs, "PROTOCOL_SECONDS", 2)
    monkeypatch.setattr(runs, "START_SECONDS", 2)
    monkeypatch.setattr(runs, "LEAST_PATIENCE", 2)
    before = children()
    good = [stand_in(tmp_path / folder, "is:good") for folder in ("a", "b")]
    bad = stand_in(tmp_path, f"{fault}:{moment}")
    outcome = run_all([good[0], bad, good[1]], rounds=2)
    assert outcome.is_complete and list(outcome.failures) == [bad]
    for command in good:
        assert [record.runs[0]["round"] for record in outcome.runs[command]] == [1, 2]
    if fault == "ends" and moment in ("turn", "end"):
        reason = "exited before its last turn"
    assert reason in outcome.failures[bad]
    assert children() == before


@pytest.mark.parametrize("moment", ["start", "turn", "end"])
def test_nothing_goes_on_without_the_first(tmp_path, moment):
    first = stand_in(tmp_path, f"fails:{moment}")
    log = Log()
    other = stand_in(tmp_path / "other", "is:good")
    outcome = run_all([first, other], 2, log, passes=None)
    assert list(outcome.failures) == [first]
    assert not outcome.is_complete and not log.rounds


def test_nothing_goes_on_where_all_are_needed(tmp_path):
    good = [stand_in(tmp_path / name, "is:good") for name in "ab"]
    bad = stand_in(tmp_path, "fails:turn")
    before, log = children(), Log()
    outcome = run_all([*good, bad], 2, log, need_all=True)
    assert outcome.failed == "fails-at-turn failed: exit status 1: it says why"
    assert not outcome.is_complete and not log.rounds
    assert children() == before


def test_nothing_goes_on_with_one_that_is_left(tmp_path):
    outcome = run_all([stand_in(tmp_path / "a", "is:good"), stand_in(tmp_path, "fails:warm")], 2)
    assert not outcome.is_complete and len(outcome.failures) == 1


def test_run_that_somebody_ends_is_no_failure_of_its_command(tmp_path):
    before = children()
    with pytest.raises(Failure, match="is-ended-at-turn was ended by SIGTERM"):
        run_all([stand_in(tmp_path / "a", "is:good"), stand_in(tmp_path, "is-ended:turn")], 1)
    assert children() == before


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("raves:start", "is not a timer of this project, or is too old to take turns"),
        ("is-older:start", "is not a timer of this project, or is too old"),
        ("is-newer:start", "its timer is too new for this version of the project"),
        ("breaks-off:warm", "sent an invalid line: ready 0.001"),
        ("breaks-off:turn", "sent 'end' instead of 'ended'"),
        ("breaks-off:end", "sent an invalid record: what it sent is no record of a"),
    ],
)
def test_run_that_says_something_else_is_given_up(tmp_path, fault, reason):
    bad = stand_in(tmp_path, fault)
    assert reason in run_all([bad], 1).failures[bad]


def test_rounds_that_have_ended_are_not_run_again(tmp_path):
    """Their runs and failures count; what the first run of a command measures is not asked for
    again; the hash seeds of later rounds are as if nothing had happened."""
    commands = [stand_in(tmp_path / name, "is:good") for name in "abc"]
    log = Log()
    whole = run_all(commands, 3, log)
    assert [each["told"] for each in told_in(whole, commands[0])] == [
        "finish 1 0",
        *["finish 0 0"] * 2,
    ]
    ended = log.rounds[:2]
    ended[1].failures[commands[2]] = "it failed before"
    outcome = run_all(commands, 3, log, ended=ended)
    assert outcome.is_complete and outcome.failures == {commands[2]: "it failed before"}
    assert [len(outcome.runs[command]) for command in commands] == [3, 3, 2]
    assert outcome.runs[commands[0]][:2] == whole.runs[commands[0]][:2]
    assert told_in(outcome, commands[0])[2] == told_in(whole, commands[0])[2]


def test_processes_that_disagree_are_refused(tmp_path):
    command = stand_in(tmp_path, "is:good")
    log = Log()
    run_all([command], 1, log)
    log.rounds[0].runs[0][1].conditions["device"] = "another CPU"
    with pytest.raises(Failure, match="is-at-good: its processes disagree: device was another CPU"):
        run_all([command], 2, ended=log.rounds)


def test_inputs_alternate_round_by_round():
    series = [Series(name, [], []) for name in ("pascal", "cityscapes")]
    order = [f"{each.name[0]}{number}" for each, number in in_order(series, StopRule(2))]
    assert order == ["p1", "c1", "p2", "c2"]


@pytest.mark.parametrize(
    ("seconds", "passes"),
    [(0.001, 100), (0.008, 13), (0.01, 10), (3, 10)],
)
def test_passes_of_a_turn(seconds, passes):
    """At least a tenth of a second, and ten passes."""
    assert groups.passes_of_a_turn(seconds) == passes


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
    monkeypatch.setattr(runs, "fixed_addresses", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_all([stand_in(tmp_path, "hangs:start")], 1)
    assert children() == before


def test_observer_that_fails_leaves_no_process(tmp_path):
    log = Log()
    log.run_ended = lambda notes: 1 / 0
    before = children()
    with pytest.raises(ZeroDivisionError):
        run_all([stand_in(tmp_path / name, "is:good") for name in "ab"], 1, log)
    assert children() == before


@pytest.mark.parametrize("memory", ["1000", "10 1000 2500"])
def test_memory_that_does_not_hold_all_makes_groups_with_the_first_in_each(
    tmp_path, monkeypatch, memory
):
    """The machine's memory, or a GPU's: 1000 bytes of 3500 that are to be had."""
    monkeypatch.setattr(groups, "RESERVE", 0)
    monkeypatch.setattr(groups, "available_bytes", lambda: 3500)
    commands = [stand_in(tmp_path / str(number), "is:good", memory) for number in range(5)]
    log = Log()
    assert run_all(commands, 2, log).is_complete
    for ended in log.rounds:
        in_groups: dict[int, list[Command]] = {}
        for command, record in ended.runs:
            in_groups.setdefault(record.runs[0]["group"], []).append(command)
        assert [len(group) for group in in_groups.values()] == [3, 3]
        assert all(group[0] is commands[0] for group in in_groups.values())
        assert {command for group in in_groups.values() for command in group} == set(commands)


@pytest.mark.parametrize(("moment", "expected"), [("prepare", [1, 3]), ("warm", [1, 1])])
def test_runs_prepare_side_by_side_and_compute_one_by_one(tmp_path, monkeypatch, moment, expected):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(groups, "available_processors", lambda: 2)
    commands = [stand_in(tmp_path / str(number), f"tells:{moment}") for number in range(5)]
    most = []

    class Starts(Log):
        def round_ended(self, ended, answers, is_new, is_last):
            starts = Path("starts").read_text()
            Path("starts").unlink()
            most.append(max(accumulate(1 if sign == "+" else -1 for sign in starts)))

    assert run_all(commands, 2, Starts()).is_complete
    assert most == expected  # in the first round each shows its memory before the next starts


def test_turns_are_in_random_order_and_those_of_like_speed_side_by_side(tmp_path):
    speeds = {"fast": "0.005", "slow": "0.04"}
    commands = [
        stand_in(tmp_path, f"{speed}:{number}", seconds=seconds)
        for number in (1, 2)
        for speed, seconds in speeds.items()
    ]
    run_all(commands, 4, passes=12)  # in each two turns of six passes
    turns = (tmp_path / "turns").read_text().split()
    orders = [tuple(turns[first : first + 4]) for first in range(0, len(turns), 4)]
    speeds_in_order = {tuple(turn.partition(":")[0] for turn in order) for order in orders}
    assert speeds_in_order == {("fast", "fast", "slow", "slow"), ("slow", "slow", "fast", "fast")}
    assert len(orders) == 8 and len(set(orders)) > 3


def test_runs_of_a_round_have_the_same_hashes_and_addresses(tmp_path):
    commands = [stand_in(tmp_path / name, "is:good") for name in "abc"]
    commands[2].environment["PYTHONHASHSEED"] = "5"
    outcome = run_all(commands, 2)
    told = [told_in(outcome, command) for command in commands]
    assert [[each["hash_seed"] for each in same] for same in told] == [
        *(["8", "9"], ["8", "9"], ["5", "5"]),
    ]
    for each in (each for same in told for each in same):
        assert not each["flags"] or int(each["flags"], base=16) & ADDR_NO_RANDOMIZE
    assert not has_fixed_addresses()  # this process is as it was


def test_what_a_run_notes_is_told_once(tmp_path):
    commands = [stand_in(tmp_path, "notes:end"), stand_in(tmp_path / "other", "notes:turn")]
    log = Log()
    run_all(commands, 2, log)
    assert sorted(log.notes) == ["", "", "", "a note\n"]


def test_timer_ends_by_itself_when_its_parent_has_closed_the_pipes():
    command = [sys.executable, *shlex.split(TIMER), "--warmup", "0"]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen(
        [*command, "--turns"], cwd=ROOT, env=ENVIRONMENT, bufsize=0, **pipes
    ) as process:
        assert process.stdout.readline() == b"protocol 5\n"
        assert process.stdout.readline() == b"prepared\n"
        process.stdin.write(b"start\n")
        assert process.stdout.readline().startswith(b"ready ")
        process.stdin.write(b"turn 3\n")
        assert process.stdout.readline() == b"ended\n"
        process.stdin.close()
        assert process.stdout.read() == b""
        assert process.stderr.read() == b"cpu/timer.py: the parent process has exited\n"
    assert process.returncode == 1


PRINTING = """
import os, torch
print("as it is imported")
class Printing(torch.nn.Conv2d):
    def forward(self, image):
        print("Python's")
        os.write(1, b"C's\\n")
        return super().forward(image)
def network():
    return torch.nn.Sequential(Printing(3, 3, 1))
"""


def test_what_a_network_prints_does_not_disturb_turns(tmp_path):
    (tmp_path / "nets.py").write_text(PRINTING)
    words = ["--i", "8x8", "--model", f"{tmp_path}/nets.py:network"]
    command = Command("timer", [sys.executable, str(ROOT / "cpu/timer.py"), *words])
    log = Log()
    outcome = run_all([command], 1, log)
    assert outcome.is_complete, outcome.failures
    assert "as it is imported" in log.notes[0] and "C's" not in log.notes[0]


def test_equal_commands_get_equal_arguments(tmp_path):
    """Also their lengths decide what lies where in memory, and with that a part of the time."""
    folder = tmp_path / "args"
    folder.mkdir()
    file = tmp_path / "tells.py"
    file.write_text(
        f"import os, shutil; shutil.copy('/proc/self/cmdline', f'{folder}/{{os.getpid()}}')"
    )
    command = [sys.executable, str(file)]
    run_all([Command("a", command), Command("b", command)], 1)
    run_all([Command("b", command)], 1)
    assert len({each.read_bytes() for each in folder.iterdir()}) == 1


def test_rows_are_the_same_through_the_pipe_and_in_a_file(tmp_path):
    """All but times, which no two runs share."""
    flags = ["--i", "64x96", "--target", "layer", "--iterations", "6", "--warmup", "1"]
    file = tmp_path / "record.json"
    result = script("cpu/timer.py", *flags, "--json", file, before=CEILINGS)
    assert result.returncode == 0, result.stderr
    command = Command("timer", [sys.executable, str(ROOT / "cpu/timer.py"), *flags])
    (piped,) = run_all([command], 1).runs[command]
    stored = records.load(file)
    for name in ("fixed_addresses", "OMP_NUM_THREADS", "threads"):
        piped.conditions.pop(name, None)
        stored.conditions.pop(name, None)
    assert piped.conditions == stored.conditions
    rows = [
        [
            (*[getattr(row, name) for name in NOT_TIMES], row.samples.shape, row.implementation)
            for row in record.rows
        ]
        for record in (piped, stored)
    ]
    assert len(rows[0]) == 175 and rows[0] == rows[1]
    assert stored.runs[0].keys() == piped.runs[0].keys() - {"round", "group", "order_seed"}


NOT_TIMES = ("level", "type", "path", "stage", "input_shape", "settings", "cost", "number")
