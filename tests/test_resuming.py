"""What ends a measurement early, what is left of it, and how it goes on."""

import contextlib
import fcntl
import os
import shutil
import signal
from itertools import count
from math import inf
from pathlib import Path

import psutil
import pytest
from wrappers import files_in, run, start, wait_for

from backbone.command.errors import Failure
from backbone.record import records
from backbone.rounds import pending
from backbone.rounds.commands import Command
from backbone.rounds.groups import Round
from backbone.rounds.pending import Measurement, Pending, check_whole, complete_storing

STORED = "mobilenetv2_stats/mobilenetv2_64x64.json"


@pytest.fixture
def env(stand_in):
    return {**stand_in, "STAND_IN_CUDA": "cuda", "ROUNDS": "2", "INPUTS": "64x64"}


def begin(wrapper, env, starts, **options):
    """Start a wrapper, and wait until a command's process with this number sleeps in its turn."""
    asleep = Path(f"{env['STAND_IN_LOG']}-{wrapper.name}-{starts}")
    sleep = f"if starts == {starts}: Path({str(asleep)!r}).touch(); time.sleep(600)"
    process = start(wrapper, env=env | {"STAND_IN_TURN": sleep}, **options)
    wait_for(asleep.exists, process)
    return process, psutil.Process(process.pid).children()


def test_signals_keep_rounds_and_the_same_command_goes_on(checkout, env):
    env["ROUNDS"] = "6"
    before = files_in(checkout)
    for wrapper, kept, name, shell in (
        ("summary.sh", 0, "SIGINT", ["sh"]),
        ("stats.sh", 0, "SIGINT", ["dash"]),
        ("stats.sh", 1, "SIGQUIT", ["busybox", "sh"]),
        ("stats.sh", 2, "SIGTERM", ["bash", "--posix"]),
        ("stats.sh", 3, "SIGHUP", ["bash"]),
    ):
        shell = shell if shutil.which(shell[0]) else ["sh"]
        process, runs = begin(checkout / wrapper, env, starts=2 * kept + 1, shell=shell)
        send = os.kill if name == "SIGTERM" else os.killpg  # a terminal signals the whole group
        send(process.pid, signal.Signals[name])
        stderr = process.communicate(timeout=20)[1]
        assert process.returncode == 128 + signal.Signals[name]
        assert runs and not any(each.is_running() for each in runs)
        said = f"{wrapper}: interrupted by {name}; stored results are unchanged"
        if kept:
            said += f"; {kept} round{'s' * (kept > 1)} kept: run this command again under the same "
            said += "conditions to continue, or with --new to start over"
        assert stderr.splitlines()[-1] == said
        assert f"continuing after round {kept - 1} of the measurement" in stderr or kept < 2
        assert [n for n in range(1, 5) if f"round {n}: " in stderr] == ([kept] if kept else [])
        assert files_in(checkout) == before and (checkout / ".pending").exists() == (kept > 0)
    # As Ctrl-C does to `sh stats.sh 2>&1 | tee log`: tee may be the first to go.
    process, _ = begin(checkout / "stats.sh", env, starts=9)
    process.stderr.close()
    process.terminate()
    assert process.wait(timeout=20) == 143
    process = start(checkout / "stats.sh", env=env)
    assert "continuing after round 4" in process.stderr.readline()
    process.stderr.close()
    assert process.wait(timeout=20) == 141
    assert run(checkout / "stats.sh", env=env).returncode == 0
    runs = records.load(checkout / STORED).runs
    assert [each["round"] for each in runs] == [1, 2, 3, 4, 5, 6]
    assert len({each["order_seed"] for each in runs}) == 1
    assert not (checkout / ".pending").exists()


def test_changed_condition_is_refused_and_new_starts_over(checkout, env):
    source = checkout / "backbone/trace/costs.py"
    text = source.read_text()
    changes_code = f"if starts == 2: Path({str(source)!r}).write_text('# another')"
    for change, said in (
        (
            {"STAND_IN_TURN": changes_code},
            "the code changed during this round; the round is dropped; ",
        ),
        ({}, "the code changed; "),
        ({"ROUNDS": ""}, "stop rule was after 2 rounds and is at level 0.0148 after rounds 5, 8,"),
        ({"INPUTS": "64x64 96x96"}, "the commands changed; "),
        ({"MALLOC_ARENA_MAX": "1"}, "MALLOC_ARENA_MAX was unset and is 1; "),
        ({"STAND_IN_KIND": "another"}, "its processes disagree: MALLOC_KIND was none and is"),
    ):
        result = run(checkout / "stats.sh", env=env | change)
        assert (result.returncode, result.stdout) == (1, "")
        last = result.stderr.splitlines()[-1]
        assert said in last and "--new" in last and "stored results are unchanged" in last
        assert [file.name for file in checkout.glob(".pending/*/*-*.json")] == ["64x64-001.json"]
        if not change:
            source.write_text(text)
    result = run(checkout / "stats.sh", "--new", env=env)
    assert result.returncode == 0 and result.stderr.startswith("stats.sh: 64x64, starting round 1 ")
    assert not (checkout / ".pending").exists()


def test_one_measurement_at_a_time_and_one_that_is_killed(checkout, env, tmp_path):
    env["RESULTS"] = "devices/one"
    there = {**env, "PROFILE_LOCKS": str(tmp_path)}  # another machine
    process, runs = begin(checkout / "stats.sh", env, starts=2)
    for other, said in (
        (env | {"RESULTS": "devices/two"}, "another measurement is running on this machine"),
        (there | {"RESULTS": "devices/one/"}, "a measurement on another machine writes to "),
    ):
        second = run(checkout / "stats.sh", env=other)
        assert (second.returncode, second.stdout) == (1, "")
        assert second.stderr.startswith(f"stats.sh: {said}")
    assert run(checkout / "stats.sh", env=there | {"RESULTS": "devices/a b"}).returncode == 0
    assert (checkout / "devices/a b" / STORED).exists()
    process.kill()
    assert len(runs) == 3 and not psutil.wait_procs(runs, timeout=20)[1]
    with open(f"{env['PROFILE_LOCKS']}/mobilenetv2-profile.processes.lock") as of_another:
        fcntl.flock(of_another, fcntl.LOCK_EX)
        process = start(checkout / "stats.sh", env=env)
        assert "waiting for a process of an earlier measurement" in process.stderr.readline()
    stderr = process.communicate(timeout=60)[1]
    assert process.returncode == 0 and "continuing after round 1 of" in stderr, stderr


def test_start_after_storing_was_cut_short(checkout, env):
    in_the_way = (checkout / STORED).with_suffix(".txt")
    for rounds, kind in (("2", "none"), ("1", "another")):  # the same conditions, and others
        in_the_way.unlink(missing_ok=True)
        in_the_way.mkdir(parents=True)
        result = run(checkout / "stats.sh", env=env)
        assert (result.returncode, result.stdout) == (1, "")
        assert "partly replaced; run this command again to finish" in result.stderr
        in_the_way.rmdir()
        result = run(checkout / "stats.sh", env={**env, "ROUNDS": rounds, "STAND_IN_KIND": kind})
        assert result.returncode == 0, result.stderr
        assert ("64x64, round 1" in result.stderr) == (kind == "another")
        assert f"64x64, a stand-in: {rounds} round" in result.stdout
        assert not (checkout / ".pending").exists()


def test_killed_at_every_step_of_storing(tmp_path, monkeypatch):
    """All stored files are of one measurement, or are refused until the next start completes it."""
    left = [inf]  # steps on disk, after which nothing more is done

    def dying(function):
        def run(*arguments, **options):
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt
            return function(*arguments, **options)

        return run

    def stored():
        return {name: content.decode() for name, content in files_in(tmp_path).items()}

    for place, names in (Path, "replace rename mkdir unlink"), (os, "rename unlink rmdir fsync"):
        for name in names.split():
            monkeypatch.setattr(place, name, dying(getattr(place, name)))
    (tmp_path / "a").mkdir()
    command, half_stored = Command("a", ["a"]), 0
    for steps in count():
        old = {"a/one.txt": f"old {steps}", "two.json": f"old {steps}", "gone.json": "old"}
        new = dict.fromkeys(("a/one.txt", "two.json"), f"new {steps}")
        for name, text in old.items():
            (tmp_path / name).write_text(text)
        ours = Pending(tmp_path, "cpu/stats.sh", [])
        left[0] = steps
        with contextlib.suppress(KeyboardInterrupt):
            ours.start(Measurement("2026-11-29T12:00:00", seed=1, conditions={}))
            ours.add(Round("64x64", 1, failures={command: "it says why"}), [command])
            assert ours.rounds([command])[0].failures == {command: "it says why"}
            ours.store(new, removed=["gone.json"], failed=["x"])
        left[0] = inf
        found = stored()
        try:
            check_whole(tmp_path)
        except Failure as failure:
            assert "the results of cpu/stats.sh are partly replaced" in str(failure)
            (completed,) = complete_storing(tmp_path).values()
            assert completed.measurement.seed == 1 and completed.failed == ["x"]
            half_stored += 1
            found = new
        else:  # rounds of what is stored would be continued
            assert found == old or (found == new and not ours.count_rounds())
            complete_storing(tmp_path)
        assert stored() == found
        assert all((each / "measurement.json").exists() for each in tmp_path.glob(".pending/*"))
        if ours.is_stored:
            break
    assert found == new and steps > 30 and half_stored > 2


def test_new_files_are_on_disk_before_the_marker_that_counts_on_them(tmp_path, monkeypatch):
    done = []
    monkeypatch.setattr(pending, "sync_folder", lambda folder: done.append(folder.name))
    monkeypatch.setattr(pending, "write_whole", lambda file, text: done.append(file.name))
    monkeypatch.setattr(pending, "_replace_stored", lambda *_: done.append("replaced"))
    Pending(tmp_path, "stats.sh", []).store({"folder/a.json": "{}"})
    assert done.index("a.json") < done.index("folder") < done.index(pending.MARKER)
    assert done[-1] == "replaced"
