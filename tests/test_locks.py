"""Signals, locks, and what they leave."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from project import ROOT
from wrappers import CPU_TIMES, WRAPPERS, every_shell, files_in, run, start, wait_for


def test_handing_over_keeps_the_lock(checkout, stand_in, tmp_path):
    # Whether another could take it, at each of the interpreter's starts.
    probe = tmp_path / "probe.py"
    probe.write_text("""
import fcntl, sys
said = ""
for lock in (sys.argv[1] + "/machine", ".lock"):
    try:
        fcntl.flock(open(lock), fcntl.LOCK_EX | fcntl.LOCK_NB)
        said += "open"
    except FileNotFoundError:
        said += "none"
    except BlockingIOError:
        said += "held"
print(said, file=open(sys.argv[1] + "/log", "a"))
""")
    file = Path(stand_in["PYTHON"])
    started = f'#!/bin/sh\n"{sys.executable}" "{probe}" "{tmp_path}"\n'
    file.write_text(file.read_text().replace("#!/bin/sh\n", started))
    result = run(checkout / "stats.sh", env={**stand_in, "ROUNDS": "2"})
    assert result.returncode == 0, result.stderr
    first, second, *others = (tmp_path / "log").read_text().split()
    assert (first, second) == ("opennone", "heldopen")
    assert set(others) == {"heldheld"} and len(others) > 30


def test_interrupted_before_the_first_run(checkout, stand_in, tmp_path):
    file, started = Path(stand_in["PYTHON"]), tmp_path / "started"
    file.write_text(file.read_text().replace(") exit ;;", f") : >{started}; exec sleep 60 ;;", 1))
    process = start(checkout / "summary.sh", env=stand_in)
    wait_for(started.exists, process)
    process.terminate()
    _, stderr = process.communicate(timeout=20)
    assert (process.returncode, stderr) == (143, "summary.sh: interrupted by SIGTERM\n")


def terminal(number: signal.Signals):
    """As a terminal signals: the whole group."""
    return lambda process: os.killpg(process.pid, number)


SIGNALS = {
    "INT": (terminal(signal.SIGINT), 130),
    "QUIT": (terminal(signal.SIGQUIT), 131),
    "TERM": (subprocess.Popen.terminate, 143),
    "HUP": (terminal(signal.SIGHUP), 129),
}


def in_mid_run(checkout: Path) -> bool:
    return any((checkout / ".new").rglob("*.txt"))


def assert_interrupted(checkout: Path, wrapper: str, name: str, **options) -> None:
    """A signal ends the wrapper and its script, and leaves what was stored."""
    send, status = SIGNALS[name]
    before = files_in(checkout)
    process = start(checkout / wrapper, **options)
    wait_for(lambda: in_mid_run(checkout), process)
    send(process)
    stdout, stderr = process.communicate(timeout=20)  # which waits for all that have the pipes
    assert (process.returncode, stdout) == (status, "")
    last = stderr.splitlines()[-1]
    during = "its rounds" if "stats" in wrapper else "mem.py"
    assert last.startswith(f"{wrapper}: interrupted by SIG{name} in {during}")
    assert "Traceback" not in stderr
    assert files_in(checkout) == before and not list(checkout.rglob(".new"))


# Every signal in every shell is the next test's, with the stand-in.
@pytest.mark.parametrize(("wrapper", "name"), list(zip(WRAPPERS, SIGNALS, strict=False)))
def test_interrupted(checkout, wrapper, name, ready):
    assert_interrupted(checkout, wrapper, name, env=ready)


@pytest.mark.parametrize("name", SIGNALS)
@every_shell
def test_interrupted_in_every_shell(checkout, shell, name, stand_in):
    env = {**stand_in, "STAND_IN_SLEEPS": str(checkout.parent / "asleep")}
    assert_interrupted(checkout, "cpu/stats.sh", name, shell=shell, env=env)


def test_signals_that_come_together_interrupt_once():
    # As where a terminal hangs up: its SIGHUP, and the SIGTERM of the wrapper that had it too.
    together = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
from backbone.command.interrupts import Interrupted, interrupts_raised
signals = (signal.SIGHUP, signal.SIGTERM)
try:
    with interrupts_raised():
        signal.pthread_sigmask(signal.SIG_BLOCK, signals)
        for each in signals:
            os.kill(os.getpid(), each)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)
except Interrupted as interrupted:
    print("interrupted by", interrupted.number)
"""
    command = [sys.executable, "-c", together, str(ROOT)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert (result.returncode, result.stdout, result.stderr) == (0, "interrupted by 1\n", "")


@every_shell
def test_interrupted_when_nobody_reads(checkout, shell, stand_in, tmp_path):
    # As Ctrl-C does to `sh cpu/stats.sh 2>&1 | tee log`: tee may be the first to go.
    before, asleep = files_in(checkout), tmp_path / "asleep"
    env = {**stand_in, "STAND_IN_SLEEPS": str(asleep)}
    process = start(checkout / "cpu/stats.sh", shell=shell, env=env)
    wait_for(asleep.exists, process)
    process.stderr.close()
    process.terminate()
    assert process.wait(timeout=20) == 143
    assert files_in(checkout) == before and not list(checkout.rglob(".new"))


@every_shell
def test_ends_when_nobody_reads(checkout, shell, stand_in):
    before = files_in(checkout)
    process = start(checkout / "cpu/stats.sh", shell=shell, env=stand_in)
    process.stderr.readline()
    process.stderr.close()
    assert process.wait(timeout=20) == 141
    assert files_in(checkout) == before and not list(checkout.rglob(".new"))


def test_killed_in_a_later_round_then_two_at_once_then_run_again(checkout, stand_in, tmp_path):
    before, asleep = files_in(checkout), tmp_path / "asleep"
    env = {**stand_in, "STAND_IN_SLEEPS": str(asleep), "STAND_IN_ROUND": "2", "ROUNDS": "2"}
    process = start(checkout / "cpu/stats.sh", env=env)
    wait_for(asleep.exists, process)
    (rounds,) = psutil.Process(process.pid).children()
    runs = rounds.children()
    assert len(runs) == 6

    second = run(checkout / "summary.sh", env=stand_in)
    assert (second.returncode, second.stdout) == (1, "")
    assert "another run is at work on this machine" in second.stderr

    process.kill()
    process.wait()
    # What the wrapper left behind is still at work, and would disturb another.
    third = run(checkout / "cpu/stats.sh", env=stand_in)
    assert third.returncode == 1 and "another run is at work" in third.stderr
    assert {name: files_in(checkout)[name] for name in before} == before

    # The one who hands out turns is killed: its runs end by themselves.
    rounds.kill()
    _, alive = psutil.wait_procs(runs, timeout=20)
    assert not alive
    process.communicate(timeout=20)
    fourth = run(checkout / "cpu/stats.sh", env=stand_in)
    assert fourth.returncode == 0, fourth.stderr
    assert files_in(checkout).keys() == before.keys()
    assert not list(checkout.rglob(".new"))
    for file in CPU_TIMES:  # nothing of the killed rounds is in it
        rounds = 2 if "pascal" in file else 1
        assert (checkout / file).read_text().count("timer.py") == rounds


def test_two_machines_on_one_checkout(checkout, stand_in, tmp_path):
    asleep = tmp_path / "asleep"
    one = {**stand_in, "RESULTS": "devices/one", "STAND_IN_SLEEPS": str(asleep)}
    process = start(checkout / "cpu/stats.sh", env=one)
    wait_for(asleep.exists, process)
    another = {**stand_in, "TEST_MACHINE": str(tmp_path / "another machine")}

    same = run(checkout / "cpu/stats.sh", env={**another, "RESULTS": "devices/one/"})
    assert (same.returncode, same.stdout) == (1, "")
    assert same.stderr == (
        "cpu/stats.sh: a run on another machine writes the same results; "
        "name others with RESULTS=...\n"
    )
    other = run(checkout / "cpu/stats.sh", env={**another, "RESULTS": "devices/two"})
    assert other.returncode == 0, other.stderr
    stored = {str(file.relative_to(checkout)) for file in checkout.glob("devices/two/**/*.*n")}
    assert len(stored) == 12
    process.terminate()
    process.communicate(timeout=20)
