"""What wrappers store, refuse and say."""

import json
import resource
import shutil
import signal

import pytest
from project import ENVIRONMENT
from wrappers import CPU_TIMES, REPORTS, TIMES, WRAPPERS, every_shell, every_wrapper, files_in, run

import mem
from backbone.record import records


@every_wrapper
def test_stores_results_whole_from_another_folder(checkout, wrapper, tmp_path, ready):
    files, quick = WRAPPERS[wrapper]
    files = [file for file in files if "cityscapes" in file]  # the stand-in has the other input too
    before = files_in(checkout)
    environment = ENVIRONMENT if wrapper == "summary.sh" else ready
    env = {**environment, "ROUNDS": "1", "INPUTS": "cityscapes"}
    result = run(checkout / wrapper, *quick, cwd=tmp_path, env=env)
    assert (result.returncode, result.stdout) == (0, ""), result.stderr
    after = files_in(checkout)
    assert after.keys() == before.keys()
    changed = {name for name in after if after[name] != before[name]}
    assert changed == set(files)
    for file in files:
        assert file.removesuffix(".json").removesuffix(".txt") in result.stderr
        if file.endswith(".json") and "stats" in wrapper:
            record = records.load(checkout / file)
            assert all(row.samples.shape == (1, 2) for row in record.rows)
            assert [(run["round"], run["group"]) for run in record.runs] == [(1, 0)]
        elif file.endswith(".json"):
            assert json.loads((checkout / file).read_text())["input"]["batch_size"] == 1
    assert not list(checkout.rglob(".new"))


@every_shell
def test_every_shell_and_a_folder_for_another_device(checkout, shell, stand_in):
    env = {**stand_in, "RESULTS": "devices/a b"}
    before = files_in(checkout)
    for wrapper, (files, _) in WRAPPERS.items():
        result = run(wrapper, shell=shell, cwd=checkout, env=env)
        assert result.returncode == 0, result.stderr
        new = files_in(checkout).keys() - before.keys()
        assert {f"devices/a b/{file}" for file in files} <= new
    assert len(new) == len(CPU_TIMES) + 2 * len(REPORTS)
    assert before.items() <= files_in(checkout).items()


@every_wrapper
def test_inputs_may_be_other_ones(checkout, stand_in, wrapper):
    files, _ = WRAPPERS[wrapper]
    before = files_in(checkout)
    result = run(checkout / wrapper, env={**stand_in, "INPUTS": "pascal 6x64x96"})
    assert (result.returncode, result.stdout) == (0, ""), result.stderr
    after = files_in(checkout)
    expected = {file.replace("cityscapes", "6x64x96") for file in files}
    assert {name for name in after if after[name] != before.get(name)} == expected
    if wrapper == "cpu/stats.sh":  # which ends with the whole pass of each, of two rounds of VOC's
        last = [line.partition("--i ")[2].split() for line in result.stderr.splitlines()[-4:-1]]
        assert [words[0] for words in last] == ["pascal", "pascal", "6x64x96"]


@every_shell
def test_model_twice_is_the_last_for_files_and_script(checkout, shell, stand_in):
    before = files_in(checkout)
    words = ["--model", "vgg11", "--model=mobilenet_v2", "--model", "resnet18"]
    result = run(checkout / "summary.sh", *words, shell=shell, env=stand_in)
    assert result.returncode == 0, result.stderr
    new = files_in(checkout).keys() - before.keys()
    assert new == {
        f"model_structures/{file.replace('mobilenetv2', 'resnet18')}" for file in REPORTS
    }
    text = (checkout / "model_structures/resnet18_pascal.txt").read_text()
    assert mem.parse_options(text.split()[1:]).workload.model == "resnet18"


def test_stats_on_a_cuda_device(checkout, stand_in):
    before = files_in(checkout)
    env = {**stand_in, "STAND_IN_CUDA": "0", "ROUNDS": "2"}
    result = run(checkout / "stats.sh", "--iterations", "7", env=env)
    assert (result.returncode, result.stdout) == (0, ""), result.stderr
    assert "cpu" not in result.stderr
    after = files_in(checkout)
    assert after.keys() - before.keys() == {f"mobilenetv2_stats/{file}" for file in TIMES}
    assert before.items() <= after.items()
    for dataset in ("cityscapes", "pascal"):
        for folder, target in (("", "model"), ("blocks/", "block"), ("layers/", "layer")):
            text = (checkout / f"mobilenetv2_stats/{folder}mobilenetv2_{dataset}.txt").read_text()
            line = f"timer.py --i {dataset} --target {target} --iterations 7 --rounds 2\n"
            assert text == 2 * line


def test_stats_hands_over_without_a_cuda_device(checkout, ready):
    before = files_in(checkout)
    # A batch that no memory holds: it shows who measures, and takes no time.
    result = run(checkout / "stats.sh", "--s", "100000000", env=ready)
    first, *planned, at, last = result.stderr.splitlines()
    assert result.returncode == 1
    assert first.startswith("stats.sh: no CUDA device here (PyTorch ") and "cpu/stats.sh" in first
    assert len(planned) == 12
    assert all(line.startswith("cpu/stats.sh: cpu/timer.py --i ") for line in planned)
    assert at == "cpu/stats.sh: round 1 of 2, pascal: 6 runs by turns"
    assert "failed: exit status 1: cpu/timer.py: out of memory" in last
    assert files_in(checkout) == before


def test_stats_does_not_take_a_failing_torch_for_no_cuda_device(checkout, stand_in):
    before = files_in(checkout)
    result = run(checkout / "stats.sh", env={**stand_in, "STAND_IN_CUDA": "1"})
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == "stats.sh: cannot ask torch for a CUDA device\n"
    assert files_in(checkout) == before


def test_failing_first_run_leaves_no_folder(checkout, stand_in):
    shutil.rmtree(checkout / "model_structures")
    env = {**stand_in, "STAND_IN_FAILS": "mem.py"}
    assert run(checkout / "summary.sh", env=env).returncode == 3
    assert not (checkout / "model_structures").exists()


@every_wrapper
def test_failing_script(checkout, wrapper, stand_in):
    before = files_in(checkout)
    result = run(checkout / wrapper, env={**stand_in, "STAND_IN_FAILS": "--i cityscapes"})
    last = result.stderr.splitlines()[-1]
    assert last.startswith(f"{wrapper}: ") and "--i cityscapes" in last and "as it was" in last
    by_rounds = "stats" in wrapper
    assert (result.returncode, result.stdout) == (1 if by_rounds else 3, "")
    assert ("failed: exit status 3" if by_rounds else "failed (exit status 3)") in last
    assert files_in(checkout) == before and not list(checkout.rglob(".new"))


@every_wrapper
def test_wrong_flags(checkout, wrapper, ready):
    before = files_in(checkout)
    result = run(checkout / wrapper, "--speed", env=ready)
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


def fill_disk() -> None:
    """As on a disk with 64 bytes left: no file can grow beyond that."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64))


@pytest.mark.parametrize("wrapper", ["cpu/stats.sh", "summary.sh"])
def test_full_disk(checkout, wrapper, ready):
    before = files_in(checkout)
    flags = WRAPPERS[wrapper][1]
    result = run(checkout / wrapper, *flags, env=ready, preexec_fn=fill_disk)
    assert (result.returncode, result.stdout) == (1, "")
    *_, script, last = result.stderr.splitlines()
    if wrapper == "cpu/stats.sh":
        assert last == "cpu/stats.sh: cannot write in .new"
    else:
        assert "cannot write" in script or "cannot go on: File too large" in script
        assert "failed (exit status 1)" in last
    assert files_in(checkout) == before and not list(checkout.rglob(".new"))
    assert not list(checkout.rglob("__pycache__"))  # nor a cache that is cut short


WHERE = pytest.mark.parametrize("wrapper", ["stats.sh", *WRAPPERS])


@WHERE
def test_wrapper_copied_elsewhere(checkout, stand_in, wrapper, tmp_path):
    copy = tmp_path / "elsewhere/slurm_script"
    copy.parent.mkdir()
    shutil.copy(checkout / wrapper, copy)
    elsewhere = {"SLURM_SUBMIT_DIR": str(tmp_path)}
    for folder, said in (({}, "in no checkout"), (elsewhere, f"{tmp_path}/shell/wrapper.sh")):
        result = run(copy, cwd=tmp_path, env={**stand_in, **folder})
        assert (result.returncode > 0, result.stdout) == (True, "")
        assert said in result.stderr
        assert result.stderr.count("\n") == 1
    # Slurm runs a copy of the script, and says from where it was submitted.
    result = run(copy, cwd=tmp_path, env={**stand_in, "SLURM_SUBMIT_DIR": str(checkout)})
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    ("wrapper", "flags", "ending"),
    [
        ("cpu/stats.sh", ["--dtype=bfloat16"], "_dtype_bfloat16"),
        ("cpu/stats.sh", ["--s", "4", "--threads", "1"], "_threads_1_s_4"),
        ("cpu/stats.sh", ["--threads=1", "--batch-size=4"], "_threads_1_s_4"),
        ("cpu/stats.sh", ["--s", "4", "--s", "1", "--dtype", "float32"], ""),
        ("stats.sh", ["--fold", "--channels-last"], "_channels-last_fold"),
        ("modes.sh", ["--s", "4"], "_s_4"),
        ("mem_report.sh", ["--s", "4"], "_s_4"),
        ("mem_report.sh", ["--device", "cpu"], "_device_cpu"),
        ("summary.sh", ["--s", "4", "--output-stride", "8"], "_s_4"),
    ],
)
def test_other_conditions_take_no_results_place(checkout, stand_in, wrapper, flags, ending):
    before = files_in(checkout)
    env = {**stand_in, "ROUNDS": "1", "STAND_IN_CUDA": "0" if wrapper == "stats.sh" else "3"}
    result = run(checkout / wrapper, *flags, env=env)
    assert (result.returncode, result.stdout) == (0, ""), result.stderr
    after = files_in(checkout)
    changed = {file for file in after if before.get(file) != after[file]}
    network = "mobilenetv2_os8" if "--output-stride" in flags else "mobilenetv2"
    folders = {
        "cpu/stats.sh": [f"cpu/{network}_stats{kept}{ending}/" for kept in ("", "_keep-memory")],
        "stats.sh": [f"{network}_stats{ending}/"],
        "modes.sh": [f"cpu/{network}_stats{ending}/modes/"],
        "mem_report.sh": [f"memory_reports{ending}/"],
        "summary.sh": [f"model_structures{ending}/"],
    }[wrapper]
    for folder in folders:
        assert any(file.startswith(folder) for file in changed)
    assert all(file.startswith(tuple(folders)) for file in changed)
    assert ending == "" or before.items() <= after.items()


def test_flags_that_layers_cannot_have_are_refused_at_once(checkout, ready):
    result = run(checkout / "cpu/stats.sh", "--compile", env=ready)
    assert (result.returncode, result.stdout) == (2, "")
    assert "--compile fuses operations" in result.stderr and "round 1" not in result.stderr
