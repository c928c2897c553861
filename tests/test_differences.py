"""compare.py by stage and operation, and its parameter lists."""

from unittest.mock import Mock

import numpy as np
import pytest
from project import ENVIRONMENT, ROOT, assert_one_line, python, script

import compare as compare_script
from backbone.command.errors import Failure
from backbone.command.parameter_lists import expand, take_lists
from backbone.record.names import number_rows
from backbone.record.rows import Cost, Kernels, Record, Row
from backbone.report.comparison import compare, format_comparison
from backbone.report.difference_text import format_differences
from backbone.report.differences import find_differences
from backbone.rounds.commands import Command

ROUNDS = 3


def record(times, target="layer", network="Net", faults=0, reorder=None, batch=1, places=None):
    """A record of operations, by path, with the milliseconds of each in three rounds."""
    rows = [
        Row(
            target,
            "Conv2d" if path.startswith("conv") else "ReLU",
            path,
            0,
            [batch, 3, 8, 8],
            np.array(of_rounds, float)[:, np.newaxis],
            page_faults=(faults,) * ROUNDS,
            kernels=() if reorder is None else (Kernels("jit", 1.0, reorder), None, None),
            cost=Cost(1, 1, "convolution" if path.startswith("conv") else "ReLU"),
        )
        for path, of_rounds in times.items()
    ]
    whole = sum((row.samples for row in rows), np.zeros((ROUNDS, 1)))
    rows.append(Row("model", network, "", None, [batch, 3, 8, 8], whole))
    places = places or [(1, 0), (2, 0), (3, 0)]
    runs = [{"order_seed": 7, "round": number, "group": group} for number, group in places]
    conditions = {"target": target, "network": network, "rounds": ROUNDS, "stop_rule": "fixed"}
    return Record(number_rows(rows), conditions, runs)


FIRST = {"conv1": [5, 5.1, 4.9], "norm": [2, 2.1, 1.9], "relu": [1, 1, 1], "conv2": [3, 3, 3]}
SECOND = {"conv1": [4, 4.1, 3.9], "relu": [3, 4, 5], "conv2": [3.1, 2.9, 3.0]}


def test_rows_are_matched_and_add_up():
    first, second = record(FIRST, faults=10, reorder=0.5), record(SECOND, faults=2)
    found = find_differences(first, second)
    assert [row.name for row in found.rows] == [
        *("ReLU relu", "ReLU norm (only in the first)", "Conv2d conv1", "Conv2d conv2"),
    ]
    relu, norm, conv1, conv2 = found.rows
    # The standard deviation of 2, 3 and 4 is 1. Of four rows together, 95 % are 98.75 % of each:
    # Student's t for two degrees of freedom is 8.860, and for one row alone it would be 4.303.
    assert relu.milliseconds.mean == pytest.approx(3)
    assert relu.milliseconds.high - 3 == pytest.approx(8.860 / 3**0.5, abs=1e-3)
    assert not relu.is_certain and not conv2.is_certain and norm.is_certain and conv1.is_certain
    assert norm.second is None and norm.first.milliseconds == pytest.approx(2)
    assert (conv1.first.page_faults, conv1.second.page_faults) == (10, 2)
    assert (conv1.first.reorder_ms, conv1.second.reorder_ms) == (0.5, None)
    assert found.whole.milliseconds.mean == pytest.approx(
        sum(r.milliseconds.mean for r in found.rows)
    )
    text = format_differences(found, lists_all=False)
    assert [" ".join(line.split()) for line in text.splitlines()[2:]] == [
        "11.000 11.000 +0.000 (-2.521 to +2.521) - - - the whole pass",
        "2.000 - -2.000 (-2.512 to -1.488) - 10 -> - 0.500 -> - ReLU norm (only in the first)",
        "5.000 4.000 -1.000 (-1.000 to -1.000) - 10 -> 2 0.500 -> - Conv2d conv1",
        "4.000 7.000 +3.000 (-1.880 to +7.880) - 20 -> 4 1.000 -> - "
        "2 operations with no certain difference",
    ]
    assert (
        "By operation, ms per pass, 3 rounds; the rows' intervals hold together at 95 % (Bon"
        in text
    )


def test_ten_rows_unless_all_are_asked_for():
    paths = [f"conv{number}" for number in range(12)]
    first = record({path: [10, 10, 10] for path in paths})
    second = record({path: [9 - n / 9, 9 - n / 9, 9 - n / 9] for n, path in enumerate(paths)})
    found = find_differences(first, second)
    short, whole = (
        format_differences(found, lists_all).splitlines() for lists_all in (False, True)
    )
    assert (
        short[-1].endswith("  2 operations more (--all lists them)")
        and len(short) == 2 + 1 + 10 + 1
    )
    assert whole[-1].endswith("  Conv2d conv0") and len(whole) == 2 + 1 + 12
    assert " 100.0 % " in short[2] and sum(found.share_of(row) for row in found.rows) == (
        pytest.approx(100)
    )
    assert " 11.5 % " in short[3]  # 2.222 of 19.333 ms


def test_two_networks_are_compared_by_kind_unless_they_have_the_same_rows():
    other = record({"conv1": [9, 5, 12], "relu9": [1, 1, 1]}, network="Other")
    found = find_differences(record(FIRST), other)
    assert {row.name for row in found.rows} == {"convolution", "ReLU"}
    assert "1 kind of operation with no" in format_differences(found, False)
    alike = find_differences(record(FIRST), record(FIRST, network="Other"))
    assert {row.name for row in alike.rows} >= {"Conv2d conv1", "Conv2d conv2"}


def test_runs_are_paired_by_round_and_group():
    times = {"conv1": [1, 10, 100]}
    first = record(times, places=[(1, 0), (1, 1), (2, 0)])
    second = record({"conv1": [11, 101, 2]}, places=[(1, 1), (2, 0), (3, 0)])
    found = find_differences(first, second)
    assert found.whole.by_round.tolist() == [1, 1]
    with pytest.raises(Failure, match="the commands share no round"):
        find_differences(first, record(times, places=[(7, 0), (8, 0), (9, 0)]))
    with pytest.raises(Failure, match="one command has --target layer, the other --target block"):
        find_differences(first, record(times, target="block"))


def test_rows_are_of_an_image_if_batches_differ():
    first, second = record(FIRST, faults=10), record(FIRST, batch=2, faults=10)
    found = find_differences(first, second)
    conv1 = next(row for row in found.rows if row.name == "Conv2d conv1")
    assert (conv1.first.milliseconds, conv1.second.milliseconds) == pytest.approx((5, 2.5))
    assert conv1.second.page_faults == 5 and found.unit == "ms per image"
    assert find_differences(second, second).unit == "ms per pass"


def test_speed_up_is_that_of_an_image():
    first, second = record({"conv1": [10, 10, 10]}), record({"conv1": [16, 16, 16]}, batch=2)
    one, two = compare(["one", "two"], [first, second], same=2)
    assert two.speed_up.mean == pytest.approx(20 / 16) and two.verdict == "faster"
    shown = format_comparison([one, two], same=2)
    assert "10.0 ms (10.0 to 10.0), 100 images/s\n" in shown
    assert "16.0 ms (16.0 to 16.0), 125 images/s  1.25 times the images/s (" in shown
    assert "images/s" not in format_comparison([one, one], same=2)


def test_lists_multiply():
    lists = [("s", "1,2"), ("t", "a,b")]
    assert expand(["x --s {s} --t {t}", "y {t}", "z"], lists) == [
        *("x --s 1 --t a", "x --s 1 --t b", "x --s 2 --t a", "x --s 2 --t b"),
        *("y a", "y b", "z"),
    ]
    assert expand(["x", "x"], []) == ["x", "x"]  # the same twice is a comparison too
    assert expand(["x {s}"], [("s", "1,1")]) == ["x 1", "x 1"]
    words = ["-L", "f", "--fold,--channels-last", "x {f}", "--rounds", "2", "-L"]
    lists = [("f", "--fold,--channels-last")]
    assert take_lists(words, ["-L"]) == (lists, ["x {f}", "--rounds", "2", "-L"])


@pytest.mark.parametrize(
    ("lists", "said"),
    [
        ([], "{s} has no values: add -L s VALUE,..."),
        ([("s", "1"), ("t", "1")], "-L t: no command has {t}"),
        ([("s", "1,,2")], "-L s '1,,2': an empty value"),
        ([("s", "")], "-L s '': an empty value"),
        ([("s", "1"), ("s", "2")], "-L s: given twice"),
    ],
)
def test_lists_that_do_not_fit_are_usage_errors(lists, said):
    flags = [word for each in lists for word in ("-L", *each)]
    result = script(ROOT / "compare.py", *flags, "cpu/timer.py --s {s}")
    assert result.returncode == 2 and result.stderr.endswith(f"compare.py: error: {said}\n")


def test_all_needs_rows():
    result = script(ROOT / "compare.py", "--all", "cpu/timer.py", "cpu/timer.py --fold")
    assert_one_line(result, "compare.py: --all needs a command with --target block or layer")


def test_many_commands_are_announced():
    values = ",".join(map(str, range(24)))
    result = python("compare.py", "-L", "n", values, "/bin/true {n}", env=ENVIRONMENT)
    assert result.returncode == 1
    assert result.stderr.startswith("compare.py: 24 commands: a round takes 2 minutes or more\n")


CUT = [Command(name, ["x.py", *flags]) for name, flags in (("a", ["--w", "no"]), ("b", []))]


def test_passes_that_cannot_be_cut_are_compared_whole(monkeypatch, capsys):
    why = "exit status 1: cpu/timer.py: Net cannot be cut into operations faithfully (...)"
    outcomes = iter([Mock(failures={CUT[0]: why}), "whole passes"])
    ran = []

    def run_rounds(commands, arguments, lock, least):
        ran.append((least, [command.words for command in commands]))
        return next(outcomes)

    monkeypatch.setattr(compare_script, "run_rounds", run_rounds)
    commands, outcome = compare_script.measure(CUT, Mock(), 3)
    assert outcome == "whole passes" and [each.name for each in commands] == ["a", "b"]
    whole = [["x.py", "--w", "no", "--w", "yes"], ["x.py", "--target", "model"]]
    assert ran == [(12, [command.words for command in CUT]), (1, whole)]
    said = " instead of stages or operations: exit status 1: cpu/timer.py: Net cannot"
    assert said in capsys.readouterr().err


def test_different_targets_have_no_table(capsys):
    targets = [record({"conv1": [1, 2, 3]}, target=target) for target in ("layer", "block")]
    assert compare_script.differences_of(CUT, targets) == {}
    said = "no table of differences: one command has --target layer, the other --target block\n"
    assert capsys.readouterr().err.endswith(said)
    model = record({"conv1": [1, 2, 3]}, target="model")
    assert compare_script.differences_of(CUT, [model, model]) == {}
    assert capsys.readouterr().err == ""
    same = [record({"conv1": [1, 2, 3]}) for _ in CUT]
    assert [*compare_script.differences_of(CUT, same)] == [CUT[1]]
