"""How tests run wrappers: in a copy of the checkout whose path has spaces."""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from project import ENVIRONMENT, ROOT, patch, without_note

TIMES = [f"cpu/mobilenetv2_stats{end}" for end in ("", "_keep-memory")]
TIMES += [f"{stats}/{target}" for stats in TIMES for target in ("blocks", "layers")]
FOLDERS = [*TIMES, "memory_reports", "model_structures"]
RESULTS = {f"{folder}/mobilenetv2_64x96.{end}" for folder in FOLDERS for end in ("txt", "json")}
CHECK = """
has_nvidia_driver = bool
if __name__ == "__main__":
    import os, tqdm
    print(os.environ.get("STAND_IN_CUDA", "no CUDA device here (a stand-in)"))
"""
NO_CUDA = "no CUDA device here (a stand-in)"
MEM = """
def main():
    from backbone.measure import script
    files.write_whole(sys.argv[-1], "{}")
    script.at("TURN", starts=1)
if __name__"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The project's own files, and old results. STAND_IN_CUDA is what is found of CUDA."""
    copy = tmp_path / "a check out"
    others = (".*", "__pycache__", "*_stats*", "*_reports", "*_structures", "devices", "figures")
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(*others, "tests", "tools", "*.md"))
    (copy / "shell/check.py").write_text(CHECK)
    patch(copy / "backbone/measure/ceilings.py", '"cpu": 2048', '"cpu": 64')  # which takes no time
    patch(copy / "backbone/measure/ceilings.py", "2**29", "2**20")
    for file in RESULTS:
        (copy / file).parent.mkdir(parents=True, exist_ok=True)
        (copy / file).write_text(f"old {file}\n")
    return copy


@pytest.fixture
def stand_in(checkout: Path, tmp_path: Path) -> dict[str, str]:
    """The environment, of one round, in which the checkout's scripts are stand-ins."""
    shutil.copy(ROOT / "tests/stand_in.py", checkout / "backbone/measure/script.py")
    with (checkout / "backbone/measure/reference.py").open("a") as reference:
        reference.write("\n\ndef compute_reference(*_):\n    return None\n")
    patch(checkout / "mem.py", "if __name__", MEM)
    return {**ENVIRONMENT, "ROUNDS": "1", "STAND_IN_LOG": str(tmp_path / "log")}


@pytest.fixture
def echo(tmp_path):
    """The environment with a $PYTHON that prints its folder, and what the driver is to do."""
    file = tmp_path / "a python"
    prints = 'case $1 in */check.py) echo "$STAND_IN_CUDA" ;; *) pwd; printf "%s\\n" "$@" ;; esac'
    file.write_text(f"#!/bin/sh\n{prints}\n")
    file.chmod(0o755)
    return {**ENVIRONMENT, "PYTHON": str(file), "STAND_IN_CUDA": NO_CUDA}


def files_in(folder: Path) -> dict[str, bytes]:
    """The content of every file in a folder but pending results and Python's caches."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not {"__pycache__", ".pending"} & {*path.parts}
    }


started: list[subprocess.Popen] = []


@pytest.fixture(autouse=True)
def nothing_left_running():
    yield  # if a test fails half way, others would wait for a lock
    while started:
        if (process := started.pop()).poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def start(wrapper: Path | str, *flags: str, shell=("sh",), **options) -> subprocess.Popen:
    options = {"env": ENVIRONMENT, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    words = [*shell, str(wrapper), *flags]
    started.append(subprocess.Popen(words, text=True, start_new_session=True, **options))
    return started[-1]


def run(wrapper: Path | str, *flags: str, **options) -> subprocess.CompletedProcess:
    process = start(wrapper, *flags, **options)
    out, err = process.communicate(timeout=150)
    return subprocess.CompletedProcess(process.args, process.returncode, out, without_note(err))


def wait_for(condition, process: subprocess.Popen) -> None:
    while not condition():
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
