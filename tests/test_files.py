"""Files that are written whole, whatever ends their writing: a full disk or a signal."""

import os
import resource
import signal
from pathlib import Path

import pytest
from project import ROOT, script

from backbone.command.errors import Failure
from backbone.command.files import check_writable, write_whole

OLD, NEW = "as it was\n", "what is new\n"
FULL = OSError(28, "No space left on device")

# A script that writes a file whose path is its only argument; it ends as all scripts do.
SCRIPT = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from backbone.command import ending
from backbone.command.files import write_whole
def main():
    write_whole(sys.argv[1], {NEW!r})
    print("went on")
ending.run(main)
"""

# To run before: a signal comes before or after one of the steps of a write.
SIGNAL = """
import os, pathlib, resource, signal
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # SIGQUIT would leave a file
step = {step}
def interrupted(*arguments, **options):
    if {before}:
        os.kill(os.getpid(), signal.{name})
    done = step(*arguments, **options)
    if not {before}:
        os.kill(os.getpid(), signal.{name})
    return done
{step} = interrupted
"""
MOMENTS = [
    ("pathlib.Path.open", False),
    ("os.fsync", True),
    ("pathlib.Path.replace", True),
    ("pathlib.Path.replace", False),
]
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


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """The script, in a file."""
    file = tmp_path / "script.py"
    file.write_text(SCRIPT)
    return file


def assert_alone(file: Path, text: str) -> None:
    """The file holds this text, and nothing else is in its folder."""
    assert file.read_text() == text
    assert list(file.parent.iterdir()) == [file]


def fail(*_: object) -> None:
    raise FULL


@pytest.mark.parametrize(("module", "step"), [(os, "fsync"), (Path, "replace")])
def test_failure_leaves_the_old_file(file, monkeypatch, module, step):
    with monkeypatch.context() as patched:
        patched.setattr(module, step, fail)
        with pytest.raises(Failure, match=r"cannot write .*README\.md: No space left on device"):
            write_whole(file, NEW)
    assert_alone(file, OLD)
    write_whole(file, NEW)
    assert_alone(file, NEW)


def test_text_that_is_cut_short_leaves_the_old_file(file):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(NEW) // 2, limits[1]))
    try:
        with pytest.raises(Failure, match=r"cannot write .*README\.md: File too large"):
            write_whole(file, NEW)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert_alone(file, OLD)


def test_file_is_synced_before_it_replaces_the_old_one(file, monkeypatch):
    synced = []

    def fsync(handle: int) -> None:
        status = os.fstat(handle)
        synced.append((status.st_ino, file.read_text()))

    monkeypatch.setattr(os, "fsync", fsync)
    write_whole(file, NEW)
    assert synced == [(file.stat().st_ino, OLD), (file.parent.stat().st_ino, NEW)]


@pytest.mark.parametrize("name", STATUSES)
@pytest.mark.parametrize(("step", "before"), MOMENTS)
def test_signal_leaves_a_whole_file(file, program, step, before, name):
    signalled = SIGNAL.format(step=step, before=before, name=name)
    result = script(program, file, before=signalled)
    assert (result.returncode, result.stdout, result.stderr) == (STATUSES[name], "", "")
    assert_alone(file, NEW)


@pytest.mark.parametrize("name", ["SIGINT", "SIGHUP"])
def test_ignored_signal_stays_ignored(file, program, name):
    # As in the background (&), or under nohup.
    signalled = SIGNAL.format(step="pathlib.Path.replace", before=True, name=name)
    ignored = f"{signalled}\nsignal.signal(signal.{name}, signal.SIG_IGN)"
    result = script(program, file, before=ignored)
    assert (result.returncode, result.stdout, result.stderr) == (0, "went on\n", "")
    assert_alone(file, NEW)


def test_link_stays_a_link(file, tmp_path):
    link = tmp_path / "link.md"
    link.symlink_to("folder/README.md")
    write_whole(link, NEW)
    assert link.is_symlink() and os.readlink(link) == "folder/README.md"
    assert_alone(file, NEW)


def test_what_is_no_file_is_not_replaced(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (pipe, tmp_path, "/dev/null"):
        with pytest.raises(Failure, match=f"cannot write {path}: it is there, and is no file"):
            check_writable(path)
