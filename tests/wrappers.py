"""How tests run wrappers: in a copy of the checkout whose path has spaces."""

import hashlib
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from project import ENVIRONMENT, ROOT, patch

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
WRAPPERS = {  # what each leaves, and flags that make it quick
    "cpu/stats.sh": (CPU_TIMES, ["--iterations", "2", "--warmup", "0"]),
    "mem_report.sh": ([f"memory_reports/{file}" for file in REPORTS], []),
    "summary.sh": ([f"model_structures/{file}" for file in REPORTS], []),
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
    lock = (
        f'machine_lock="${{TEST_MACHINE-{tmp_path}/machine}}"'  # a machine of its own, or another
    )
    patch(copy / "shell/locks.sh", "machine_lock=/tmp/mobilenetv2-profile.lock", lock)
    for files, _ in WRAPPERS.values():
        for file in files:
            (copy / file).parent.mkdir(parents=True, exist_ok=True)
            (copy / file).write_text(f"old {file}\n")
    return copy


def files_in(folder: Path) -> dict[str, str]:
    """Every file in a folder but Python's caches, with a digest of its bytes."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.name != ".lock"
    }


def start(wrapper: Path | str, *flags: str, shell=("sh",), **options) -> subprocess.Popen:
    if shutil.which(shell[0]) is None:
        pytest.skip(f"no {shell[0]} here")
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    options = {"env": ENVIRONMENT, "start_new_session": True} | pipes | options
    return subprocess.Popen([*shell, str(wrapper), *flags], **options)


def run(wrapper: Path | str, *flags: str, **options) -> subprocess.CompletedProcess:
    process = start(wrapper, *flags, **options)
    stdout, stderr = process.communicate(timeout=150)
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


def wait_for(condition, process: subprocess.Popen) -> None:
    for _ in range(600):
        if condition():
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    pytest.fail("waited in vain")


# Names results as shell/names.py does, for any network: to ask torchvision for it takes seconds.
NAMES = """
import runpy, sys
from backbone.network import catalog
catalog.check_named = lambda workload, refuse: None
del sys.argv[0]
runpy.run_path("shell/names.py", run_name="__main__")
"""


@pytest.fixture
def stand_in(tmp_path: Path) -> dict[str, str]:
    """The environment, of one round, with an interpreter that finds all libraries, and a CUDA
    device where STAND_IN_CUDA is set, and runs tests/stand_in.py in place of the scripts: what a
    wrapper does takes no torch to see. All else it leaves to Python."""
    file = tmp_path / "python of its own"
    file.write_text(f"""#!/bin/sh
case "$1 ${{2-}}" in
  *tracebacklimit*import*) exit ;;
  *why_no_cuda*) exit "${{STAND_IN_CUDA-3}}" ;;
  shell/names.py*) exec "{sys.executable}" -c '{NAMES}' "$@" ;;
  timer.py* | cpu/timer.py* | mem.py*) exec "{sys.executable}" "{ROOT}/tests/stand_in.py" "$@" ;;
esac
exec "{sys.executable}" "$@"
""")
    file.chmod(0o755)
    return {**ENVIRONMENT, "PYTHON": str(file), "ROUNDS": "1"}


@pytest.fixture
def ready(stand_in) -> dict[str, str]:
    """The environment with an interpreter that runs the scripts, and only takes the libraries for
    granted, whose import takes seconds."""
    lines = Path(stand_in["PYTHON"]).read_text().splitlines(keepends=True)
    file = Path(stand_in["PYTHON"]).with_name("python that is ready")
    own = [line for line in lines if "why_no_cuda" not in line and "stand_in.py" not in line]
    assert len(lines) > len(own)
    file.write_text("".join(own))
    file.chmod(0o755)
    return {**stand_in, "PYTHON": str(file)}
