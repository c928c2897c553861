"""Wrappers, from outside: what they store, refuse and say."""

import contextlib
import fcntl
import json
import os
import pty
import re
import resource
import shutil
import signal
import struct
import termios

import pytest
from project import ENVIRONMENT, ROOT
from wrappers import (
    CPU_TIMES,
    REPORTS,
    TIMES,
    WRAPPERS,
    every_shell,
    every_wrapper,
    files_in,
    load,
    run,
    start,
)

QUICK = {"cpu/stats.sh": ["--iterations", "2", "--warmup", "0"]}


def assert_summary(text: str) -> None:
    """A wrapper's stdout: stock, memory kept, and what is slow, where glibc is."""
    lines = text.splitlines()
    assert max(map(len, lines)) <= 90
    assert lines[0].startswith("MobileNet-V2, Cityscapes (64 x 96), ")
    assert re.fullmatch(r"  stock        [\d.]+ ms", lines[1])
    assert re.fullmatch(r"  memory kept  [\d.]+ ms, [\d.]+ times as fast", lines[2])
    for title in ("slowest stages", "slowest operations"):
        place = next(number for number, line in enumerate(lines) if title in line)
        for line in lines[place + 1 : place + 4]:
            assert re.search(r" +[\d.]+ +\d+ %  (page faults|reorders|kernel|rest) \d+ %$", line)
    assert "Stored in cpu/mobilenetv2_stats, cpu/mobilenetv2_stats_keep-memory" in lines


@every_wrapper
def test_stores_results_whole_from_another_folder(checkout, wrapper, tmp_path):
    """With the real scripts, on images that are small."""
    files = [file for file in WRAPPERS[wrapper] if "cityscapes" in file]
    before = files_in(checkout)
    env = {**ENVIRONMENT, "ROUNDS": "1", "INPUTS": "cityscapes"}
    result = run(checkout / wrapper, *QUICK.get(wrapper, []), cwd=tmp_path, env=env)
    assert result.returncode == 0, result.stderr
    after = files_in(checkout)
    assert {name for name in after if after[name] != before.get(name)} == set(files)
    assert "\nStored in " in f"\n{result.stdout}"
    for file in (file for file in files if file.endswith(".json")):
        if wrapper != "cpu/stats.sh":
            assert json.loads((checkout / file).read_text())["input"]["batch_size"] == 1
            continue
        (record,) = load(checkout, file)
        assert all(row.samples.shape == (1, 2) for row in record.rows)
        assert [(run["round"], run["group"]) for run in record.runs] == [(1, 0)]
    if wrapper == "cpu/stats.sh":
        assert_summary(result.stdout)


@every_shell
def test_every_shell_and_a_folder_for_another_device(checkout, shell, stand_in):
    env = {**stand_in, "RESULTS": "devices/a b", "INPUTS": "pascal"}
    before = files_in(checkout)
    for wrapper, files in WRAPPERS.items():
        result = run(wrapper, shell=shell, cwd=checkout, env=env)
        assert result.returncode == 0, result.stderr
        new = files_in(checkout).keys() - before.keys()
        assert {f"devices/a b/{file}" for file in files if "pascal" in file} <= new
    assert len(new) == len(CPU_TIMES) / 2 + len(REPORTS)
    assert before.items() <= files_in(checkout).items()


def test_stats_on_a_cuda_device(checkout, stand_in):
    before = files_in(checkout)
    env = {**stand_in, "STAND_IN_CUDA": "cuda", "ROUNDS": "2"}
    result = run(checkout / "stats.sh", "--iterations", "7", env=env)
    assert result.returncode == 0, result.stderr
    assert "cpu" not in result.stderr
    after = files_in(checkout)
    assert after.keys() - before.keys() == {f"mobilenetv2_stats/{file}" for file in TIMES}
    assert before.items() <= after.items()
    for dataset in ("cityscapes", "pascal"):
        for folder, target in (("", "model"), ("blocks/", "block"), ("layers/", "layer")):
            (record,) = load(checkout, f"mobilenetv2_stats/{folder}mobilenetv2_{dataset}.json")
            words = f"timer.py --i {dataset} --target {target} --iterations 7"
            assert record.conditions["iterations"] == 7 and record.conditions["warmup"] == 25
            assert record.runs[0]["date"] == words
            assert [run["round"] for run in record.runs] == [1, 2]


def test_rounds_and_passes_of_the_cpu(checkout, stand_in):
    """VOC comes first, and has at least 12 rounds; at looks five rounds of equal times suffice."""
    for rounds, flags in (("", []), ("2", ["--warmup", "1", "--iterations", "5"])):
        result = run(checkout / "cpu/stats.sh", *flags, env={**stand_in, "ROUNDS": rounds})
        assert result.returncode == 0, result.stderr
        lines = [line.partition(": ")[2] for line in result.stderr.splitlines()]
        assert [line.partition(":")[0] for line in lines[:3]] == [
            *("pascal, round 1", "cityscapes, round 1"),
            "pascal, round 2" if rounds == "" else "pascal, round 2, its last",
        ]
        for kept in ("", " --keep-memory"):
            folder = checkout / f"cpu/mobilenetv2_stats{kept.replace(' --', '_')}"
            files = ("mobilenetv2_pascal.json", "blocks/mobilenetv2_cityscapes.json")
            voc, large = load(folder, *files)
            for record, by_looks in ((voc, 12), (large, 5)):
                expected = (by_looks, "looks", 60) if rounds == "" else (2, "fixed", 5)
                names = ("rounds", "stop_rule", "iterations")
                assert tuple(record.conditions[name] for name in names) == expected
                assert len(record.runs) == expected[0]
            words = f"cpu/timer.py --i pascal --target model --warmup 2{kept}"
            assert voc.runs[0]["date"] == " ".join([words, *flags])  # the user's last


def test_stats_hands_over_without_a_cuda_device(checkout, stand_in):
    result = run(checkout / "stats.sh", "--threads", "1", env={**stand_in, "INPUTS": "64x64"})
    assert result.returncode == 0, result.stderr
    assert result.stderr.startswith(
        "stats.sh: no CUDA device here (a stand-in): handing over to cpu/stats.sh, which measures "
        "the CPU\ncpu/stats.sh: 64x64, round 1, its last: stock 1.00 ms; "
    )
    assert (checkout / "cpu/mobilenetv2_stats_threads_1/mobilenetv2_64x64.json").exists()


def test_stats_stops_where_pytorch_does_not_fit_the_driver(checkout, stand_in):
    before = files_in(checkout)
    env = {**stand_in, "STAND_IN_CUDA": "PyTorch has no CUDA, but this machine has a driver"}
    for wrapper in ("stats.sh", "modes.sh"):
        result = run(checkout / wrapper, env=env)
        assert (result.returncode, result.stdout) == (1, "")
        assert result.stderr == f"{wrapper}: {env['STAND_IN_CUDA']}\n"
    assert files_in(checkout) == before


@every_wrapper
def test_failing_script(checkout, wrapper, stand_in):
    before = files_in(checkout)
    env = {**stand_in, "STAND_IN_FAILS": "--i cityscapes", "INPUTS": "cityscapes"}
    result = run(checkout / wrapper, env=env)
    assert (result.returncode, result.stdout) == (1, "")
    last = result.stderr.splitlines()[-1]
    assert last.startswith(f"{wrapper}: ") and "--i cityscapes" in last
    assert "failed: exit status 3" in last and "stored results are unchanged" in last
    assert files_in(checkout) == before and not (checkout / ".pending").exists()


@pytest.mark.parametrize(
    ("wrapper", "script", "flag", "said"),
    [
        ("cpu/stats.sh", "cpu/timer.py", "--input=pascal", "use INPUTS=... to choose it"),
        ("summary.sh", "mem.py", "--json", "--json is set by the wrapper"),
        ("mem_report.sh", "mem.py", "--speed", "unrecognized arguments: --speed"),
    ],
)
def test_wrong_flags(checkout, stand_in, wrapper, script, flag, said):
    before = files_in(checkout)
    result = run(checkout / wrapper, flag, env=stand_in)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith(f"usage: {script} ") and said in result.stderr
    assert files_in(checkout) == before


@every_wrapper
def test_help_needs_no_library(checkout, wrapper):
    (checkout / "shell/check.py").write_text("raise SystemExit('no torch')\n")
    result = run(checkout / wrapper, "--help", env=ENVIRONMENT)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("usage: ")
    assert "It also takes --new, which discards" in " ".join(result.stdout.split())


@pytest.mark.parametrize(
    ("variables", "status", "said"),
    [
        ({"ROUNDS": "0"}, 2, "ROUNDS=0 is not a whole number from 1 up"),
        ({"ROUNDS": "1.5"}, 2, "ROUNDS=1.5 is not a whole number from 1 up"),
        ({"PRECISION": "5%"}, 2, "PRECISION=5% is not a number of percent from 0 up"),
        ({"PRECISION": "1.5.2"}, 2, "PRECISION=1.5.2 is not a number"),
        ({"INPUTS": " "}, 1, "nothing to run: INPUTS names no input"),
        ({"INPUTS": "pascal pascal"}, 1, "two commands would store"),
        ({"INPUTS": "64x64 *"}, 2, "'*' is none of cityscapes, pascal"),
        ({"INPUTS": "a'b"}, 1, "No closing quotation"),
    ],
)
def test_wrong_variables(checkout, stand_in, variables, status, said):
    before = files_in(checkout)
    result = run("cpu/stats.sh", cwd=checkout, env=stand_in | variables)
    assert (result.returncode, result.stdout) == (status, "")
    assert said in result.stderr.splitlines()[-1]
    assert files_in(checkout) == before


def fill_disk() -> None:
    """As on a disk with 64 bytes left: no file can grow beyond that."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64))


@pytest.mark.parametrize("wrapper", ["cpu/stats.sh", "summary.sh"])
def test_full_disk_is_named(checkout, wrapper, stand_in):
    before = files_in(checkout)
    result = run(checkout / wrapper, env=stand_in, preexec_fn=fill_disk)
    assert (result.returncode, result.stdout) == (1, "")
    last = result.stderr.splitlines()[-1]
    assert "cannot write" in last and "File too large" in last
    assert "stored results are unchanged" in last
    assert files_in(checkout) == before and not list(checkout.rglob("__pycache__"))


def test_wrapper_copied_elsewhere(checkout, stand_in, tmp_path):
    """As Slurm runs it: a copy in a spool folder, with the folder from which it was submitted."""
    copy = tmp_path / "elsewhere/slurm_script"
    copy.parent.mkdir()
    shutil.copy(checkout / "cpu/stats.sh", copy)
    elsewhere = {"SLURM_SUBMIT_DIR": str(tmp_path)}
    for folder, said in (({}, "in no checkout"), (elsewhere, f"{tmp_path}/shell/start.sh")):
        result = run(copy, cwd=tmp_path, env={**stand_in, **folder})
        assert (result.returncode > 0, result.stdout) == (True, "")
        assert said in result.stderr
        assert result.stderr.count("\n") == 1
    env = {**stand_in, "SLURM_SUBMIT_DIR": str(checkout), "INPUTS": "64x64"}
    result = run(copy, cwd=tmp_path, env=env)
    assert result.returncode == 0, result.stderr


def test_files_are_named_from_the_callers_folder(checkout, stand_in, tmp_path):
    (tmp_path / "model.v1.pt").write_text("weights")
    words = ["--model", "resnet18", "--weights", "model.v1.pt"]
    # A name that torchvision knows, which takes seconds to ask it.
    patched = checkout / "backbone/network/catalog.py"
    patched.write_text(patched.read_text().replace("if name not in known:", "if False:"))
    patched.write_text(patched.read_text().replace("known = names()", "known = []"))
    for time in (1, 2):  # the second result replaces the first one
        env = {**stand_in, "INPUTS": "64x64", "STAND_IN_KIND": f"time {time}"}
        result = run(checkout / "cpu/stats.sh", *words, cwd=tmp_path, env=env)
        assert result.returncode == 0, result.stderr
        stats = checkout / "cpu/resnet18_stats_weights_model.v1.pt"
        (record,) = load(stats, "resnet18_64x64.json")
        assert record.conditions["MALLOC_KIND"] == f"time {time}"
        assert len(files_in(stats)) == 6


def test_modes_on_both_devices(checkout, stand_in):
    for device, timer in (
        ("no CUDA device here (a stand-in)", "cpu/timer.py"),
        ("cuda", "timer.py"),
    ):
        env = {**stand_in, "STAND_IN_CUDA": device, "INPUTS": "pascal"}
        result = run(checkout / "modes.sh", "--s", "2", env=env)
        assert result.returncode == 0, result.stderr
        folder = checkout / timer.replace("timer.py", "mobilenetv2_stats_s_2/modes")
        files = sorted(folder.glob("*.json"))
        assert len(files) >= 11
        for file in files:
            (record,) = load(folder, file.name)
            words = record.runs[0]["date"]
            variable, _, flags = words.partition(f"{timer} --i pascal")
            assert record.conditions["warmup"] == (25 if timer == "timer.py" else 1)
            flags = flags.replace(" --warmup 1", "")
            assert flags.endswith(" --s 2")
            flags = flags.removesuffix(" --s 2")
            spelled = f"{variable}{flags}".replace("--", "").replace("=", "_").split()
            mode = file.stem.removeprefix("mobilenetv2_pascal_")
            assert "_".join(spelled) == ("" if mode in ("stock", "stock_again") else mode)
        if timer == "cpu/timer.py":
            names = {file.stem.removeprefix("mobilenetv2_pascal_") for file in files}
            assert {"runtime_onnxruntime", "THP_MEM_ALLOC_ENABLE_1", "keep-memory"} <= names


def test_a_mode_that_fails_is_named_and_its_old_results_are_removed(checkout, stand_in):
    folder = checkout / "cpu/mobilenetv2_stats/modes"
    folder.mkdir()
    others = ["mobilenetv2_cityscapes_train.txt", "mobilenetv2_64x64_train.json"]
    for name in ("mobilenetv2_pascal_train.txt", "mobilenetv2_pascal_gone.json", *others):
        (folder / name).write_text("old")
    fails = {"STAND_IN_FAILS": "--train", "STAND_IN_ROUND": "2", "ROUNDS": "3", "INPUTS": "pascal"}
    result = run(checkout / "modes.sh", env={**stand_in, **fails})
    assert result.returncode == 1
    assert "--train --warmup 1 failed, and is left out of later rounds: exit" in result.stderr
    assert "some commands failed, and have no results: cpu/timer.py" in result.stderr
    found = {file.name for file in folder.iterdir()}
    assert not {"mobilenetv2_pascal_train.txt", "mobilenetv2_pascal_gone.json"} & found
    assert set(others) <= found  # other inputs are not measured here
    records = load(folder, *(name for name in found if "pascal" in name and name.endswith("json")))
    assert len(records) >= 13 and all(len(record.runs) == 3 for record in records)


def test_modes_end_if_stock_fails(checkout, stand_in):
    before = files_in(checkout)
    env = {**stand_in, "STAND_IN_FAILS": "--i cityscapes --warmup 1", "INPUTS": "cityscapes"}
    result = run(checkout / "modes.sh", env=env)
    assert (result.returncode, result.stdout) == (1, "")
    assert "stored results are unchanged" in result.stderr.splitlines()[-1]
    assert files_in(checkout) == before


def test_bar_on_a_terminal(checkout, stand_in):
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))  # rows, columns
    process = start("stats.sh", cwd=checkout, env={**stand_in, "INPUTS": "64x64"}, stderr=theirs)
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # which ends a terminal
        while part := os.read(ours, 4096):
            shown += part
    os.close(ours)
    assert process.wait(timeout=60) == 0, shown
    text = shown.decode()
    assert re.search(r"cpu/stats.sh: 64x64, round 1 \S* .* of 6 runs", text), text


def test_every_wrapper_is_tested():
    wrappers = {
        str(file.relative_to(ROOT)) for file in (*ROOT.glob("*.sh"), *ROOT.glob("cpu/*.sh"))
    }
    assert wrappers == {"stats.sh", "modes.sh", *WRAPPERS}
    beginnings = {
        re.search(r"root=.*\n(.*\n.*)\n", (ROOT / wrapper).read_text())[1] for wrapper in wrappers
    }
    assert len(beginnings) == 1  # of which test_wrapper_copied_elsewhere() tries one
