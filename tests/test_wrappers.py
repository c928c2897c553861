"""The wrappers from outside, in a copy of the checkout whose path has spaces."""

import fcntl
import hashlib
import os
import re
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

import psutil
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
    "cpu/stats.sh": ("cpu/mobilenetv2_stats", TIMES, ["--iterations", "2", "--warmup", "0"]),
    "mem_report.sh": ("memory_reports", REPORTS, []),
    "summary.sh": ("model_structures", REPORTS, []),
}
SHELLS = [["dash"], ["busybox", "sh"], ["bash", "--posix"], ["bash"]]
every_wrapper = pytest.mark.parametrize("wrapper", WRAPPERS)
every_shell = pytest.mark.parametrize("shell", SHELLS, ids=" ".join)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The project's own files in a folder with spaces, an old result for each wrapper, and images
    so small that a pass of them takes no time."""
    copy = tmp_path / "a check out"
    names = ("backbone", "cpu", "*.py", "*.sh", "requirements.txt")
    for path in (path for name in names for path in ROOT.glob(name)):
        if path.is_dir():
            ignore = shutil.ignore_patterns("__pycache__", "mobilenetv2_stats")
            shutil.copytree(path, copy / path.name, ignore=ignore)
        else:
            copy.mkdir(exist_ok=True)
            shutil.copy(path, copy)
    inputs = copy / "backbone/inputs.py"
    inputs.write_text(inputs.read_text().replace("1024, 2048", "64, 96"))
    store = copy / "backbone/store.sh"  # a machine of its own, or another
    lock = f'machine_lock="${{TEST_MACHINE-{tmp_path}/machine}}"'
    store.write_text(store.read_text().replace("machine_lock=/tmp/mobilenetv2-profile.lock", lock))
    assert "TEST_MACHINE" in store.read_text()
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
        if path.is_file() and "__pycache__" not in path.parts and path.name != ".lock"
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


@pytest.fixture
def stand_in(tmp_path: Path) -> dict[str, str]:
    """The environment with an interpreter that finds all libraries, and a CUDA device where
    STAND_IN_CUDA is set, and runs tests/stand_in.py in place of the scripts: what a wrapper does
    takes no torch to see. All else it leaves to Python."""
    file = tmp_path / "python of its own"
    file.write_text(f"""#!/bin/sh
case "$1 ${{2-}}" in
  *" "*try:*import*) exit ;;
  *why_no_cuda*) exit "${{STAND_IN_CUDA-3}}" ;;
  timer.py* | cpu/timer.py* | mem.py*) exec {sys.executable} {ROOT}/tests/stand_in.py "$@" ;;
esac
exec {sys.executable} "$@"
""")
    file.chmod(0o755)
    return {**ENVIRONMENT, "PYTHON": str(file)}


@every_wrapper
def test_stores_results_whole_from_another_folder(checkout, wrapper, tmp_path):
    folder, files, quick = WRAPPERS[wrapper]
    before = files_in(checkout)
    result = run(checkout / wrapper, *quick, cwd=tmp_path, env={**ENVIRONMENT, "ROUNDS": "1"})
    assert (result.returncode, result.stdout) == (0, ""), result.stderr
    after = files_in(checkout)
    assert after.keys() == before.keys()
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {f"{folder}/{file}" for file in files}
    for file in files:
        assert f"{folder}/{file}".removesuffix(".json").removesuffix(".txt") in result.stderr
        if file.endswith(".json"):
            suite = pyperf.BenchmarkSuite.load(str(checkout / folder / file))
            assert all(b.get_nvalue() == 2 for b in suite.get_benchmarks())
    assert not list(checkout.rglob(".new"))


@every_shell
def test_every_shell_and_a_folder_for_another_device(checkout, shell, stand_in):
    env = {**stand_in, "RESULTS": "devices/a b"}
    before = files_in(checkout)
    for wrapper, (folder, files, _) in WRAPPERS.items():
        result = run(wrapper, shell=shell, cwd=checkout, env=env)
        assert result.returncode == 0, result.stderr
        new = files_in(checkout).keys() - before.keys()
        assert {f"devices/a b/{folder}/{file}" for file in files} <= new
    assert len(new) == len(TIMES) + 2 * len(REPORTS)
    assert before.items() <= files_in(checkout).items()


def test_rounds(checkout, stand_in):
    """Each round has one run of everything; what was stored stands until the last has ended."""
    env = {**stand_in, "ROUNDS": "3"}
    result = run(checkout / "cpu/stats.sh", "--iterations", "31", "--warmup=6", env=env)
    assert (result.returncode, result.stdout) == (0, ""), result.stderr
    *_, pascal, last = result.stderr.splitlines()
    said = [line.removeprefix("cpu/stats.sh: round ") for line in result.stderr.splitlines()[:-7]]
    order = [(d, t) for d in ("cityscapes", "pascal") for t in ("model", "block", "layer")]
    expected = [
        (f"{r} of 3, run {i} of 6", f"cpu/timer.py --i {d} --target {t} --iterations 11 --warmup 2")
        for r in (1, 2, 3)
        for i, (d, t) in enumerate(order, start=1)
    ]
    assert len(said) == len(expected) == 18
    for number, (line, (where, command)) in enumerate(zip(said, expected, strict=True)):
        left = ", about 1 min to go" if number else ""
        assert line.startswith(f"{where}{left}: {command} -> cpu/mobilenetv2_stats/")
    for file in TIMES:
        text = (checkout / "cpu/mobilenetv2_stats" / file).read_text()
        assert text.count("cpu/timer.py --i ") == 3
    # At its end the whole pass of each input, as stored, and how the README is brought up to date.
    stored = checkout / "cpu/mobilenetv2_stats/mobilenetv2_pascal.txt"
    assert pascal == stored.read_text().splitlines()[-1]
    assert result.stderr.splitlines()[-7].startswith("cpu/timer.py --i cityscapes --target model")
    assert "results.py --update" in last


def test_says_how_long_the_rest_takes(checkout, stand_in, tmp_path):
    # A clock that goes 65 s ahead at each look, which is one a run.
    (tmp_path / "bin").mkdir()
    date = tmp_path / "bin/date"
    date.write_text(f"""#!/bin/sh
echo >>"{tmp_path}/ticks"
echo $(($(wc -l <"{tmp_path}/ticks") * 65))
""")
    date.chmod(0o755)
    path = f"{tmp_path}/bin:{os.environ['PATH']}"
    result = run(checkout / "cpu/stats.sh", env={**stand_in, "ROUNDS": "2", "PATH": path})
    left = re.findall(r"about (\d+) min to go", result.stderr)
    # 78 parts in all, 12 for a run of Cityscapes and 1 of VOC: after the first 12, 66 are left.
    done = [12, 24, 36, 37, 38, 39, 51, 63, 75, 76, 77]
    assert left == [str(65 * i * (78 - part) // part // 60 + 1) for i, part in enumerate(done, 1)]


@pytest.mark.parametrize(
    ("flags", "rounds", "share"),
    [
        ([], "5", "--iterations 60 --warmup 5"),
        ([], "", "--iterations 60 --warmup 5"),
        (["--iterations", "3"], "5", "--iterations 1 --warmup 5"),
        (["--iterations=300", "--threads", "1"], "7", "--threads 1 --iterations 43 --warmup 4"),
    ],
)
def test_passes_are_shared_out_and_rounded_up(checkout, stand_in, flags, rounds, share):
    env = {**stand_in, "ROUNDS": rounds, "STAND_IN_FAILS": "cpu/timer.py"}
    result = run(checkout / "cpu/stats.sh", *flags, env=env)
    assert result.returncode == 3
    first = f"round 1 of {rounds or 5}, run 1 of 6: cpu/timer.py --i cityscapes --target model "
    assert result.stderr.startswith(f"cpu/stats.sh: {first}{share} -> ")


@pytest.mark.parametrize("rounds", ["0", "x", "-1", "1.5", "05"])
def test_wrong_rounds(checkout, stand_in, rounds):
    result = run(checkout / "cpu/stats.sh", env={**stand_in, "ROUNDS": rounds})
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == f"cpu/stats.sh: ROUNDS={rounds} is no whole number from 1 up\n"


@pytest.mark.parametrize("flags", [["--iterations", "many"], ["--warmup"], ["--iterations="]])
def test_wrong_passes_are_the_scripts_to_refuse(checkout, flags):
    result = run(checkout / "cpu/stats.sh", *flags)
    assert (result.returncode, result.stdout) == (2, "")
    assert "usage: cpu/timer.py" in result.stderr and "failed (exit status 2)" in result.stderr


def test_stats_on_a_cuda_device(checkout, stand_in):
    before = files_in(checkout)
    env = {**stand_in, "STAND_IN_CUDA": "0", "ROUNDS": "2"}
    result = run(checkout / "stats.sh", "--s", "2", env=env)
    assert (result.returncode, result.stdout) == (0, ""), result.stderr
    assert "cpu" not in result.stderr
    after = files_in(checkout)
    assert after.keys() - before.keys() == {f"mobilenetv2_stats/{file}" for file in TIMES}
    assert before.items() <= after.items()
    for dataset in ("cityscapes", "pascal"):
        for folder, target in (("", "model"), ("blocks/", "block"), ("layers/", "layer")):
            text = (checkout / f"mobilenetv2_stats/{folder}mobilenetv2_{dataset}.txt").read_text()
            # Each process has all warm-up passes: a GPU's clocks rise in each.
            line = f"timer.py --i {dataset} --target {target} --s 2 --iterations 150 --warmup 25\n"
            assert text == 2 * line


def test_stats_hands_over_without_a_cuda_device(checkout):
    before = files_in(checkout)
    # A batch that no memory holds: it shows who measures, and takes no time.
    result = run(checkout / "stats.sh", "--s", "100000000")
    first, second, third, last = result.stderr.splitlines()
    assert result.returncode == 1
    assert first.startswith("stats.sh: no CUDA device here (PyTorch ") and "cpu/stats.sh" in first
    assert second.startswith("cpu/stats.sh: round 1 of 5, run 1 of 6: cpu/timer.py --i cityscapes")
    assert third.startswith("cpu/timer.py: out of memory")
    assert "failed (exit status 1)" in last
    assert files_in(checkout) == before


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
    started = f"#!/bin/sh\n{sys.executable} {probe} {tmp_path}\n"
    file.write_text(file.read_text().replace("#!/bin/sh\n", started))
    result = run(checkout / "stats.sh", env=stand_in)
    assert result.returncode == 0, result.stderr
    first, second, *others = (tmp_path / "log").read_text().split()
    assert (first, second) == ("opennone", "heldopen")
    assert set(others) == {"heldheld"} and len(others) > 30


def test_stats_does_not_take_a_failing_torch_for_no_cuda_device(checkout, stand_in):
    before = files_in(checkout)
    result = run(checkout / "stats.sh", env={**stand_in, "STAND_IN_CUDA": "1"})
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == "stats.sh: cannot ask torch for a CUDA device\n"
    assert files_in(checkout) == before


def test_interrupted_before_the_first_run(checkout, stand_in, tmp_path):
    file, started = Path(stand_in["PYTHON"]), tmp_path / "started"
    file.write_text(file.read_text().replace(") exit ;;", f") : >{started}; exec sleep 60 ;;", 1))
    process = start(checkout / "summary.sh", env=stand_in)
    wait_for(started.exists, process)
    process.terminate()
    _, stderr = process.communicate(timeout=20)
    assert (process.returncode, stderr) == (143, "summary.sh: interrupted by SIGTERM\n")


def test_failing_first_run_leaves_no_folder(checkout, stand_in):
    shutil.rmtree(checkout / "model_structures")
    env = {**stand_in, "STAND_IN_FAILS": "mem.py"}
    assert run(checkout / "summary.sh", env=env).returncode == 3
    assert not (checkout / "model_structures").exists()


@every_wrapper
def test_failing_script(checkout, wrapper, stand_in):
    before = files_in(checkout)
    result = run(checkout / wrapper, env={**stand_in, "STAND_IN_FAILS": "--i cityscapes"})
    assert (result.returncode, result.stdout) == (3, "")
    last = result.stderr.splitlines()[-1]
    assert last.startswith(f"{wrapper}: ") and "--i cityscapes" in last
    assert "failed (exit status 3)" in last and "as it was" in last
    assert files_in(checkout) == before and not list(checkout.rglob(".new"))


def test_failing_in_a_later_round(checkout, stand_in):
    before = files_in(checkout)
    env = {**stand_in, "STAND_IN_FAILS": "pascal --target block", "STAND_IN_ROUND": "2"}
    result = run(checkout / "cpu/stats.sh", env=env)
    assert (result.returncode, result.stdout) == (3, "")
    *_, at, last = result.stderr.splitlines()
    assert "round 2 of 5, run 5 of 6" in at
    assert "cpu/timer.py --i pascal --target block" in last and "failed (exit status 3)" in last
    assert files_in(checkout) == before and not list(checkout.rglob(".new"))


@every_wrapper
def test_wrong_flags(checkout, wrapper):
    before = files_in(checkout)
    result = run(checkout / wrapper, "--speed")
    assert (result.returncode, result.stdout) == (2, "")
    assert "unrecognized arguments: --speed" in result.stderr
    timers = ("--json", "--append=x", "--target", "--w=yes")
    for flag in ("--i", "--input=pascal", *(timers if "stats" in wrapper else ("--struct",))):
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


def terminal(number: signal.Signals):
    """As a terminal signals: the whole group."""
    return lambda process: os.killpg(process.pid, number)


SIGNALS = {
    "INT": (terminal(signal.SIGINT), 130),
    "QUIT": (terminal(signal.SIGQUIT), 131),
    "TERM": (subprocess.Popen.terminate, 143),
}


def in_mid_run(checkout: Path, wrapper: str) -> bool:
    return (checkout / WRAPPERS[wrapper][0] / ".new/mobilenetv2_cityscapes.txt").exists()


def assert_interrupted(checkout: Path, wrapper: str, name: str, **options) -> None:
    """A signal ends the wrapper and its script, and leaves what was stored."""
    send, status = SIGNALS[name]
    before = files_in(checkout)
    process = start(checkout / wrapper, **options)
    wait_for(lambda: in_mid_run(checkout, wrapper), process)
    send(process)
    stdout, stderr = process.communicate(timeout=20)  # which waits for all that have the pipes
    assert (process.returncode, stdout) == (status, "")
    last = stderr.splitlines()[-1]
    assert last.startswith(f"{wrapper}: interrupted by SIG{name} in ") and "--i cityscapes" in last
    assert "Traceback" not in stderr
    assert files_in(checkout) == before and not list(checkout.rglob(".new"))


@pytest.mark.parametrize("name", SIGNALS)
@every_wrapper
def test_interrupted(checkout, wrapper, name):
    assert_interrupted(checkout, wrapper, name)


@pytest.mark.parametrize("name", SIGNALS)
@every_shell
def test_interrupted_in_every_shell(checkout, shell, name, stand_in):
    env = {**stand_in, "STAND_IN_SLEEPS": str(checkout.parent / "asleep")}
    assert_interrupted(checkout, "cpu/stats.sh", name, shell=shell, env=env)


def test_killed_in_a_later_round_then_two_at_once_then_run_again(checkout, stand_in, tmp_path):
    before, asleep = files_in(checkout), tmp_path / "asleep"
    env = {**stand_in, "STAND_IN_SLEEPS": str(asleep), "STAND_IN_ROUND": "2"}
    process = start(checkout / "cpu/stats.sh", env=env)
    wait_for(asleep.exists, process)
    (child,) = psutil.Process(process.pid).children()

    second = run(checkout / "summary.sh", env=stand_in)
    assert (second.returncode, second.stdout) == (1, "")
    assert "another run is at work on this machine" in second.stderr

    process.kill()
    process.wait()
    # The script that the wrapper left behind is still at work, and would disturb another.
    third = run(checkout / "cpu/stats.sh", env=stand_in)
    assert third.returncode == 1 and "another run is at work" in third.stderr
    assert {name: files_in(checkout)[name] for name in before} == before

    child.kill()
    process.communicate(timeout=20)
    fourth = run(checkout / "cpu/stats.sh", env=stand_in)
    assert fourth.returncode == 0, fourth.stderr
    assert files_in(checkout).keys() == before.keys()
    assert not list(checkout.rglob(".new"))
    for file in TIMES:  # nothing of the killed rounds is in it
        assert (checkout / "cpu/mobilenetv2_stats" / file).read_text().count("timer.py") == 5


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
    assert len(stored) == 6
    process.terminate()
    process.communicate(timeout=20)


def test_two_machines_set_up_one_after_the_other(checkout, tmp_path):
    # A python3 that finds the libraries when the other machine has installed them.
    ready, bin_folder = tmp_path / "ready", tmp_path / "bin"
    bin_folder.mkdir()
    (bin_folder / "python3").write_text(f"""#!/bin/sh
case "$2" in *try:*import*) [ -e "{ready}" ]; exit ;; esac
case "$1" in mem.py) exec {sys.executable} {ROOT}/tests/stand_in.py "$@" ;; esac
exec {sys.executable} "$@"
""")
    (bin_folder / "python3").chmod(0o755)
    env = {**ENVIRONMENT, "PATH": f"{bin_folder}:{os.environ['PATH']}"}
    del env["PYTHON"]
    with open(checkout / "backbone/store.sh") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        process = start(checkout / "summary.sh", env=env)
        line = process.stderr.readline()
        assert line == "summary.sh: waiting for another machine, which sets up .venv here\n"
        ready.touch()
    _, stderr = process.communicate(timeout=20)
    assert process.returncode == 0 and "setting up" not in stderr
    assert not (checkout / ".venv").exists()


WHERE = pytest.mark.parametrize("wrapper", ["stats.sh", *WRAPPERS])


@WHERE
def test_wrapper_copied_elsewhere(checkout, stand_in, wrapper, tmp_path):
    copy = tmp_path / "elsewhere/slurm_script"
    copy.parent.mkdir()
    shutil.copy(checkout / wrapper, copy)
    for folder in ({}, {"SLURM_SUBMIT_DIR": str(tmp_path)}):
        result = run(copy, cwd=tmp_path, env={**stand_in, **folder})
        assert (result.returncode, result.stdout) == (1, "")
        assert result.stderr.startswith(f"{wrapper}: in no checkout; ")
        assert result.stderr.count("\n") == 1
    # Slurm runs a copy of the script, and says from where it was submitted.
    result = run(copy, cwd=tmp_path, env={**stand_in, "SLURM_SUBMIT_DIR": str(checkout)})
    assert result.returncode == 0, result.stderr


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
