"""The wrappers from outside, in a copy of the checkout whose path has spaces."""

import hashlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
import venv
import zipfile
from pathlib import Path

import pyperf
import pytest
from conftest import ENVIRONMENT, ROOT

TIMES = [
    f"{folder}mobilenetv2_{dataset}.{kind}"
    for folder in ("", "blocks/", "layers/")
    for dataset in ("cityscapes", "pascal")
    for kind in ("txt", "json")
]
REPORTS = ["mobilenetv2_cityscapes.txt", "mobilenetv2_pascal.txt"]
WRAPPERS = {  # what each leaves, and flags that make it quick
    "cpu/stats.sh": ("cpu/mobilenetv2_stats", TIMES, ["--iterations", "1", "--warmup", "0"]),
    "mem_report.sh": ("memory_reports", REPORTS, []),
    "summary.sh": ("model_structures", REPORTS, []),
}
SHELLS = [["dash"], ["busybox", "sh"], ["bash", "--posix"], ["bash"]]
every_wrapper = pytest.mark.parametrize("wrapper", WRAPPERS)
every_shell = pytest.mark.parametrize("shell", SHELLS, ids=" ".join)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The project's own files in a folder with spaces, and an old result for each wrapper."""
    copy = tmp_path / "a check out"
    names = ("backbone", "cpu", "*.py", "*.sh", "requirements.txt")
    for path in (path for name in names for path in ROOT.glob(name)):
        if path.is_dir():
            ignore = shutil.ignore_patterns("__pycache__", "mobilenetv2_stats")
            shutil.copytree(path, copy / path.name, ignore=ignore)
        else:
            copy.mkdir(exist_ok=True)
            shutil.copy(path, copy)
    for folder, files, _ in WRAPPERS.values():
        for file in files:
            (copy / folder / file).parent.mkdir(parents=True, exist_ok=True)
            (copy / folder / file).write_text(f"old {file}\n")
    return copy


def files_in(folder: Path) -> dict[str, str]:
    """Every file in a folder but Python's caches, with a digest of its bytes."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def start(wrapper: Path | str, *flags: str, shell=("sh",), **options) -> subprocess.Popen:
    if shutil.which(shell[0]) is None:
        pytest.skip(f"no {shell[0]} here")
    options = {"env": ENVIRONMENT, "start_new_session": True} | options
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([*shell, str(wrapper), *flags], **pipes, **options)


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


@every_wrapper
def test_stores_results_whole_from_another_folder(checkout, wrapper, tmp_path):
    folder, files, quick = WRAPPERS[wrapper]
    before = files_in(checkout)
    result = run(checkout / wrapper, *quick, cwd=tmp_path)
    assert (result.returncode, result.stdout) == (0, ""), result.stderr
    after = files_in(checkout)
    assert after.keys() == before.keys()
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {f"{folder}/{file}" for file in files}
    for file in files:
        assert f"{folder}/{file}".removesuffix(".json").removesuffix(".txt") in result.stderr
        if file.endswith(".json"):
            suite = pyperf.BenchmarkSuite.load(str(checkout / folder / file))
            assert all(b.get_nvalue() == 1 for b in suite.get_benchmarks())
    assert not list(checkout.rglob(".new"))


@every_shell
def test_every_shell_and_a_folder_for_another_device(checkout, shell):
    env = {**ENVIRONMENT, "RESULTS": "devices/a b"}
    before = files_in(checkout)
    result = run("summary.sh", shell=shell, cwd=checkout, env=env)
    assert result.returncode == 0, result.stderr
    new = files_in(checkout).keys() - before.keys()
    assert new == {f"devices/a b/model_structures/{file}" for file in REPORTS}
    assert before.items() <= files_in(checkout).items()


def test_stats_hands_over_without_a_cuda_device(checkout):
    before = files_in(checkout)
    # A batch that no memory holds: it shows who measures, and takes no time.
    result = run(checkout / "stats.sh", "--s", "100000000")
    first, second, third, last = result.stderr.splitlines()
    assert result.returncode == 1
    assert first.startswith("stats.sh: no CUDA device") and "cpu/stats.sh" in first
    assert second.startswith("cpu/stats.sh: cpu/timer.py --i cityscapes --target model")
    assert third.startswith("cpu/timer.py: out of memory")
    assert "failed (exit status 1)" in last
    assert files_in(checkout) == before


def interpreter(folder: Path, words: str, answer: str) -> dict[str, str]:
    """The environment with an interpreter that answers with a command where the code that it is
    given starts with some words."""
    file = folder / "python"
    file.write_text(
        f'#!/bin/sh\ncase ${{2-}} in "{words}"*) {answer} ;; esac\nexec "{sys.executable}" "$@"\n'
    )
    file.chmod(0o755)
    return {**ENVIRONMENT, "PYTHON": str(file)}


def test_stats_does_not_take_a_failing_torch_for_no_cuda_device(checkout, tmp_path):
    before = files_in(checkout)
    env = interpreter(tmp_path, "import sys, torch;", "exit 1")
    result = run(checkout / "stats.sh", env=env)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == "stats.sh: cannot ask torch for a CUDA device\n"
    assert files_in(checkout) == before


def test_interrupted_before_the_first_run(checkout, tmp_path):
    started = tmp_path / "started"
    env = interpreter(tmp_path, "import backbone", f": >{started}; exec sleep 60")
    process = start(checkout / "summary.sh", env=env)
    wait_for(started.exists, process)
    process.terminate()
    _, stderr = process.communicate(timeout=20)
    assert (process.returncode, stderr) == (143, "summary.sh: interrupted by SIGTERM\n")


def test_failing_first_run_leaves_no_folder(checkout):
    shutil.rmtree(checkout / "model_structures")
    assert run(checkout / "summary.sh", "--s", "1" + "0" * 16).returncode == 1
    assert not (checkout / "model_structures").exists()


@every_wrapper
def test_failing_script(checkout, wrapper):
    before = files_in(checkout)
    result = run(checkout / wrapper, "--s", "1" + "0" * 16)
    assert (result.returncode, result.stdout) == (1, "")
    *_, script, last = result.stderr.splitlines()
    assert "out of memory" in script
    assert last.startswith(f"{wrapper}: ") and "--i cityscapes" in last
    assert "failed (exit status 1)" in last and "as it was" in last
    assert files_in(checkout) == before and not list(checkout.rglob(".new"))


@every_wrapper
def test_wrong_flags(checkout, wrapper):
    before = files_in(checkout)
    result = run(checkout / wrapper, "--speed")
    assert (result.returncode, result.stdout) == (2, "")
    assert "unrecognized arguments: --speed" in result.stderr
    for flag in ("--i", "--input=pascal", "--json", "--struct"):
        result = run(checkout / wrapper, flag)
        assert (result.returncode, result.stdout) == (2, "")
        assert result.stderr.startswith(f"{wrapper}: {flag.split('=')[0]} is this wrapper's")
        assert result.stderr.count("\n") == 1
    assert run(checkout / wrapper, "--help").stdout.startswith("usage: ")
    assert files_in(checkout) == before


@every_wrapper
def test_full_disk(checkout, wrapper):
    before = files_in(checkout)
    result = run(
        checkout / wrapper,
        *WRAPPERS[wrapper][2],
        # As on a disk with 64 bytes left: no file can grow beyond that.
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64)),
    )
    assert (result.returncode, result.stdout) == (1, "")
    *_, script, last = result.stderr.splitlines()
    assert "cannot write" in script or "cannot go on: File too large" in script
    assert "failed (exit status 1)" in last
    assert files_in(checkout) == before and not list(checkout.rglob(".new"))
    assert not list(checkout.rglob("__pycache__"))  # nor a cache that is cut short


def interrupt(process: subprocess.Popen) -> None:
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the whole group


SIGNALS = {"INT": (interrupt, 130), "TERM": (subprocess.Popen.terminate, 143)}


def in_mid_run(checkout: Path, wrapper: str) -> bool:
    return (checkout / WRAPPERS[wrapper][0] / ".new/mobilenetv2_cityscapes.txt").exists()


@pytest.mark.parametrize("name", SIGNALS)
@pytest.mark.parametrize(
    ("wrapper", "shell"),
    [*((w, SHELLS[0]) for w in WRAPPERS), *(("summary.sh", shell) for shell in SHELLS[1:])],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_interrupted(checkout, wrapper, shell, name):
    send, status = SIGNALS[name]
    before = files_in(checkout)
    process = start(checkout / wrapper, shell=shell)
    wait_for(lambda: in_mid_run(checkout, wrapper), process)
    send(process)
    stdout, stderr = process.communicate(timeout=20)
    assert (process.returncode, stdout) == (status, "")
    last = stderr.splitlines()[-1]
    assert last.startswith(f"{wrapper}: interrupted by SIG{name} in ") and "--i cityscapes" in last
    assert "Traceback" not in stderr
    assert files_in(checkout) == before and not list(checkout.rglob(".new"))


@every_wrapper
def test_killed_then_two_at_once_then_run_again(checkout, wrapper):
    quick = WRAPPERS[wrapper][2]
    before = files_in(checkout)
    process = start(checkout / wrapper, "--s", "2")
    wait_for(lambda: in_mid_run(checkout, wrapper), process)
    (script,) = children(process.pid)
    os.kill(script, signal.SIGSTOP)  # else the quickest script could end by itself meanwhile

    second = run(checkout / wrapper, *quick)
    assert (second.returncode, second.stdout) == (1, "")
    assert "another run is at work in this checkout" in second.stderr

    process.kill()
    process.wait()
    # The script that the wrapper left behind is still at work, and would disturb another.
    third = run(checkout / wrapper, *quick)
    assert third.returncode == 1 and "another run is at work" in third.stderr
    assert {name: files_in(checkout)[name] for name in before} == before

    os.kill(script, signal.SIGKILL)
    process.communicate(timeout=20)
    fourth = run(checkout / wrapper, *quick)
    assert fourth.returncode == 0, fourth.stderr
    assert files_in(checkout).keys() == before.keys()
    assert not list(checkout.rglob(".new"))


def children(pid: int) -> list[int]:
    return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


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
    assert not (checkout / ".venv/unfinished").exists()
    third = run(checkout / "summary.sh", env=env)
    assert third.returncode == 0 and "setting up" not in third.stderr

    # Interrupted while libraries were installed: what can be imported already may not be whole.
    (checkout / ".venv/unfinished").touch()
    (checkout / "requirements.txt").write_text("./missing-1.0-py3-none-any.whl\n")
    failed = run(checkout / "summary.sh", env=env)
    assert failed.returncode == 1 and "starting anew on .venv" in failed.stderr
    assert failed.stderr.splitlines()[-1].startswith("summary.sh: cannot install requirements.txt")


def test_python_named_from_the_callers_folder(checkout, tmp_path):
    env = interpreter(tmp_path, "import backbone", f": >{tmp_path}/used")
    env["PYTHON"] = f"{tmp_path.name}/python"
    result = run(checkout / "summary.sh", cwd=tmp_path.parent, env=env)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "used").exists()
    assert not (checkout / ".venv").exists()
