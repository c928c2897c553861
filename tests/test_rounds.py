"""Rounds: turns, what fails, that no process is left behind, and when a measurement stops."""

import random
import subprocess
import sys
from io import StringIO
from itertools import accumulate, count
from math import inf
from types import SimpleNamespace
from unittest.mock import MagicMock, Mock

import numpy as np
import psutil
import pytest
from project import ENVIRONMENT, ROOT, python

from backbone.command.errors import Failure
from backbone.measure import available
from backbone.measure.addresses import has_fixed_addresses
from backbone.record.rows import Record, Row
from backbone.rounds import background, groups, process, progress, runs
from backbone.rounds.commands import Command
from backbone.rounds.groups import Round, RoundRunner
from backbone.rounds.questions import Question, Series
from backbone.rounds.schedule import run_rounds
from backbone.statistics.looks import LEVEL, StopRule, level_of
from tools import simulation

STAND_IN = str(ROOT / "tests/stand_in.py")


@pytest.fixture
def timer(tmp_path):
    """Makes commands of the stand-in, by name and what is run at its moments. None is left."""

    def make(name: str, **moments: str) -> Command:
        variables = {"NAME": name, "LOG": str(tmp_path / "log"), **moments}
        environment = {f"STAND_IN_{name}": value for name, value in variables.items()}
        return Command(name, [sys.executable, STAND_IN], {"PYTHONPATH": str(ROOT), **environment})

    yield make
    left = psutil.Process().children(recursive=True)
    assert not [process for process in left if STAND_IN in process.cmdline()]


def logged(folder, words):
    return [line for line in (folder / "log").read_text().splitlines() if words in line]


def run_all(commands, rounds, shown=None, passes=None, **options):
    series = Series("s", list(commands), questions=[], passes=passes)
    return run_rounds([series], StopRule(rounds), 7, shown or Mock(), **options)


FAULTS = [  # beside those of test_compare.py
    ("START", "print('protocol 4', flush=True)", "its timer is too old for this version of"),
    ("START", "print('protocol 6', flush=True)", "its timer is too new for this version of"),
    ("START", "time.sleep(600)", "timed out waiting for its protocol"),
    ("WARM", "os.kill(os.getpid(), 9)", "SIGKILL"),
    ("WARM", "turns._tell('ready 0.001')", "sent an invalid line: ready 0.001"),
    ("WARM", "time.sleep(600)", "timed out waiting for 'ready'"),
    ("TURN", "os._exit(0)", "exited before its last turn"),
    ("TURN", "turns._tell('end')", "sent 'end' instead of 'ended'"),
    ("TURN", "time.sleep(600)", "timed out waiting for 'ended'"),
    ("END", "turns._tell('record 9\\nno record', '')", "sent an invalid record: what it sent is "),
    ("END", "time.sleep(600)", "timed out waiting for 'record'"),
]


def test_run_that_fails_takes_none_of_the_others_with_it(timer, monkeypatch):
    for name, seconds in (("PROTOCOL_SECONDS", 2), ("START_SECONDS", 2), ("LEAST_PATIENCE", 1)):
        monkeypatch.setattr(runs, name, seconds)
    first, last = timer("first"), timer("last")
    bad = [timer(f"bad {n}", **{moment: code}) for n, (moment, code, _) in enumerate(FAULTS)]
    outcome = run_all([first, *bad, last], rounds=2, passes=6)
    assert outcome.is_complete and outcome.failures.keys() == set(bad)
    for command, (_, _, reason) in zip(bad, FAULTS, strict=True):
        assert reason in outcome.failures[command]
    for command in (first, last):
        assert [record.runs[0]["round"] for record in outcome.runs[command]] == [1, 2]


def test_nothing_goes_on(timer):
    for failing, moment, names, need_all in (
        ("a", "START", "abc", False),  # the first, which the others are compared with
        ("a", "END", "abc", False),
        ("b", "WARM", "ab", False),  # only one is left
        ("c", "TURN", "abc", True),
    ):
        commands = [timer(name) for name in names]
        commands[names.index(failing)].environment[f"STAND_IN_{moment}"] = "sys.exit(3)"
        shown = Mock()
        outcome = run_all(commands, 2, shown, need_all=need_all)
        assert outcome.failed == f"{failing} failed: exit status 3"
        assert not outcome.is_complete and not shown.round_ended.called


def test_exceptions_leave_no_process(timer, monkeypatch):
    with pytest.raises(Failure, match="b was ended by SIGTERM"):
        run_all([timer("a"), timer("b", TURN="os.kill(os.getpid(), 15)")], 1)
    with pytest.raises(ZeroDivisionError):
        run_all([timer("a"), timer("b")], 1, Mock(run_ended=lambda notes: 1 / 0))
    monkeypatch.setattr(runs, "fixed_addresses", interrupted := MagicMock())
    interrupted.return_value.__exit__.side_effect = KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        run_all([timer("a", START="time.sleep(600)")], 1)


def test_rounds_that_have_ended_are_not_run_again(timer, tmp_path):
    """Runs of a round have the same hash seed, addresses and arguments: they decide what lies where
    in memory. What they note is told once."""
    a, b, c = commands = [timer(name, END="print('a note', file=sys.stderr)") for name in "abc"]
    a.environment["STAND_IN_READY"] = "0.4 1000"  # the first one's pass decides
    c.environment["PYTHONHASHSEED"] = "5"
    kept, shown = [], Mock()
    before = run_all(commands, 3, shown, keep=kept.append)
    assert sorted(call.args[0] for call in shown.run_ended.mock_calls)[7:] == ["", "a note\n"]
    assert len(shown.run_warmed_up.mock_calls) == 9
    kept[1].failures[c] = "it failed before"
    del a.environment["STAND_IN_READY"]
    outcome = run_all(commands, 3, ended=kept[:2])
    assert outcome.is_complete and outcome.failures == {c: "it failed before"}
    assert [len(outcome.runs[command]) for command in (a, b, c)] == [3, 3, 2]
    assert outcome.runs[a][:2] == before.runs[a][:2]
    assert {line.rpartition(" ")[2] for line in logged(tmp_path, ": turn ")} == {"2"}
    for name, seeds in (("a", [8, 9, 10, 10]), ("b", [8, 9, 10, 10]), ("c", [5, 5, 5])):
        assert logged(tmp_path, f"{name}: finish") == [
            f"{name}: finish {is_first} {seed} {sys.platform == 'linux'} ['--turns']"
            for is_first, seed in zip([True, False, False, False], seeds, strict=False)
        ]
    assert not has_fixed_addresses()  # this process is as it was
    next(record for command, record in kept[0].runs if command is b).conditions["threads"] = 9
    with pytest.raises(Failure, match="b: its processes disagree: threads was 9 and is "):
        run_all(commands, 3, ended=kept[:1])


@pytest.mark.parametrize("memory", ["1000", "10 1000 2500"])  # the machine's, or a GPU's
def test_memory_for_three_makes_groups_with_the_first_in_each(timer, tmp_path, monkeypatch, memory):
    monkeypatch.setattr(groups, "RESERVE", 0)
    monkeypatch.setattr(groups, "available_bytes", lambda: 3500)
    commands = [timer(str(number), READY=f"0.001 {memory}") for number in range(5)]
    kept = []
    run_all(commands, 2, keep=kept.append)
    for this_round in kept:
        in_groups = [set(), set()]
        for command, record in this_round.runs:
            in_groups[record.runs[0]["group"]].add(command)
        assert [len(group) for group in in_groups] == [3, 3]
        assert in_groups[0] & in_groups[1] == {commands[0]}
    assert len(logged(tmp_path, ": finish True")) == len(commands)


def test_runs_prepare_side_by_side_and_compute_one_by_one(timer, tmp_path, monkeypatch):
    monkeypatch.setattr(groups, "available_processors", lambda: 2)
    code = "log('{0} +'); time.sleep({1}); log('{0} -')"
    moments = {"PREPARE": code.format("PREPARE", 0.3), "WARM": code.format("WARM", 0.1)}
    run_all([timer(str(number), **moments) for number in range(5)], 2)
    for moment, expected in (("PREPARE", [1, 3]), ("WARM", [1, 1])):
        # In the first round each shows its memory before the next starts.
        signs = [1 if line.endswith("+") else -1 for line in logged(tmp_path, moment)]
        assert [max(accumulate(signs[:10])), max(accumulate(signs[10:]))] == expected


def test_turns_are_equal_in_random_order_and_like_speeds_side_by_side(timer, tmp_path):
    commands = [
        timer(f"{speed}{n}", READY=f"{s} 1000", TURN=f"time.sleep({s} * (passes + 1))")
        for n in (1, 2)
        for speed, s in (("fast", 0.001), ("slow", 0.008))
    ]
    run_all(commands, 2)
    turns = [line.split(": turn ") for line in logged(tmp_path, ": turn ")]
    orders = {tuple(name for name, _ in turns[n : n + 4]) for n in range(0, len(turns), 4)}
    speeds = {tuple(name[:4] for name in order) for order in orders}
    assert speeds == {("fast", "fast", "slow", "slow"), ("slow", "slow", "fast", "fast")}
    assert len(orders) > 3
    for command in commands:  # the slowest one's pass decides
        told = [int(passes) for name, passes in turns if name == command.name]
        assert told == [13, 13, 13, 13, 8] * 2


def test_timer_ends_by_itself_when_its_parent_has_closed_the_pipes(timer):
    prints = "os.write(1, b'this'); print('and that', flush=True)"  # which nobody sees
    env = ENVIRONMENT | timer("a", WARM=prints).environment
    result = python(STAND_IN, "--turns", env=env, input="start\nturn 3\n")
    assert result.stdout == "protocol 5\nprepared\nready 0.001000 1000\nended\n"
    assert (result.returncode, result.stderr[-32:]) == (1, ": the parent process has exited\n")


ALL = [Command(name, words=[name], label=name) for name in ("stock", "kept", "fast", "slow")]
STOCK, KEPT, FAST, SLOW = ALL
WITHIN_10 = Question(KEPT, STOCK, precision=10)
VERDICT = Question(KEPT, STOCK, same=2)
LOOKS = StopRule()


@pytest.fixture
def world(monkeypatch):
    """Of each command's pass, the milliseconds in rounds, which repeat; and what was run."""
    world = SimpleNamespace(milliseconds={}, ran=[])

    def run(runner, number, commands, earlier, run_warmed_up, run_ended):
        this_round = Round(runner._series.name, number)
        world.ran.append((this_round.series, number, commands))
        for command in commands:
            if not (times := world.milliseconds[command]):
                this_round.failures[command] = "it says why"
                continue
            samples = np.array([[times[(number - 1) % len(times)]]])
            rows = [Row("model", "Net", "", None, [1, 3, 8, 8], samples)]
            record = Record(rows, {}, [{"round": number, "group": 0, "order_seed": 7}])
            this_round.runs.append((command, record))
        return this_round

    monkeypatch.setattr(RoundRunner, "run", run)
    monkeypatch.setattr(background, "STAT", ROOT / "no such file")
    return world


def measure(*all_series, rule=LOOKS, **options):
    with progress.Progress([series.name for series in all_series], rule) as shown:
        return run_rounds(all_series, rule, 7, shown, **options)


def noisy(middle, by):
    """Times that scatter: by this factor up and down, in turn."""
    return [middle * by, middle / by]


# Of an even number n of rounds, the ratio's logarithm scatters by log(by) * sqrt(n / (n - 1)).
@pytest.mark.parametrize(
    ("question", "kept", "least", "rule", "rounds"),
    [
        (WITHIN_10, noisy(5, 1.001), 1, LOOKS, 5),
        (WITHIN_10, noisy(5, 1.001), 12, LOOKS, 12),
        (WITHIN_10, noisy(5, 1.08), 1, LOOKS, 8),
        (WITHIN_10, noisy(5, 1.001), 1, StopRule(1), 1),
        (WITHIN_10, noisy(5, 1.001), 1, StopRule(23), 23),
        (VERDICT, noisy(9, 1.02), 1, LOOKS, 5),  # faster
        (VERDICT, noisy(10, 1.05), 1, LOOKS, 20),  # neither faster nor the same
        (VERDICT, noisy(10, 1.005), 1, LOOKS, 5),  # the same
        (Question(KEPT, STOCK, outside=0.95), noisy(10.3, 1.02), 1, LOOKS, 12),  # slower by 5 %?
        (Question(KEPT, STOCK), noisy(10, 3), 1, LOOKS, 5),
        (Question(KEPT, precision=3), noisy(10, 1.02), 1, LOOKS, 8),
    ],
)
def test_rounds_that_a_question_needs(world, question, kept, least, rule, rounds):
    world.milliseconds = {STOCK: [10], KEPT: kept}
    outcome = measure(Series("voc", [STOCK, KEPT], [Question(STOCK), question], least), rule=rule)
    assert outcome.is_complete
    for record in map(outcome.record_of, (STOCK, KEPT)):
        assert len(record.runs) == record.conditions["rounds"] == rounds
        assert level_of(record.conditions) == (LEVEL if rule == LOOKS else 0.05)


def test_rules_of_rounds_and_passes():
    assert [n for n in range(1, 22) if LOOKS.is_look(n, least=1)] == [5, 8, 12, 16, 20]
    assert LOOKS.round_within(inf, 1.0, number=6, least=1) == 8
    assert (LOOKS.level, StopRule(7).level) == (LEVEL, 0.05)
    assert StopRule(7).round_within(inf, 0, number=1, least=1) == 7
    # 5 % of comparisons miss the truth at any look; with ordinary intervals, 13 to 19 % would.
    level = simulation.find_level(np.random.default_rng(1), trials=100_000)
    assert level == pytest.approx(LEVEL, abs=0.0008)


MODES = {STOCK: [10], KEPT: [5], FAST: [2], SLOW: noisy(9.9, 1.1)}


def modes(precision=10):
    questions = [Question(mode, STOCK, same=2) for mode in (FAST, SLOW)]
    questions += [Question(mode, KEPT, precision) for mode in (FAST, SLOW)]
    return Series("voc", ALL, [Question(STOCK), *questions])


def test_mode_that_is_known_takes_no_further_part_but_references_do(world, capsys):
    world.milliseconds = MODES
    outcome = measure(modes())
    assert [len(outcome.runs[command]) for command in ALL] == [20, 20, 5, 20]
    assert world.ran[5] == ("voc", 6, [STOCK, KEPT, SLOW])
    assert outcome.record_of(FAST).conditions["rounds"] == 5
    line = capsys.readouterr().err.splitlines()[5]
    assert "voc, round 5: stock 10.0 ms ±0.0 %; 1 of 2 certain; fastest: fast 2.00 ms" in line
    world.milliseconds = {**MODES, KEPT: []}
    outcome = measure(modes())
    assert outcome.is_complete and list(outcome.failures) == [KEPT]
    assert len(outcome.runs[FAST]) == 5 < len(outcome.runs[SLOW])


def test_inputs_alternate_and_each_stops_by_itself(world):
    world.milliseconds = {STOCK: [10], KEPT: noisy(5, 1.001), SLOW: noisy(5, 1.09)}
    slow = Series("large", [STOCK, SLOW], [Question(SLOW, STOCK, precision=10)])
    measure(Series("voc", [STOCK, KEPT], [WITHIN_10]), slow)
    order = " ".join(f"{name[0]}{number}" for name, number, _ in world.ran)
    assert order == "v1 l1 v2 l2 v3 l3 v4 l4 v5 l5 l6 l7 l8 l9 l10 l11 l12"


def test_another_precision_uses_the_rounds_that_have_passed(world):
    world.milliseconds = {**MODES, FAST: noisy(2, 1.04), SLOW: noisy(7, 1.1)}
    strict, loose = [], []
    measure(modes(precision=1), keep=strict.append)
    measure(modes(precision=10), keep=loose.append)
    world.ran.clear()
    outcome = measure(modes(precision=10), ended=strict[:13])
    assert not world.ran and outcome.is_complete
    assert [len(outcome.runs[command]) for command in ALL] == [12, 12, 5, 12]
    outcome = measure(modes(precision=4), ended=loose[:9])  # rounds that lack a mode run again
    assert world.ran[0] == ("voc", 6, ALL)
    assert [number for _, number, _ in world.ran] == list(range(6, 21))
    for records in outcome.runs.values():
        assert [record.runs[0]["round"] for record in records] == [*range(1, len(records) + 1)]


@pytest.mark.parametrize("is_terminal", [False, True])
def test_progress_says_what_is_known_and_how_long_it_may_take(world, monkeypatch, is_terminal):
    stderr = StringIO()
    stderr.isatty = lambda: is_terminal
    monkeypatch.setattr("sys.stderr", stderr)
    monkeypatch.setattr(progress, "monotonic", count(0, 30).__next__)  # a round: half a minute
    world.milliseconds = {STOCK: noisy(10, 1.08), KEPT: [5]}
    measure(Series("voc", [STOCK, KEPT], [Question(STOCK), WITHIN_10]))
    assert (" 0 %" in stderr.getvalue()) == is_terminal  # behind a bar
    lines = [line.partition(": ")[2] for line in stderr.getvalue().splitlines() if " ms" in line]
    assert lines[0] == "voc, round 1: stock 10.8 ms; kept 5.00 ms, 2.16x stock; 2 to 10 min to go"
    known = "stock 10.2 ms ±17 %; kept 5.00 ms ±0.0 %, 2.03x stock ±17 %"
    assert lines[4] == f"voc, round 5: {known}; 4 to 8 min to go"
    assert lines[-1].startswith("voc, round 8, its last: ") and "to go" not in lines[-1]


def test_what_disturbs_and_what_a_control_group_allows(monkeypatch, tmp_path):
    monkeypatch.setattr(background, "monotonic", count(0, 2).__next__)
    monkeypatch.setattr(background, "STAT", tmp_path / "stat")
    monkeypatch.setattr(available, "CGROUP", tmp_path)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1})
    (tmp_path / "cpu").mkdir()  # of version 1
    (tmp_path / "cpu/cpu.cfs_period_us").write_text("100000\n")
    watching, notes = background.Background(), []
    stat = "cpu  9 9\ncpu0 {} 0 0 0 0 0 0 0\ncpu1 0 0 5 {} 0 0 0 50\ncpu2 {}9999 0 0 0 0 0 0 0\n"
    for ticks, file, text, quota in (
        (60, "cpu.max", "max 100000", None),
        (100, "cpu.max", "150000 100000", 1.5),
        (100, "cpu/cpu.cfs_quota_us", "-1", 1.5),
        (100, "cpu/cpu.cfs_quota_us", "50000", 0.5),
    ):
        (tmp_path / file).write_text(f"{text}\n")
        assert available.quota_of_processors() == quota
        background.STAT.write_text(stat.format(10, 1, 1))
        watching.start()
        background.STAT.write_text(stat.format(10 + ticks, 99, 2))
        notes += [(ticks, note.partition(":")[0]) for note in watching.notes()]
    assert notes == [
        (100, "a control group limits this process to 1.5 of 2 processors"),
        (100, "other processes use 0.5 of 2 processors"),
    ]
    (tmp_path / "memory.max").write_text("5000\n")
    (tmp_path / "memory.current").write_text("4000\n")
    assert available.available_bytes() == 1000
    (tmp_path / "memory.stat").write_text("anon 3400\ninactive_file 600\n")  # read, not taken
    assert available.available_bytes() == 1600


def test_order_of_turns_is_random_but_for_fast_and_slow():
    seconds = {"fast": 0.001, "quick": 0.0011, "slow": 1.0}
    some = [SimpleNamespace(command=name) for name in seconds]
    runner = SimpleNamespace(_seconds=seconds, _random=random.Random(1))
    orders = {tuple(run.command for run in RoundRunner._order_of(runner, some)) for _ in range(60)}
    pairs = (("fast", "quick"), ("quick", "fast"))
    assert orders == {order for pair in pairs for order in ((*pair, "slow"), ("slow", *pair))}


def test_process_that_does_not_heed_sigterm_is_killed(monkeypatch):
    monkeypatch.setattr(process, "ENDING_SECONDS", 0.2)
    script = "import signal; signal.signal(15, signal.SIG_IGN); print(1, flush=True); input()"
    deaf = subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    with deaf:
        deaf.stdout.readline()
        process.stop_process(deaf)
        assert deaf.poll() == -9


def test_every_round_compiles_anew_but_on_the_cpu(timer, tmp_path):
    start = "log(os.environ['TORCHINDUCTOR_CACHE_DIR'])"
    commands = [timer("a", START=start), timer("b", START=start)]
    run_all(commands, 2, variables={"TORCHINDUCTOR_CACHE_DIR": "cache"})
    places = [line.rpartition(" ")[2] for line in logged(tmp_path, "cache")]
    assert sorted(places) == ["cache-001"] * 2 + ["cache-002"] * 2
    assert Command("c", ["python", "/a/cpu/timer.py", "--i", "pascal"]).is_on_cpu
    assert not Command("g", ["python", "/a/timer.py"]).is_on_cpu
