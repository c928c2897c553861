"""Files that are written whole, whatever ends their writing: a full disk, a signal, or others that
write them at the same time."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from project import ENVIRONMENT, ROOT, script

from backbone.command.errors import Failure
from backbone.command.files import update_whole, write_whole

OLD, NEW = "as it was\n", "what is new\n"
FULL = OSError(28, "No space left on device")

# Scripts that write a file whose path is their only argument; their ends are those of all scripts.
WRITERS = {
    "write_whole": f"write_whole(sys.argv[1], {NEW!r})",
    "update_whole": f"update_whole(sys.argv[1], lambda old: {NEW!r})",
}
SCRIPT = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from backbone.command import ending
from backbone.command.files import update_whole, write_whole
def main():
    {{writer}}
    print("went on")
ending.run(main)
"""

# To run before: a signal comes before or after one of the two steps of a write.
SIGNAL = """
import os, pathlib, resource, signal
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # SIGQUIT would leave a file
step = pathlib.Path.{step}
def interrupted(*arguments, **options):
    if {before}:
        os.kill(os.getpid(), signal.{name})
    done = step(*arguments, **options)
    if not {before}:
        os.kill(os.getpid(), signal.{name})
    return done
pathlib.Path.{step} = interrupted
"""
MOMENTS = [("write_text", True), ("write_text", False), ("replace", True), ("replace", False)]
# SIGINT ends a script by its own status; others end it themselves.
STATUSES = {"SIGINT": 130, "SIGTERM": -signal.SIGTERM, "SIGHUP": -signal.SIGHUP}
STATUSES |= {"SIGQUIT": -signal.SIGQUIT}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file that is alone in its folder."""
    file = tmp_path / "folder/README.md"
    file.parent.mkdir()
    file.write_text(OLD)
    return file


def write_by(writer: str, file: Path) -> None:
    """Write the new text with one of the two functions."""
    if writer == "write_whole":
        write_whole(file, NEW)
    else:
        update_whole(file, lambda old: NEW)


def assert_alone(file: Path, text: str) -> None:
    """The file holds this text, and nothing else is in its folder."""
    assert file.read_text() == text
    assert list(file.parent.iterdir()) == [file]


def fail_half_way(step: Callable) -> Callable:
    """A step of a write on a disk that gets full: half of a text is written, a file isn't moved."""

    def failing(path: Path, argument: str | Path, **options) -> None:
        if isinstance(argument, str):
            step(path, argument[: len(argument) // 2], **options)
        raise FULL

    return failing


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("step", ["write_text", "replace"])
def test_full_disk_leaves_the_old_file(file, monkeypatch, writer, step):
    with monkeypatch.context() as patched:
        patched.setattr(Path, step, fail_half_way(getattr(Path, step)))
        with pytest.raises(Failure, match=r"cannot write .*README\.md: No space left on device"):
            write_by(writer, file)
    assert_alone(file, OLD)
    write_by(writer, file)
    assert_alone(file, NEW)


@pytest.mark.parametrize("name", STATUSES)
@pytest.mark.parametrize(("step", "before"), MOMENTS)
@pytest.mark.parametrize("writer", WRITERS)
def test_signal_leaves_a_whole_file(file, tmp_path, writer, step, before, name):
    (tmp_path / "script.py").write_text(SCRIPT.format(writer=WRITERS[writer]))
    signalled = SIGNAL.format(step=step, before=before, name=name)
    result = script(tmp_path / "script.py", file, before=signalled)
    assert (result.returncode, result.stdout, result.stderr) == (STATUSES[name], "", "")
    assert file.read_text() in (OLD, NEW)
    assert_alone(file, file.read_text())


@pytest.mark.parametrize("name", ["SIGINT", "SIGHUP"])
def test_ignored_signal_stays_ignored(file, tmp_path, name):
    # As in the background (&), or under nohup.
    (tmp_path / "script.py").write_text(SCRIPT.format(writer=WRITERS["write_whole"]))
    signalled = SIGNAL.format(step="replace", before=True, name=name)
    ignored = f"{signalled}\nsignal.signal(signal.{name}, signal.SIG_IGN)"
    result = script(tmp_path / "script.py", file, before=ignored)
    assert (result.returncode, result.stdout, result.stderr) == (0, "went on\n", "")
    assert_alone(file, NEW)


@pytest.mark.parametrize("there", [True, False])
def test_update_is_told_what_the_file_holds(file, there):
    if not there:
        file.unlink()
    told = []

    def change(old: str | None) -> str:
        told.append(old)
        return NEW

    update_whole(file, change)
    assert told == [OLD if there else None]
    assert_alone(file, NEW)


def test_update_that_cannot_be_made_leaves_the_file(file):
    def refuse(old: str | None) -> str:
        raise Failure("runs of other conditions")

    with pytest.raises(Failure, match="runs of other conditions"):
        update_whole(file, refuse)
    assert_alone(file, OLD)


def test_updates_at_once_lose_nothing(file):
    adding = """
import sys
sys.path.insert(0, sys.argv[1])
from backbone.command.files import update_whole
for number in range(200):
    update_whole(sys.argv[2], lambda old: f"{old}{sys.argv[3]} {number}\\n")
"""
    names = ("first", "second", "third")
    command = [sys.executable, "-c", adding, str(ROOT), str(file)]
    processes = [subprocess.Popen([*command, name]) for name in names]
    assert [process.wait(timeout=60) for process in processes] == [0, 0, 0]
    lines = file.read_text().splitlines()
    assert len(lines) == 1 + 3 * 200
    for name in names:
        expected = [f"{name} {number}" for number in range(200)]
        assert [line for line in lines if line.startswith(name)] == expected
    assert_alone(file, file.read_text())


@pytest.fixture
def waiting(file: Path, tmp_path: Path) -> Iterator[subprocess.Popen]:
    """A script that would update the file, while the lock of another update is held."""
    writer = f"print('begun', flush=True); {WRITERS['update_whole']}"
    (tmp_path / "script.py").write_text(SCRIPT.format(writer=writer))
    with file.with_name(".README.md.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        command = [sys.executable, tmp_path / "script.py", file]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        process = subprocess.Popen(command, **pipes, text=True, env=ENVIRONMENT)
        assert process.stdout.readline() == "begun\n"
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=0.3)
        assert file.read_text() == OLD
        yield process
        if process.returncode is None:
            process.kill()
            process.communicate()


def test_update_waits_for_the_one_under_way(file, waiting):
    file.with_name(".README.md.lock").unlink()  # as the other one does when it has ended
    stdout, stderr = waiting.communicate(timeout=60)
    assert (waiting.returncode, stdout, stderr) == (0, "went on\n", "")
    assert_alone(file, NEW)


def test_wait_for_an_update_can_be_ended(file, waiting):
    waiting.send_signal(signal.SIGINT)
    stdout, stderr = waiting.communicate(timeout=60)
    assert (waiting.returncode, stdout, stderr) == (130, "", "")
    assert file.with_name(".README.md.lock").exists()
    assert file.read_text() == OLD


def test_lock_that_was_removed_meanwhile_is_none(file, monkeypatch):
    lock, flock = file.with_name(".README.md.lock"), fcntl.flock
    events = []

    def flock_late(handle, operation: int) -> None:
        if not events:
            lock.unlink()  # who had it has ended since the file was opened, and another has begun
            lock.touch()
            events.append("another began")
        else:
            events.append("another ended")
        flock(handle, operation)

    def change(old: str | None) -> str:
        events.append("the file changed")
        return NEW

    monkeypatch.setattr(fcntl, "flock", flock_late)
    update_whole(file, change)
    assert events == ["another began", "another ended", "the file changed"]
    assert_alone(file, NEW)


def test_lock_of_a_killed_process_is_in_nobodys_way(file):
    file.with_name(".README.md.lock").touch()
    update_whole(file, lambda old: NEW)
    assert_alone(file, NEW)


@pytest.mark.parametrize("writer", WRITERS)
def test_link_stays_a_link(file, tmp_path, writer):
    link = tmp_path / "link.md"
    link.symlink_to("folder/README.md")
    write_by(writer, link)
    assert link.is_symlink() and os.readlink(link) == "folder/README.md"
    assert_alone(file, NEW)


def test_pipe_is_written_in_place(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_whole(pipe, NEW)
    assert os.read(reader, 100).decode() == NEW
    os.close(reader)
    assert pipe.is_fifo() and list(tmp_path.iterdir()) == [pipe]


def test_file_system_without_locks_loses_nothing(tmp_path, monkeypatch):
    def flock(file, operation):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", flock)
    file = tmp_path / "record.json"
    update_whole(file, lambda text: "new")
    assert file.read_text() == "new" and list(tmp_path.iterdir()) == [file]
