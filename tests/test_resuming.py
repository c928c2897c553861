"""What ends a measurement early, what is left of it, and how it goes on."""

import fcntl
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from project import patch
from wrappers import SHELLS, files_in, load, run, start, wait_for

from backbone.command.errors import Failure
from backbone.rounds.pending import Measurement, Pending, check_whole, complete_storing

WHOLE = "cpu/mobilenetv2_stats/mobilenetv2_64x64.json"


def terminal(number: signal.Signals):
    """As a terminal signals: the whole group."""
    return lambda process: os.killpg(process.pid, number)


SIGNALS = {
    "INT": (terminal(signal.SIGINT), 130),
    "QUIT": (terminal(signal.SIGQUIT), 131),
    "TERM": (subprocess.Popen.terminate, 143),
    "HUP": (terminal(signal.SIGHUP), 129),
}


@pytest.fixture
def three_rounds(stand_in, tmp_path) -> dict[str, str]:
    """The environment for three rounds on a small input, of which the second one never ends."""
    asleep = {"STAND_IN_SLEEPS": str(tmp_path / "asleep"), "STAND_IN_ROUND": "2"}
    return {**stand_in, **asleep, "ROUNDS": "3", "INPUTS": "64x64"}


def awake(env: dict[str, str]) -> dict[str, str]:
    """The environment in which nothing sleeps any longer."""
    return {name: value for name, value in env.items() if name != "STAND_IN_SLEEPS"}


def begin(checkout: Path, env: dict[str, str], **options) -> subprocess.Popen:
    """Start cpu/stats.sh, and wait until a run sleeps in its turn."""
    process = start(checkout / "cpu/stats.sh", env=env, **options)
    wait_for(Path(env["STAND_IN_SLEEPS"]).exists, process)
    return process


def end(process: subprocess.Popen, send=subprocess.Popen.terminate) -> str:
    """What it says on stderr when it is ended. Its runs end with it: they have the pipes too."""
    send(process)
    _, stderr = process.communicate(timeout=20)
    return stderr


# A wrapper's shell becomes the driver: one signal for each is enough.
@pytest.mark.parametrize(
    ("shell", "name"), list(zip(SHELLS, SIGNALS, strict=True)), ids=lambda part: "".join(part)
)
def test_signal_keeps_the_rounds_and_the_same_command_goes_on(checkout, three_rounds, shell, name):
    send, status = SIGNALS[name]
    before = files_in(checkout)
    process = begin(checkout, three_rounds, shell=shell)
    runs = psutil.Process(process.pid).children(recursive=True)
    stderr = end(process, send)
    assert process.returncode == status
    assert stderr.splitlines()[-1] == (
        f"cpu/stats.sh: interrupted by SIG{name}; stored results are unchanged; 1 round kept: run "
        "this command again under the same conditions to continue, or with --new to start over"
    )
    assert runs and not any(each.is_running() for each in runs)
    after = files_in(checkout)
    assert before.items() <= after.items()
    assert all(each.startswith(".pending/cpu-stats.sh-") for each in after.keys() - before.keys())
    result = run(checkout / "cpu/stats.sh", shell=shell, env=awake(three_rounds))
    assert result.returncode == 0, result.stderr
    assert "continuing after round 1 of the measurement started at " in result.stderr
    assert "64x64, round 1:" not in result.stderr and "64x64, round 2:" in result.stderr
    (record,) = load(checkout, WHOLE)
    assert [each["round"] for each in record.runs] == [1, 2, 3]
    assert len({each["order_seed"] for each in record.runs}) == 1
    assert not (checkout / ".pending").exists()


def test_new_starts_over(checkout, three_rounds):
    end(begin(checkout, three_rounds))
    result = run(checkout / "cpu/stats.sh", "--new", env=awake(three_rounds))
    assert result.returncode == 0, result.stderr
    assert "continuing" not in result.stderr and "64x64, round 1:" in result.stderr
    assert not (checkout / ".pending").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"ROUNDS": ""}, "stop rule was after 3 rounds, and is at level 0.0148 after rounds 5, 8,"),
        ({"INPUTS": "64x64 96x96"}, "the commands changed"),
        ({"MALLOC_ARENA_MAX": "1"}, "MALLOC_ARENA_MAX was unset, and is 1"),
        ({"STAND_IN_KIND": "another"}, "its processes disagree: MALLOC_KIND was none, and is"),
        ({}, "the code changed"),
    ],
)
def test_changed_condition_is_refused_and_named(checkout, three_rounds, change, said):
    end(begin(checkout, three_rounds))
    pending = files_in(checkout / ".pending")
    source = checkout / "backbone/trace/costs.py"
    if not change:
        source.write_text(source.read_text() + "# a comment\n")
    result = run(checkout / "cpu/stats.sh", env=awake(three_rounds) | change)
    assert (result.returncode, result.stdout) == (1, "")
    last = result.stderr.splitlines()[-1]
    assert said in last and "--new" in last and "stored results are unchanged" in last
    assert files_in(checkout / ".pending") == pending


def test_round_in_which_the_code_changes_is_dropped(checkout, three_rounds):
    asleep = Path(three_rounds["STAND_IN_SLEEPS"])
    patch(
        checkout / "backbone/measure/script.py",
        "time.sleep(600)",
        f"while not os.path.exists('{asleep}.go'): time.sleep(0.1)",
    )
    process = begin(checkout, three_rounds)
    (checkout / "timer.py").write_text("# another\n")
    Path(f"{asleep}.go").touch()
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "the code changed during this round, which is dropped" in stderr
    assert [file.name for file in checkout.glob(".pending/*/*-*.json")] == ["64x64-001.json"]


def test_failures_are_kept(checkout, three_rounds):
    """A mode that failed in round 1 is not run again when round 2 was interrupted."""
    failing = {"STAND_IN_FAILS": "--train", "STAND_IN_ROUND": "1"}
    env = {**three_rounds, **failing}
    del env["STAND_IN_SLEEPS"]
    script = checkout / "backbone/measure/script.py"
    patch(
        script,
        'is_now and "STAND_IN_SLEEPS"',
        "count_start(words + 's') == 3 and \"STAND_IN_SLEEPS\"",
    )
    process = start(
        checkout / "modes.sh", env=env | {"STAND_IN_SLEEPS": three_rounds["STAND_IN_SLEEPS"]}
    )
    wait_for(Path(three_rounds["STAND_IN_SLEEPS"]).exists, process)
    assert "--train" in end(process)
    result = run(checkout / "modes.sh", env=env)
    assert result.returncode == 1
    assert "and is left out of" not in result.stderr
    assert (
        "some commands failed, and have no results: cpu/timer.py --i 64x64 --train" in result.stderr
    )
    modes = checkout / "cpu/mobilenetv2_stats/modes"
    assert (modes / "mobilenetv2_64x64_stock.json").exists()
    assert not (modes / "mobilenetv2_64x64_train.json").exists()


def test_signal_before_the_first_round_has_ended_leaves_nothing(checkout, three_rounds):
    before = files_in(checkout)
    stderr = end(begin(checkout, {**three_rounds, "STAND_IN_ROUND": "1"}))
    assert stderr.endswith("cpu/stats.sh: interrupted by SIGTERM; stored results are unchanged\n")
    assert files_in(checkout) == before and not (checkout / ".pending").exists()


def test_signal_to_what_runs_once(checkout, stand_in, tmp_path):
    before = files_in(checkout)
    asleep = tmp_path / "asleep"
    process = start(checkout / "summary.sh", env={**stand_in, "STAND_IN_SLEEPS": str(asleep)})
    wait_for(asleep.exists, process)
    stderr = end(process, terminal(signal.SIGINT))
    assert process.returncode == 130
    assert stderr.endswith("summary.sh: interrupted by SIGINT; stored results are unchanged\n")
    assert files_in(checkout) == before and not (checkout / ".pending").exists()


def test_interrupted_when_nobody_reads(checkout, three_rounds):
    # As Ctrl-C does to `sh cpu/stats.sh 2>&1 | tee log`: tee may be the first to go.
    process = begin(checkout, three_rounds)
    process.stderr.close()
    process.terminate()
    assert process.wait(timeout=20) == 143
    assert run(checkout / "cpu/stats.sh", env=awake(three_rounds)).returncode == 0


def test_ends_when_nobody_reads(checkout, stand_in):
    before = files_in(checkout)
    process = start(checkout / "cpu/stats.sh", env=stand_in)
    process.stderr.readline()
    process.stderr.close()
    assert process.wait(timeout=20) == 141
    files = files_in(checkout)
    assert before.items() <= files.items()
    assert all(each.startswith(".pending/") for each in files.keys() - before.keys())


def test_killed_in_a_round(checkout, three_rounds):
    process = begin(checkout, three_rounds)
    driver = psutil.Process(process.pid)
    wait_for(lambda: len(driver.children()) == 6, process)
    runs = driver.children()
    second = run(checkout / "summary.sh", env=awake(three_rounds))
    assert (second.returncode, second.stdout) == (1, "")
    assert "another measurement is running on this machine" in second.stderr
    process.kill()
    _, alive = psutil.wait_procs(runs, timeout=20)
    assert not alive
    process.communicate(timeout=20)
    result = run(checkout / "cpu/stats.sh", env=awake(three_rounds))
    assert result.returncode == 0, result.stderr
    assert "continuing after round 1 of" in result.stderr
    assert not (checkout / ".pending").exists()


def test_process_that_outlives_its_measurement_is_awaited(checkout, three_rounds):
    lock = Path(three_rounds["PROFILE_LOCKS"], "mobilenetv2-profile.processes.lock")
    with lock.open("a") as orphan:
        fcntl.flock(orphan, fcntl.LOCK_EX)
        process = start(checkout / "summary.sh", env=awake(three_rounds))
        line = process.stderr.readline()
        assert line == "summary.sh: waiting for a process of an earlier measurement to end\n"
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 0, stderr


def test_two_machines_on_one_checkout(checkout, three_rounds, tmp_path):
    (tmp_path / "another machine").mkdir()
    another = {**awake(three_rounds), "PROFILE_LOCKS": str(tmp_path / "another machine")}
    process = begin(checkout, {**three_rounds, "RESULTS": "devices/one"})
    same = run(checkout / "cpu/stats.sh", env={**another, "RESULTS": "devices/one/"})
    assert (same.returncode, same.stdout) == (1, "")
    assert same.stderr.startswith("cpu/stats.sh: a measurement on another machine writes to")
    other = run(checkout / "cpu/stats.sh", env={**another, "RESULTS": "devices/two"})
    assert other.returncode == 0, other.stderr
    assert len(list(checkout.glob("devices/two/cpu/**/*.json"))) == 6
    end(process)


def store_killed(results: Path, text: str, step: int) -> int:
    """The status of a process that stores two files of this text and removes a third one, and is
    killed at the n-th of its steps on disk."""
    if (child := os.fork()) == 0:
        steps = iter(range(1, 1000))

        def killed(function):
            def run(*arguments, **options):
                if next(steps) == step:
                    os.kill(os.getpid(), signal.SIGKILL)
                return function(*arguments, **options)

            return run

        for name in ("replace", "rename", "mkdir", "unlink"):
            setattr(Path, name, killed(getattr(Path, name)))
        for name in ("rename", "unlink", "rmdir", "fsync"):
            setattr(os, name, killed(getattr(os, name)))
        ours = Pending(results, "cpu/stats.sh", [])
        ours.start(Measurement("2026-11-29T12:00:00", seed=1, conditions={}))
        (ours.folder / "64x64-001.json").write_text("{}")  # a round
        ours.store({"a/one.txt": text, "two.json": text}, removed=["gone.json"], failed=["x"])
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_killed_at_every_step_of_storing(tmp_path):
    """All stored files are of one measurement, or check_whole() refuses them; and whatever is half
    stored is completed by the next start."""
    (tmp_path / "a").mkdir()
    (tmp_path / ".pending").mkdir()
    (tmp_path / ".pending/lock").touch()  # of the process that completes it
    half_stored = 0
    for step in range(1, 1000):
        stored = {"a/one.txt": f"old {step}", "two.json": f"old {step}", "gone.json": "old"}
        new = dict.fromkeys(("a/one.txt", "two.json"), f"new {step}")
        for name, text in stored.items():
            (tmp_path / name).write_text(text)
        status = store_killed(tmp_path, f"new {step}", step)
        try:
            check_whole(tmp_path)
        except Failure as failure:
            assert "the results of cpu/stats.sh are partly replaced" in str(failure)
            half_stored += 1
            assert next(iter(complete_storing(tmp_path).values())).measurement.seed == 1
            assert texts_in(tmp_path) == new
        else:
            assert texts_in(tmp_path) in (stored, new)
            is_pending = bool(list(tmp_path.glob(".pending/cpu*/64x64-001.json")))
            assert not (is_pending and texts_in(tmp_path) == new)  # or it would be continued
            complete_storing(tmp_path)
            assert texts_in(tmp_path) in (stored, new)
        left = {file.name for file in tmp_path.glob(".pending/*/*")}
        assert left <= {"measurement.json", "64x64-001.json", "new", ".storing.json.new"}
        if status == 0:
            break
    assert status == 0 and texts_in(tmp_path) == new and step > 30 and half_stored > 2


def texts_in(folder: Path) -> dict[str, str]:
    """The stored files, by name."""
    files = [file for file in folder.rglob("*") if file.is_file() and ".pending" not in file.parts]
    return {str(file.relative_to(folder)): file.read_text() for file in files}


KILLED_AT_FIRST_MOVE = """
def _move(*_):
    import os, signal
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("is_same", [True, False])
def test_start_after_storing_was_cut_short(checkout, stand_in, is_same):
    """The measurement was complete: the same command under the same conditions has nothing left to
    do; under other conditions it measures."""
    env = {**stand_in, "INPUTS": "64x64"}
    pending = checkout / "backbone/rounds/pending.py"
    text = pending.read_text()
    pending.write_text(text + KILLED_AT_FIRST_MOVE)
    assert run(checkout / "cpu/stats.sh", env=env).returncode == -signal.SIGKILL
    (marker,) = checkout.glob(".pending/*/storing.json")
    pending.write_text(text)
    if is_same:  # as if the power had gone
        measurement = json.loads((marker.parent / "measurement.json").read_text())
        measurement["conditions"]["code"] = hash_of(checkout)
        (marker.parent / "measurement.json").write_text(json.dumps(measurement))
    result = run(checkout / "cpu/stats.sh", env={**env, "STAND_IN_KIND": "newer"})
    assert result.returncode == 0, result.stderr
    assert ("64x64, round 1" in result.stderr) is not is_same
    assert "64x64 (64 x 96), a stand-in: 1 round, 60 passes each" in result.stdout
    (record,) = load(checkout, WHOLE)
    assert record.conditions["MALLOC_KIND"] == ("none" if is_same else "newer")
    assert not (checkout / ".pending").exists()


def hash_of(checkout: Path) -> str:
    """What a checkout's own code has as its hash."""
    code = "import sys; sys.path.insert(0, '.'); from backbone.rounds.conditions import hash_code"
    command = [sys.executable, "-c", f"{code}; print(hash_code([]))"]
    return subprocess.run(command, cwd=checkout, capture_output=True, text=True).stdout.strip()
