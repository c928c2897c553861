"""When a measurement stops: looks, questions and their answers, and the simulation of the rule."""

import sys
from collections.abc import Sequence
from itertools import pairwise
from math import inf, isclose
from typing import ClassVar

import numpy as np
import pytest
from project import ROOT

from backbone.measure import available
from backbone.record.rows import Record, Row
from backbone.rounds import background, groups, schedule
from backbone.rounds.commands import Command
from backbone.rounds.groups import Round, RoundRunner
from backbone.rounds.progress import Progress
from backbone.rounds.questions import Question, Series
from backbone.rounds.runs import Run
from backbone.rounds.schedule import Outcome, run_rounds
from backbone.statistics.intervals import Interval, interval, reach, scatter
from backbone.statistics.looks import LEVEL, LOOKS, StopRule, level_of
from backbone.statistics.ratios import mean_of_rounds

sys.path.insert(0, str(ROOT))
from tools import simulation

STOCK, KEPT, FAST, SLOW = (
    Command(name, words=[name], label=name) for name in ("stock", "kept", "fast", "slow")
)
BY_LOOKS = StopRule()


class Times:
    """Stands in for RoundRunner: what each command's pass takes is known beforehand."""

    milliseconds: ClassVar[dict[Command, Sequence[float]]] = {}  # of rounds, which repeat
    ran: ClassVar[list[tuple[str, int, tuple[str, ...]]]] = []

    def __init__(self, series, seed, need_all, locks):
        self.series = series.name

    def run(self, number, commands, earlier, run_ended):
        self.ran.append((self.series, number, tuple(command.label for command in commands)))
        this_round = Round(self.series, number)
        for command in commands:
            times = self.milliseconds[command]
            this_round.runs.append((command, run_of(times[(number - 1) % len(times)], number)))
        return this_round


def run_of(milliseconds: float, number: int, passes: int = 1) -> Record:
    samples = np.full((1, passes), milliseconds)
    row = Row("model", "Net", "", None, [1, 3, 8, 8], samples=samples)
    place = {"round": number, "group": 0, "order_seed": 7}
    return Record([row], conditions={"iterations": 1}, runs=[place])


@pytest.fixture
def times(monkeypatch) -> type[Times]:
    monkeypatch.setattr(schedule, "RoundRunner", Times)
    monkeypatch.setattr(Times, "ran", [])
    return Times


def measure(*series: Series, rule: StopRule = BY_LOOKS, lines: bool = False, **options) -> Outcome:
    with Progress([one.name for one in series], rule, lines=lines) as progress:
        return run_rounds(series, rule, 7, progress, **options)


def about(*questions: Question, least: int = 1, name: str = "voc") -> Series:
    commands = {STOCK: None}
    for question in questions:
        commands |= {question.command: None}
    return Series(name, list(commands), list(questions), least)


def noisy(middle: float, by: float) -> list[float]:
    """Times that scatter: by this factor up and down, in turn."""
    return [middle * by, middle / by]


# Of an even number n of rounds, the ratio's logarithm scatters by log(by) * sqrt(n / (n - 1)).
@pytest.mark.parametrize(
    ("by", "least", "rounds"),
    [(1.001, 1, 5), (1.001, 12, 12), (1.08, 1, 8), (1.1, 1, 12), (1.13, 1, 16), (1.2, 1, 20)],
)
def test_ratio_is_measured_until_it_is_precise(times, by, least, rounds):
    times.milliseconds = {STOCK: noisy(10, by), KEPT: [5]}
    series = about(Question(STOCK), Question(KEPT, STOCK, precision=10), least=least)
    outcome = measure(series)
    assert outcome.is_complete
    for command in (STOCK, KEPT):
        record = outcome.record_of(command)
        assert len(record.runs) == rounds
        assert (record.conditions["rounds"], record.conditions["stop_rule"]) == (rounds, "looks")


@pytest.mark.parametrize(
    ("question", "kept", "rounds"),
    [
        (Question(KEPT, STOCK, same=2), noisy(9, 1.02), 5),  # faster
        (Question(KEPT, STOCK, same=2), noisy(10, 1.05), 20),  # neither faster nor the same
        (Question(KEPT, STOCK, same=2), noisy(10, 1.005), 5),  # the same
        (Question(KEPT, STOCK, outside=0.95), noisy(10.3, 1.02), 12),  # slower by less than 5 %?
        (Question(KEPT, STOCK), noisy(10, 3), 5),
        (Question(KEPT, precision=3), noisy(10, 1.02), 8),
    ],
)
def test_what_a_question_needs(times, question, kept, rounds):
    times.milliseconds = {STOCK: [10], KEPT: kept}
    assert len(measure(about(question)).runs[KEPT]) == rounds


def test_exactly_so_many_rounds_have_no_looks(times):
    times.milliseconds = {STOCK: noisy(10, 1.02), KEPT: [5]}
    series = about(Question(KEPT, STOCK, precision=10), least=12)
    for rounds in (1, 3, 7, 23):
        record = measure(series, rule=StopRule(rounds)).record_of(STOCK)
        assert len(record.runs) == record.conditions["rounds"] == rounds
        assert record.conditions["stop_rule"] == "fixed"
    assert level_of(record.conditions) == 0.05
    seen = [10 * 1.02, 10 / 1.02] * 11 + [10 * 1.02]
    expected = interval(np.log(seen).tolist(), 0.05)
    assert isclose(mean_of_rounds(record).high, np.exp(expected.high))


def modes(precision: float = 10) -> Series:
    series = about(
        Question(STOCK),
        *(Question(FAST, STOCK, same=2), Question(FAST, KEPT, precision)),
        *(Question(SLOW, STOCK, same=2), Question(SLOW, KEPT, precision)),
    )
    return Series("voc", [STOCK, KEPT, FAST, SLOW], series.questions)


MODES = {STOCK: [10], KEPT: [5], FAST: [2], SLOW: noisy(9.9, 1.1)}


def test_mode_that_is_known_takes_no_further_part(times):
    """What others are compared with stays."""
    times.milliseconds = MODES
    outcome = measure(modes())
    assert [len(outcome.runs[command]) for command in (STOCK, KEPT, FAST, SLOW)] == [20, 20, 5, 20]
    assert times.ran[5] == ("voc", 6, ("stock", "kept", "slow"))
    assert outcome.record_of(FAST).conditions["rounds"] == 5


def test_mode_whose_reference_fails_is_not_asked_about(times, monkeypatch):
    times.milliseconds = MODES
    run = Times.run

    def failing(self, number, commands, earlier, run_ended):
        this_round = run(self, number, [each for each in commands if each is not KEPT], {}, None)
        if KEPT in commands:
            this_round.failures[KEPT] = "no glibc"
        return this_round

    monkeypatch.setattr(Times, "run", failing)
    outcome = measure(modes())
    assert outcome.is_complete and list(outcome.failures) == [KEPT]
    assert len(outcome.runs[FAST]) == 5 < len(outcome.runs[SLOW])


def test_each_input_stops_by_itself(times):
    times.milliseconds = {STOCK: [10], KEPT: [5], FAST: [10], SLOW: noisy(5, 1.09)}
    quick = about(Question(KEPT, STOCK, precision=10), name="voc")
    long = Series("large", [FAST, SLOW], [Question(SLOW, FAST, precision=10)])
    outcome = measure(quick, long)
    assert [len(outcome.runs[command]) for command in (KEPT, SLOW)] == [5, 12]
    assert [ran[:2] for ran in times.ran[8:12]] == [
        *(("voc", 5), ("large", 5), ("large", 6), ("large", 7))
    ]


def test_looser_precision_makes_do_with_the_looks_that_have_passed(times):
    times.milliseconds = {**MODES, SLOW: noisy(7, 1.1)}
    kept: list[Round] = []
    whole = measure(modes(precision=1), keep=kept.append)
    assert len(whole.runs[SLOW]) == 20
    times.ran.clear()
    outcome = measure(modes(precision=10), ended=kept[:13])
    assert not times.ran and outcome.is_complete
    assert [len(outcome.runs[command]) for command in (STOCK, FAST, SLOW)] == [12, 5, 12]


def test_stricter_precision_runs_rounds_again_that_lack_a_mode(times):
    times.milliseconds = {**MODES, FAST: noisy(2, 1.04)}
    kept: list[Round] = []
    measure(modes(precision=10), keep=kept.append)
    times.ran.clear()
    outcome = measure(modes(precision=4), ended=kept[:9])
    assert times.ran[0] == ("voc", 6, ("stock", "kept", "fast", "slow"))
    assert [number for _, number, _ in times.ran] == list(range(6, 21))
    for runs in outcome.runs.values():
        assert [run.runs[0]["round"] for run in runs] == list(range(1, len(runs) + 1))


@pytest.mark.parametrize(
    ("seconds", "on_gpu", "passes"),
    [(0.29, False, groups.SHORT_PASSES), (0.31, False, groups.LONG_PASSES), (0.31, True, 300)],
)
def test_passes_of_a_process(seconds, on_gpu, passes):
    assert groups.passes_of_a_run(seconds, on_gpu) == passes


class Told(Run):
    """A run that only notes its turns."""

    turns: ClassVar[list[tuple[str, int]]] = []

    def take_turn(self, passes):
        self.turns.append((self.command.name, passes))


@pytest.mark.parametrize(
    ("given", "before", "seconds", "turns"),
    [
        (None, None, (0.05, 2.0), [10] * 6),  # the first one's pass decides
        (None, None, (0.4, 0.1), [2]),
        (None, 12, (0.05, 0.05), [10, 2]),  # as in the rounds before
        (14, None, (0.05, 0.05), [10, 4]),
    ],
)
def test_all_runs_have_equal_turns(monkeypatch, given, before, seconds, turns):
    monkeypatch.setattr(Told, "turns", [])
    commands = [Command(name, ["/no such program"], label=name) for name in ("first", "second")]
    series = Series("voc", commands, questions=[], passes=given)
    runner = RoundRunner(series, seed=7, need_all=True, locks=())
    earlier = {} if before is None else {commands[0]: [run_of(1.0, 1, passes=before)]}
    runner.run(2, commands, earlier, lambda run: None)  # whose runs cannot start
    runner._failures.clear()
    runs = [Told(command) for command in commands]
    for run, run.seconds in zip(runs, seconds, strict=True):
        runner._seconds[run.command] = run.seconds
    runner._hand_out(runs, commands[0])
    assert [passes for _, passes in Told.turns[::2]] == turns
    assert [passes for _, passes in Told.turns[1::2]] == turns
    assert {name for name, _ in Told.turns[:2]} == {"first", "second"}


def test_progress_says_what_is_known_and_how_long_it_may_take(times, capsys, monkeypatch):
    clock = iter(range(0, 10**6, 30))  # each round takes half a minute
    monkeypatch.setattr("backbone.rounds.progress.monotonic", lambda: next(clock))
    monkeypatch.setattr(background, "STAT", ROOT / "no such file")
    times.milliseconds = {STOCK: noisy(10, 1.08), KEPT: [5]}
    measure(about(Question(STOCK), Question(KEPT, STOCK, precision=10)), lines=True)
    lines = [line.partition(": ")[2] for line in capsys.readouterr().err.splitlines()]
    assert len(lines) == 8
    assert lines[0] == "voc, round 1: stock 10.8 ms; kept 5.00 ms, 2.16x stock; 2 to 10 min to go"
    assert lines[4] == (
        "voc, round 5: stock 10.2 ms ±17 %; kept 5.00 ms ±0.0 %, 2.03x stock ±17 %; "
        "4 to 8 min to go"
    )
    assert lines[7].startswith("voc, round 8, its last: ") and "to go" not in lines[7]


def test_progress_of_many_modes_names_the_fastest(times, capsys, monkeypatch):
    monkeypatch.setattr(background, "STAT", ROOT / "no such file")
    times.milliseconds = MODES
    measure(modes(), lines=True)
    lines = capsys.readouterr().err.splitlines()
    assert "voc, round 5: stock 10.0 ms ±0.0 %; 1 of 2 certain; fastest: fast 2.00 ms" in lines[4]


@pytest.mark.parametrize(("level", "expected"), [(LEVEL, 1.84), (0.05, 1.24)])
def test_reach_of_five_rounds(level, expected):
    assert reach(5, level) == pytest.approx(expected, abs=0.005)
    found = interval([0.0, 1.0, 2.0, 3.0, 4.0], level)
    assert found.high - found.mean == pytest.approx(expected * 1.5811, abs=0.01)
    of_logs = Interval(1.0, 1 / 1.05, 1.05)
    assert scatter(of_logs, 5, level) * expected == pytest.approx(np.log(1.05), rel=0.005)


def test_level_of_the_looks_by_simulation():
    """5 % of comparisons miss the truth at any look; with ordinary intervals, 13 to 19 % would."""
    rng = np.random.default_rng(1)
    assert simulation.find_level(rng, 100_000) == pytest.approx(LEVEL, abs=0.0008)


@pytest.mark.parametrize(
    ("scatter", "effect", "rounds", "holds", "wrong"),
    [  # the first lines of METHOD.md's table and its last
        (simulation.normal(0.01), 0, 6.8, 0.98, 0.020),
        (simulation.normal(0.035), 5, 8.6, 0.97, 0),
        (simulation.normal(0.1), 50, 19.4, 0.98, 0),
        (simulation.two_states("", 0.1), 5, 11.9, 0.50, 0),
    ],
)
def test_simulated_comparisons(scatter, effect, rounds, holds, wrong):
    rng = np.random.default_rng(2)
    found = simulation.simulate(scatter, effect, 5, rng, trials=20_000)
    assert found.rounds == pytest.approx(rounds, abs=0.3)
    assert found.holds == pytest.approx(holds, abs=0.02)
    assert found.wrong == pytest.approx(wrong, abs=0.005)


def test_looks_are_in_order_and_least_is_one_of_them_or_before():
    assert all(earlier < later for earlier, later in pairwise(LOOKS))
    rule = StopRule()
    assert [number for number in range(1, 21) if rule.is_look(number, least=12)] == [12, 16, 20]
    assert rule.round_within(inf, 1.0, number=6, least=1) == 8
    assert rule.round_within(0.1, 0.1, number=1, least=1) == 12
    assert rule.round_within(0.0, 0.1, number=1, least=1) == 20
    assert StopRule(7).round_within(inf, 0, number=1, least=1) == 7


STAT = "cpu  9 9\ncpu0 {} 0 0 0 0 0 0 0\ncpu1 0 0 {} 0 0 0 0 50\ncpu2 9999999 0 0 0 0 0 0 0\n"


@pytest.mark.parametrize(("busy", "is_noted"), [(20, False), (100, True)])
def test_machine_that_does_something_else_is_noted_once(monkeypatch, tmp_path, busy, is_noted):
    monkeypatch.setattr(background, "quota_of_processors", lambda: None)
    monkeypatch.setattr(background, "available_processors", lambda: 2)
    monkeypatch.setattr(background, "STAT", tmp_path / "stat")
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1})
    clock = iter((0.0, 2.0, 4.0, 6.0))
    monkeypatch.setattr(background, "monotonic", lambda: next(clock))
    other_work = background.Background()
    notes = []
    for number in (0, 1):
        (tmp_path / "stat").write_text(STAT.format(10 + 1000 * number, 5))
        other_work.start()
        (tmp_path / "stat").write_text(STAT.format(10 + 1000 * number + busy, 5))
        notes.append(other_work.notes())
    assert notes[1] == []
    assert len(notes[0]) == is_noted
    assert not is_noted or "other processes use 0.5 of 2 processors" in notes[0][0]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, None),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu.max": "150000 100000\n"}, 1.5),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({"cpu/cpu.cfs_quota_us": "50000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 0.5),
    ],
)
def test_quota_of_a_control_group(monkeypatch, tmp_path, files, expected):
    monkeypatch.setattr(available, "CGROUP", tmp_path)
    (tmp_path / "cpu").mkdir()
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert available.quota_of_processors() == expected
    monkeypatch.setattr(background, "STAT", tmp_path / "none")
    monkeypatch.setattr(background, "available_processors", lambda: 2)
    other_work = background.Background()
    notes = other_work.notes()
    assert len(notes) == (expected is not None) and other_work.notes() == []
    assert not notes or f"a control group limits this process to {expected} of 2" in notes[0]
