"""Which interpreter a wrapper takes, and how it makes one."""

import fcntl
import os
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

from project import ENVIRONMENT, ROOT
from wrappers import (
    files_in,
    run,
    start,
    wait_for,
)

# In place of mem.py, which takes time.
QUICK_SCRIPT = """
import sys
from pathlib import Path
from backbone.command.options import MemoryOptions, Workload

def parse_options(words):
    return MemoryOptions(Workload(), structure=True, device="auto")

if __name__ == "__main__":
    Path(sys.argv[-1]).write_text("{}")
    print("a structure")
"""


def test_two_machines_set_up_one_after_the_other(checkout, tmp_path):
    # A python3 that finds the libraries when the other machine has installed them.
    ready, bin_folder = tmp_path / "ready", tmp_path / "bin"
    bin_folder.mkdir()
    (bin_folder / "python3").write_text(f"""#!/bin/sh
case "$2" in *tracebacklimit*import*) [ -e "{ready}" ]; exit ;; esac
case "$1" in mem.py) exec "{sys.executable}" "{ROOT}/tests/stand_in.py" "$@" ;; esac
exec "{sys.executable}" "$@"
""")
    (bin_folder / "python3").chmod(0o755)
    env = {**ENVIRONMENT, "PATH": f"{bin_folder}:{os.environ['PATH']}"}
    del env["PYTHON"]
    asleep = tmp_path / "asleep"
    env["STAND_IN_SLEEPS"] = str(asleep)
    with open(checkout / ".venv.lock", "w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        process = start(checkout / "summary.sh", env=env)
        line = process.stderr.readline()
        assert line == "summary.sh: waiting for another machine, which sets up .venv here\n"
        ready.touch()
    wait_for(asleep.exists, process)
    with open(checkout / ".venv.lock", "w") as third:  # which need not wait while this one measures
        fcntl.flock(third, fcntl.LOCK_EX | fcntl.LOCK_NB)
    process.terminate()
    _, stderr = process.communicate(timeout=20)
    assert process.returncode == 143 and "setting up" not in stderr
    assert not (checkout / ".venv").exists()


def test_first_set_up_interrupted_and_repeated(checkout, tmp_path):
    # A Python without libraries, and requirements that bring the tests' own: a wheel with a path.
    venv.create(tmp_path / "bare", symlinks=True)
    wheel = checkout / "everything-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("everything.pth", sysconfig.get_path("purelib") + "\n")
        info = "everything-1.0.dist-info/"
        archive.writestr(
            info + "METADATA", "Metadata-Version: 2.1\nName: everything\nVersion: 1.0\n"
        )
        archive.writestr(
            info + "WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(info + "RECORD", "")
    (checkout / "requirements.txt").write_text(f"./{wheel.name}\n")
    (checkout / "mem.py").write_text(QUICK_SCRIPT)
    env = {**ENVIRONMENT, "PATH": f"{tmp_path}/bare/bin:{os.environ['PATH']}"}
    del env["PYTHON"]
    before = files_in(checkout)

    process = start(checkout / "summary.sh", env=env)
    wait_for((checkout / ".venv/lib").exists, process)
    process.terminate()
    stderr = process.communicate(timeout=20)[1]
    assert process.returncode == 143
    assert "setting up: making .venv" in stderr and "interrupted by SIGTERM" in stderr
    assert before.items() <= files_in(checkout).items()

    again = run(checkout / "summary.sh", env=env)
    assert (again.returncode, again.stdout) == (0, ""), again.stderr
    assert "starting anew on .venv" in again.stderr
    assert not (checkout / ".venv.unfinished").exists()
    third = run(checkout / "summary.sh", env=env)
    assert third.returncode == 0 and "setting up" not in third.stderr

    # Interrupted while libraries were installed: what can be imported already may not be whole.
    (checkout / ".venv.unfinished").touch()
    (checkout / "requirements.txt").write_text("./missing-1.0-py3-none-any.whl\n")
    failed = run(checkout / "summary.sh", env=env)
    assert failed.returncode == 1 and "starting anew on .venv" in failed.stderr
    assert failed.stderr.splitlines()[-1].startswith("summary.sh: cannot install requirements.txt")


def test_python_named_from_the_callers_folder(checkout, stand_in, tmp_path):
    env = {**stand_in, "PYTHON": f"{tmp_path.name}/python of its own"}
    result = run(checkout / "summary.sh", cwd=tmp_path.parent, env=env)
    assert result.returncode == 0, result.stderr
    assert not (checkout / ".venv").exists()


def test_named_python_is_used_or_nothing_is(checkout, tmp_path):
    venv.create(tmp_path / "bare", symlinks=True)
    bare = f"{tmp_path}/bare/bin/python"
    before = files_in(checkout)
    for name, words in (
        (bare, f"PYTHON={bare} cannot import what is needed; install requirements.txt there"),
        ("no-such-python", "PYTHON=no-such-python is no program"),
        ("/bin/true", "printed nothing"),
    ):
        # The tests' own interpreter, which could be used, is python3 here.
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        env = {**ENVIRONMENT, "PATH": path, "PYTHON": name}
        result = run(checkout / "summary.sh", env=env)
        assert (result.returncode, result.stdout) == (1, "")
        assert words in result.stderr.splitlines()[-1]
        assert "Traceback" not in result.stderr and result.stderr.count("\n") <= 2
    assert files_in(checkout) == before
