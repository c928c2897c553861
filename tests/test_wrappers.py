"""Wrappers, from outside: what they run, store, refuse and say, and how they get an interpreter."""

import fcntl
import importlib
import os
import re
import resource
import shutil
import sys
import sysconfig
import time
import venv
import zipfile
from contextlib import nullcontext
from pathlib import Path

import pytest
from project import ENVIRONMENT, ROOT, script
from wrappers import NO_CUDA, RESULTS, files_in, run, start, wait_for

from backbone.record import records
from backbone.rounds import plan
from backbone.rounds.questions import Question
from backbone.rounds.series import make_series


def test_results_of_the_real_scripts_are_stored_whole(checkout, tmp_path):
    before = files_in(checkout)
    env = {**ENVIRONMENT, "ROUNDS": "1", "INPUTS": "64x96"}
    quick = "--iterations 2 --warmup 0"
    for wrapper, flags in (("mem_report.sh", ""), ("summary.sh", ""), ("cpu/stats.sh", quick)):
        result = run(checkout / wrapper, *flags.split(), cwd=tmp_path, env=env)
        assert result.returncode == 0, result.stderr
    after = files_in(checkout)
    assert {file for file in after if after[file] != before.get(file)} == RESULTS
    for file in (checkout / file for file in RESULTS if re.match(r"cpu/.*\.json", file)):
        record = records.load(file)
        rows = {"blocks": 22, "layers": 175}.get(file.parent.name, 1)
        assert [row.samples.shape for row in record.rows] == [(1, 2)] * rows
        assert [(each["round"], each["group"]) for each in record.runs] == [(1, 0)]
    assert re.search(r"\n  memory kept  [\d.]+ ms, [\d.]+ times as fast\n", result.stdout)
    assert re.search(r"  slowest operations.*(\n.* \d+ %  [a-z ]+ \d+ %){3}\n", result.stdout)
    assert "\nStored in cpu/mobilenetv2_stats, cpu/mobilenetv2_stats_keep-memory\n" in result.stdout


def read_plan(wrapper, env):
    result = run(ROOT / wrapper, "--s", "2", env=env)
    lines = [line for line in result.stdout.splitlines() if ".py --" in line]
    return plan.read_plan(lines, ["--s", "2"], wrapper), result.stderr


def test_plans(echo):
    planned, said = read_plan("stats.sh", echo)
    assert said == f"stats.sh: {NO_CUDA}: handing over to cpu/stats.sh, which measures the CPU\n"
    stock, kept = (each.command for each in planned[:2])
    pascal, cityscapes = make_series(planned, 10)
    assert (pascal.name, pascal.least, cityscapes.least) == ("pascal", 12, 1)
    assert pascal.questions == [Question(stock), Question(kept, stock, precision=10)]
    assert (len(pascal.commands), pascal.passes, pascal.modes) == (6, None, [kept])
    assert kept.name == "cpu/timer.py --i pascal --target model --warmup 2 --keep-memory --s 2"
    assert planned[1].file == "cpu/mobilenetv2_stats_keep-memory_s_2/mobilenetv2_pascal"
    lines = ["cpu/timer.py --i pascal"]
    one_thread = plan.read_plan(lines, ["--threads", "1", "--s", "2"], "stats.sh")
    assert one_thread[0].file == "cpu/mobilenetv2_stats_threads_1_s_2/mobilenetv2_pascal"
    *_, last = read_plan("modes.sh", echo | {"STAND_IN_CUDA": "cuda"})[0]
    spelled = "mobilenetv2_cityscapes_channels-last_fold_dtype_float16_compile_cuda-graph"
    assert last.file == f"mobilenetv2_stats_s_2/modes/{spelled}" and last.options.warmup == 25
    flags = "--channels-last --fold --dtype float16 --compile --cuda-graph --s 2"
    assert last.command.name == f"timer.py --i cityscapes {flags}"
    broken = run(ROOT / "stats.sh", env=echo | {"STAND_IN_CUDA": "PyTorch does not fit"})
    assert (broken.returncode, broken.stderr) == (1, "stats.sh: PyTorch does not fit\n")


def test_mode_that_fails_is_named_and_its_old_results_are_removed(checkout, stand_in):
    folder = checkout / "cpu/mobilenetv2_stats/modes"
    folder.mkdir()
    others = {"mobilenetv2_cityscapes_train.txt", "mobilenetv2_64x64_train.json"}
    for name in {"mobilenetv2_pascal_train.txt", "mobilenetv2_pascal_gone.json"} | others:
        (folder / name).write_text("old")
    fails = {"STAND_IN_TURN": "if '--train' in NAME and starts == 2: sys.exit(3)"}
    result = run(checkout / "modes.sh", env=stand_in | fails | {"INPUTS": "pascal", "ROUNDS": "2"})
    assert (result.returncode, result.stdout != "") == (1, True)
    assert result.stderr.startswith(f"modes.sh: {NO_CUDA}: measuring the CPU\n")
    assert "--train --warmup 1 failed and is left out of later rounds: exit" in result.stderr
    assert "some commands failed, and have no results: cpu/timer.py" in result.stderr
    assert {file.name for file in folder.iterdir() if file.read_text() == "old"} == others
    stored = {file.stem[19:]: records.load(file) for file in folder.glob("*_pascal_*.json")}
    assert {"stock", "stock_again", "runtime_onnxruntime", "keep-memory"} <= stored.keys()
    assert stored["THP_MEM_ALLOC_ENABLE_1"].variables["THP_MEM_ALLOC_ENABLE"] == "1"
    assert len(stored) >= 13 and all(len(record.runs) == 2 for record in stored.values())


@pytest.mark.parametrize("wrapper", [*ROOT.glob("*.sh"), *ROOT.glob("cpu/*.sh")], ids=str)
def test_wrapper_copied_elsewhere(echo, wrapper, tmp_path):
    """As Slurm runs it: a copy in a spool folder, with the folder from which it was submitted."""
    (tmp_path / "spool").mkdir()
    copy = shutil.copy(wrapper, tmp_path / "spool/slurm_script")
    lost = run(copy, env=echo)
    assert lost.returncode > 0 and re.fullmatch(".*: in no checkout;.*\n", lost.stderr)
    result = run(copy, cwd=tmp_path, env=echo | {"SLURM_SUBMIT_DIR": str(ROOT)})
    folder, driver, *_ = map(Path, result.stdout.splitlines())
    assert (folder, driver.resolve()) == (tmp_path, ROOT / "shell/measure.py")


@pytest.mark.parametrize("wrapper", ["cpu/stats.sh", "summary.sh"])
def test_failing_script_and_full_disk(checkout, wrapper, stand_in):
    before = files_in(checkout)
    env = {**stand_in, "INPUTS": "64x96", "STAND_IN_LOG": os.devnull}
    full = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64))}
    for fails, options, said in (
        ("sys.exit(3)", {}, "--i 64x96.* failed: exit status 3"),
        ("", full, "cannot write .*: File too large"),
    ):
        result = run(checkout / wrapper, env=env | {"STAND_IN_TURN": fails}, **options)
        assert (result.returncode, result.stdout) == (1, "")
        said = f"{wrapper}: .*{said}; stored results are unchanged"
        assert re.fullmatch(said, result.stderr.splitlines()[-1])
        assert files_in(checkout) == before and not (checkout / ".pending").exists()
    assert not list(checkout.rglob("__pycache__"))


def test_wrong_variables_and_flags(checkout, stand_in):
    before = files_in(checkout)
    venv.create(checkout.parent / "a venv", symlinks=True)
    bare = "../a venv/bin/python"
    for status, variables, flags, said in (
        (2, {"ROUNDS": "0"}, [], "ROUNDS=0 is not a positive whole number"),
        (2, {"ROUNDS": "1.5"}, [], "ROUNDS=1.5 is not a positive whole number"),
        (2, {"PRECISION": "5%"}, [], "PRECISION=5% is not a non-negative number"),
        (2, {"PRECISION": "1.5.2"}, [], "PRECISION=1.5.2 is not a non-negative"),
        (1, {"PYTHON": bare}, [], f"PYTHON={bare} cannot import the requirements; install req"),
        (1, {"PYTHON": "no-such-python"}, [], "PYTHON=no-such-python is not a program"),
        (1, {"PYTHON": "/bin/true"}, [], "PYTHON=/bin/true is not Python"),
        (2, {"INPUTS": "64x64 *"}, [], "'*' is neither a dataset (cityscapes, pascal)"),
        (1, {"INPUTS": "a'b"}, [], "No closing quotation"),
        (1, {"INPUTS": " "}, [], "nothing to run: INPUTS is empty"),
        (1, {"INPUTS": "pascal pascal"}, [], "two commands would store model_structures/"),
        (2, {}, ["--input=pascal"], "use INPUTS=... to choose it"),
        (2, {}, ["--json"], "--json is set by the wrapper"),
        (0, {"STAND_IN_CUDA": ""}, ["--help"], "It also takes --new,"),  # which needs no library
    ):
        result = run("summary.sh", *flags, cwd=checkout, env=stand_in | variables)
        assert (result.returncode, result.stdout == "") == (status, status > 0)
        assert said in " ".join(result.stdout.split()) + result.stderr
    assert files_in(checkout) == before
    check = run(ROOT / "shell/check.py", "requirements.txt", shell=[checkout / bare])
    assert (check.returncode, check.stderr.count("\n")) == (1, 1)


@pytest.fixture
def without_libraries(checkout, stand_in, tmp_path):
    """A python3 without libraries, and requirements that bring the tests' own: by their path."""
    venv.create(tmp_path / "bare", symlinks=True)
    with zipfile.ZipFile(checkout / "all-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr("all.pth", sysconfig.get_path("purelib"))
        for name, text in (("METADATA", "Name: all\nVersion: 1\n"), ("WHEEL", ""), ("RECORD", "")):
            wheel.writestr(f"all-1.dist-info/{name}", text or "Wheel-Version: 1.0\n")
    (checkout / "requirements.txt").write_text("./all-1-py3-none-any.whl\n")
    path = f"{tmp_path}/bare/bin:{os.environ['PATH']}"
    return {**stand_in, "PATH": path, "PYTHON": "", "PIP_NO_INDEX": "1"}


def test_first_set_up_interrupted_and_repeated(checkout, without_libraries):
    summary = {"wrapper": "summary.sh", "cwd": checkout, "env": without_libraries}
    process = start(**summary)
    wait_for((checkout / ".venv/lib").exists, process)
    process.terminate()
    stderr = process.communicate(timeout=20)[1]
    assert process.returncode == 143 and "setting up: creating .venv" in stderr
    said = "interrupted by SIGTERM while setting up .venv; the next start will redo the set-up"
    assert said in stderr
    again = run(**summary)
    assert again.returncode == 0 and "starting over with .venv" in again.stderr, again.stderr
    unfinished = checkout / ".venv.unfinished"
    unfinished.touch()
    with open(checkout / ".venv.lock", "w") as other:  # another machine sets it up
        fcntl.flock(other, fcntl.LOCK_EX)
        process = start(**summary)
        assert "waiting for another machine to finish setting up" in process.stderr.readline()
        unfinished.unlink()
    stderr = process.communicate(timeout=60)[1]
    assert process.returncode == 0 and "setting up" not in stderr, stderr
    unfinished.touch()  # what can be imported already may not be whole
    for requirements, said in (
        ("./missing-1.0-py3-none-any.whl", "cannot install requirements.txt in .venv; the next"),
        ("# nothing", "the packages of requirements.txt are installed but cannot be imported"),
    ):
        (checkout / "requirements.txt").write_text(f"{requirements}\n")
        failed = run(**summary)
        assert (failed.returncode, failed.stdout) == (1, "")
        assert "starting over with .venv" in failed.stderr
        assert failed.stderr.splitlines()[-1].startswith(f"summary.sh: {said}")


def test_wheels_without_cuda(monkeypatch, capsys):
    monkeypatch.syspath_prepend(ROOT / "shell")
    monkeypatch.setattr(sys, "argv", ["setup.py", "requirements.txt", "stats.sh", "stats.sh"])
    setup = importlib.import_module("setup")
    monkeypatch.setattr(setup, "PYTHON", Path(sys.executable))
    monkeypatch.setattr(setup, "PATIENCE", 0.1)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    for driver, variable, seconds, has_flags in (
        (False, "NO_INDEX", 0, True),
        (True, "NO_INDEX", 0, False),
        (False, "PIP_INDEX_URL", 0, False),
        (False, "PIP_EXTRA_INDEX_URL", 0, False),
        (False, "NO_INDEX", 1, False),  # PyTorch's is silent
    ):
        with monkeypatch.context() as here:
            page = "urllib.request.urlopen"
            here.setattr(page, lambda *_, s=seconds, **__: time.sleep(s) or nullcontext())
            here.setattr(setup, "has_nvidia_driver", lambda driver=driver: driver)
            here.setenv(variable, "https://here")
            assert setup.index_flags() == ["--extra-index-url", setup.CPU_INDEX] * has_flags
    assert capsys.readouterr().err.count(" does not answer; installing PyTorch with CUDA") == 1


def test_pytorch_without_cuda_beside_a_driver():
    no_cuda = "import os, shutil, torch; torch.version.cuda = None; shutil.which = str; "
    for visible, said in (
        ("0", " has no CUDA, but this machine has an NVIDIA driver; remove .venv"),
        ("", "no CUDA device here (PyTorch "),
    ):
        before = f"{no_cuda}os.environ['CUDA_VISIBLE_DEVICES'] = '{visible}'"
        result = script("shell/check.py", "requirements.txt", before=before)
        assert (result.returncode, result.stdout.count("\n")) == (0, 1), result.stderr
        assert said in result.stdout
