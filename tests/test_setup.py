"""Which interpreter a wrapper takes, and how it makes one."""

import contextlib
import fcntl
import http.server
import os
import sys
import sysconfig
import threading
import venv
import zipfile
from pathlib import Path

import pytest
from project import ENVIRONMENT, ROOT, patch, python
from wrappers import files_in, run, start, wait_for

# In place of mem.py, which takes time.
QUICK_SCRIPT = """
import argparse, sys
from pathlib import Path
from backbone.command import flags

def make_parser():
    parser = flags.script_parser("")
    parser.set_defaults(struct="True", device="auto", json=None)
    return parser

if __name__ == "__main__":
    Path(sys.argv[-1]).write_text("{}")
    print("a structure")
"""
PLAN = ("mem.py --struct True", "mem.py")


@pytest.fixture
def without_libraries(checkout, tmp_path) -> dict[str, str]:
    """The environment with a python3 that has no libraries, and with requirements that bring the
    tests' own: a wheel with a path to them."""
    venv.create(tmp_path / "bare", symlinks=True)
    wheel = checkout / "everything-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("everything.pth", sysconfig.get_path("purelib") + "\n")
        info = "everything-1.0.dist-info/"
        metadata = "Metadata-Version: 2.1\nName: everything\nVersion: 1.0\n"
        archive.writestr(info + "METADATA", metadata)
        tags = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        archive.writestr(info + "WHEEL", tags)
        archive.writestr(info + "RECORD", "")
    (checkout / "requirements.txt").write_text(f"./{wheel.name}\n")
    (checkout / "mem.py").write_text(QUICK_SCRIPT)
    patch(checkout / "summary.sh", *PLAN)
    env = {**ENVIRONMENT, "PATH": f"{tmp_path}/bare/bin:{os.environ['PATH']}"}
    env["PIP_NO_INDEX"] = "1"
    del env["PYTHON"]
    return env


def test_first_set_up_interrupted_and_repeated(checkout, without_libraries):
    env = without_libraries
    before = files_in(checkout)
    process = start("summary.sh", cwd=checkout, env=env)
    wait_for((checkout / ".venv/lib").exists, process)
    process.terminate()
    stderr = process.communicate(timeout=20)[1]
    assert process.returncode == 143
    assert "setting up: making .venv" in stderr
    assert "interrupted by SIGTERM while setting up .venv; the next start goes on" in stderr
    assert before.items() <= files_in(checkout).items()

    again = run("summary.sh", cwd=checkout, env=env)
    assert again.returncode == 0, again.stderr
    assert "starting over with .venv" in again.stderr
    assert (checkout / "model_structures/mobilenetv2_pascal.txt").read_text() == "a structure\n"
    assert not (checkout / ".venv.unfinished").exists()
    third = run("summary.sh", cwd=checkout, env=env)
    assert third.returncode == 0 and "setting up" not in third.stderr

    # Interrupted while libraries were installed: what can be imported already may not be whole.
    (checkout / ".venv.unfinished").touch()
    (checkout / "requirements.txt").write_text("./missing-1.0-py3-none-any.whl\n")
    failed = run("summary.sh", cwd=checkout, env=env)
    assert failed.returncode == 1 and "starting over with .venv" in failed.stderr
    assert failed.stderr.splitlines()[-1].startswith("summary.sh: cannot install requirements.txt")


def test_set_up_that_brings_too_little_ends(checkout, without_libraries):
    (checkout / "requirements.txt").write_text("# nothing\n")
    result = run(checkout / "summary.sh", env=without_libraries)
    assert (result.returncode, result.stdout) == (1, "")
    said = "summary.sh: what requirements.txt installs cannot be imported"
    assert result.stderr.splitlines()[-1] == said


def test_two_machines_set_up_one_after_the_other(checkout, without_libraries):
    """The second one finds what the first one has installed."""
    with open(checkout / ".venv.lock", "w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        process = start(checkout / "summary.sh", env=without_libraries)
        line = process.stderr.readline()
        assert line == "summary.sh: waiting for another machine to finish setting up .venv\n"
        (checkout / ".venv/bin").mkdir(parents=True)
        (checkout / ".venv/bin/python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
        (checkout / ".venv/bin/python").chmod(0o755)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 0, stderr
    assert "setting up" not in stderr


def test_python_named_from_the_callers_folder(checkout, stand_in, tmp_path):
    (tmp_path / "a python").symlink_to(sys.executable)
    where = {"PYTHON": f"{tmp_path.name}/a python", "PYTHONPATH": os.pathsep.join(sys.path)}
    result = run(checkout / "summary.sh", cwd=tmp_path.parent, env=stand_in | where)
    assert result.returncode == 0, result.stderr
    assert not (checkout / ".venv").exists()


def test_named_python_is_used_or_nothing_is(checkout, tmp_path):
    venv.create(tmp_path / "bare", symlinks=True)
    bare = f"{tmp_path}/bare/bin/python"
    before = files_in(checkout)
    for name, words in (
        (bare, f"PYTHON={bare} cannot import what is needed; install requirements.txt there"),
        ("no-such-python", "PYTHON=no-such-python is not a program"),
        ("/bin/true", "PYTHON=/bin/true is not Python"),
    ):
        # The tests' own interpreter, which could be used, is python3 here.
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        result = run(checkout / "summary.sh", env={**ENVIRONMENT, "PATH": path, "PYTHON": name})
        assert (result.returncode, result.stdout) == (1, "")
        assert words in result.stderr.splitlines()[-1]
        assert "Traceback" not in result.stderr and result.stderr.count("\n") <= 2
    assert files_in(checkout) == before


SET_UP = """
import sys
sys.path[:0] = ["shell"]
sys.argv = ["setup.py", "requirements.txt", "stats.sh", "stats.sh"]
import pathlib
import setup
setup.has_nvidia_driver = lambda: {driver}
setup.PYTHON = pathlib.Path(sys.executable)
setup.PATIENCE = 1
setup.CPU_INDEX = {index!r}
print(setup.index_flags())
"""


@contextlib.contextmanager
def index(answers: bool):
    """The address of an index on this machine, which answers or keeps silent."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            if not answers:
                silent.wait(20)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    silent = threading.Event()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        silent.set()
        server.shutdown()


@pytest.mark.parametrize(
    ("driver", "configured", "answers", "has_flags"),
    [
        (False, {}, True, True),
        (True, {}, True, False),
        (False, {"PIP_INDEX_URL": "https://here"}, True, False),
        (False, {"PIP_EXTRA_INDEX_URL": "https://here"}, True, False),
        (False, {}, False, False),
    ],
)
def test_wheels_without_cuda(driver, configured, answers, has_flags):
    """They come from PyTorch's index: without a driver, unless the user has configured an index, or
    this one is silent."""
    env = {name: value for name, value in ENVIRONMENT.items() if not name.startswith("PIP_")}
    env |= {"PIP_CONFIG_FILE": os.devnull, "no_proxy": "*"} | configured
    with index(answers) as address:
        code = SET_UP.format(driver=driver, index=address)
        result = python("-c", code, env=env)
    expected = ["--extra-index-url", address] if has_flags else []
    assert (result.returncode, result.stdout) == (0, f"{expected}\n"), result.stderr
    said = f"stats.sh: {address} does not answer; installing PyTorch with CUDA, which is larger\n"
    assert result.stderr == ("" if answers else said)


CHECK = """
import runpy, shutil, sys
import torch
torch.__version__ = torch.torch_version.TorchVersion("2.13.0+cpu")
torch.version.cuda = None
found = shutil.which
shutil.which = lambda name: "/usr/bin/nvidia-smi" if name == "nvidia-smi" else found(name)
sys.argv = ["shell/check.py", "requirements.txt"]
runpy.run_path("shell/check.py", run_name="__main__")
"""


@pytest.mark.parametrize(
    ("visible", "said"),
    [
        (
            "0",
            "PyTorch 2.13.0+cpu has no CUDA, but this machine has an NVIDIA driver; remove .venv",
        ),
        ("", "no CUDA device here (PyTorch 2.13.0+cpu is built without CUDA)"),
    ],
)
def test_pytorch_without_cuda_beside_a_driver(visible, said):
    """Unless the user hides the GPUs."""
    result = python("-c", CHECK, env={**ENVIRONMENT, "CUDA_VISIBLE_DEVICES": visible})
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(said) and result.stdout.count("\n") == 1


def test_requirements_are_what_is_imported():
    """Each file that check.py knows is there."""
    sys.path.insert(0, str(ROOT / "shell"))
    try:
        from check import NEEDED
    finally:
        sys.path.remove(str(ROOT / "shell"))
    assert all((ROOT / file).exists() for file in NEEDED)
