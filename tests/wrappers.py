"""How tests run wrappers: in a copy of the checkout whose path has spaces."""

import hashlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from project import ENVIRONMENT, ROOT, patch, without_note

from backbone.record import records
from backbone.record.rows import Record

TIMES = [
    f"{folder}mobilenetv2_{dataset}.{kind}"
    for folder in ("", "blocks/", "layers/")
    for dataset in ("cityscapes", "pascal")
    for kind in ("txt", "json")
]
REPORTS = [
    f"mobilenetv2_{dataset}.{kind}"
    for dataset in ("cityscapes", "pascal")
    for kind in ("txt", "json")
]
CPU_TIMES = [f"cpu/mobilenetv2_stats{end}/{file}" for end in ("", "_keep-memory") for file in TIMES]
WRAPPERS = {  # what each leaves
    "cpu/stats.sh": CPU_TIMES,
    "mem_report.sh": [f"memory_reports/{file}" for file in REPORTS],
    "summary.sh": [f"model_structures/{file}" for file in REPORTS],
}
SHELLS = [["dash"], ["busybox", "sh"], ["bash", "--posix"], ["bash"]]
every_wrapper = pytest.mark.parametrize("wrapper", WRAPPERS)
every_shell = pytest.mark.parametrize("shell", SHELLS, ids=" ".join)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The project's own files in a folder with spaces, an old result for each wrapper, and images
    and ceilings so small that they take no time."""
    copy = tmp_path / "a check out"
    names = ("backbone", "cpu", "shell", "*.py", "*.sh", "requirements*.txt")
    for path in (path for name in names for path in ROOT.glob(name)):
        if path.is_dir():
            ignore = shutil.ignore_patterns("__pycache__", "*_stats*")
            shutil.copytree(path, copy / path.name, ignore=ignore)
        else:
            copy.mkdir(exist_ok=True)
            shutil.copy(path, copy)
    patch(copy / "backbone/command/options.py", "1024, 2048", "64, 96")
    patch(copy / "backbone/measure/ceilings.py", '"cpu": 2048', '"cpu": 64')
    patch(copy / "backbone/measure/ceilings.py", "2**29", "2**20")
    for file in (file for files in WRAPPERS.values() for file in files):
        (copy / file).parent.mkdir(parents=True, exist_ok=True)
        (copy / file).write_text(f"old {file}\n")
    return copy


CHECK = """
import os
if os.environ.get("STAND_IN_CHECK") == "fails":
    raise SystemExit("no torch")
print(os.environ.get("STAND_IN_CUDA", "no CUDA device here (a stand-in)"))
"""
MEM = """
def main() -> None:
    print(" ".join(sys.argv[1:-2]))
    files.write_whole(sys.argv[-1], "{}\\n")
    if os.environ.get("STAND_IN_FAILS", "never") in " ".join(sys.argv):
        sys.exit(3)
    if "STAND_IN_SLEEPS" in os.environ:
        files.write_whole(os.environ["STAND_IN_SLEEPS"], "")
        import time; time.sleep(60)


if __name__"""


@pytest.fixture
def stand_in(checkout: Path, tmp_path: Path) -> dict[str, str]:
    """The environment, of one round. The scripts in the checkout become those of stand_in.py: what
    a wrapper does takes no torch to see. STAND_IN_CUDA is what is found of CUDA."""
    shutil.copy(ROOT / "tests/stand_in.py", checkout / "backbone/measure/script.py")
    with (checkout / "backbone/measure/reference.py").open("a") as reference:
        reference.write("\n\ndef compute_reference(*_):\n    return None\n")
    (checkout / "shell/check.py").write_text(CHECK)
    patch(checkout / "mem.py", "import sys\n", "import os\nimport sys\n")
    patch(checkout / "mem.py", "if __name__", MEM)
    (tmp_path / "starts").mkdir()
    return {**ENVIRONMENT, "ROUNDS": "1", "STAND_IN_STARTS": str(tmp_path / "starts")}


def files_in(folder: Path) -> dict[str, str]:
    """Every file in a folder but Python's caches, with a digest of its bytes."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def load(folder: Path, *files: str) -> list[Record]:
    """The records of these names in a folder."""
    return [records.load(folder / file) for file in files]


started: list[subprocess.Popen] = []


@pytest.fixture(autouse=True)
def nothing_left_running():
    """A test that fails half way leaves no process, whose lock others would wait for."""
    yield
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    started.clear()


def start(wrapper: Path | str, *flags: str, shell=("sh",), **options) -> subprocess.Popen:
    if shutil.which(shell[0]) is None:
        pytest.skip(f"no {shell[0]} here")
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    options = {"env": ENVIRONMENT, "start_new_session": True} | pipes | options
    process = subprocess.Popen([*shell, str(wrapper), *flags], **options)
    started.append(process)
    return process


def run(wrapper: Path | str, *flags: str, **options) -> subprocess.CompletedProcess:
    process = start(wrapper, *flags, **options)
    stdout, stderr = process.communicate(timeout=150)
    stderr = without_note(stderr)
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


def wait_for(condition, process: subprocess.Popen) -> None:
    for _ in range(600):
        if condition():
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    pytest.fail("waited in vain")
