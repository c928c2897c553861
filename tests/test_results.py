"""results.py, on the repository's own stored files."""

import json
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyperf
import pytest
from project import ENVIRONMENT, ROOT, assert_one_line, python, script

from backbone import memory, records
from backbone.rows import Ceilings, format_rows
from backbone.script import Failure, write_whole

STORED = [
    str(path.relative_to(ROOT))
    for name in ("*_stats", "cpu/*_stats", "devices", "memory_reports", "model_structures")
    for path in ROOT.glob(name)
]
RECORD = "cpu/mobilenetv2_stats/blocks/mobilenetv2_pascal.json"
TIMES = "cpu/mobilenetv2_stats/layers/mobilenetv2_cityscapes.txt"
REPORT = "memory_reports/mobilenetv2_pascal.txt"
STRUCTURE = "model_structures/mobilenetv2_cityscapes.txt"
WORDS = {  # what results.py says of a changed digit
    RECORD: "blocks/mobilenetv2_pascal.txt is not what mobilenetv2_pascal.json says",
    TIMES: "layers/mobilenetv2_cityscapes.txt is not what mobilenetv2_cityscapes.json says",
    REPORT: "latency_cityscapes.svg is not what the stored files say",
    STRUCTURE: "latency_cityscapes.svg is not what the stored files say",
}
every_file = pytest.mark.parametrize("name", [RECORD, TIMES, REPORT, STRUCTURE])


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what results.py is made of, reads and writes."""
    for name in ("backbone", "figures", *STORED):
        shutil.copytree(ROOT / name, tmp_path / name)
    for name in ("results.py", "README.md"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


@pytest.fixture
def one_device(checkout: Path) -> None:
    """No further devices' files."""
    shutil.rmtree(checkout / "devices", ignore_errors=True)


def results(checkout: Path, *flags: str) -> subprocess.CompletedProcess:
    return script(checkout / "results.py", *flags)


@pytest.fixture
def committed() -> None:
    """Who has measured anew has yet to update the README: that is no fault of the project."""
    command = ["git", "status", "--porcelain", "--", *STORED]
    status = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if status.returncode or status.stdout:
        pytest.skip("the stored files are not the committed ones")


@pytest.mark.usefixtures("committed")
def test_repository_is_what_its_stored_files_say():
    result = python("results.py", "--check")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


@pytest.mark.usefixtures("committed")
def test_stored_records_are_of_the_full_protocol():
    files = list((ROOT / "cpu/mobilenetv2_stats").rglob("*.json"))
    files += (ROOT / "mobilenetv2_stats").rglob("*.json")
    assert len(files) >= 6
    for file in (file for file in files if file.parent.name != "modes"):
        sums = {"block": 0.0, "layer": 0.0, "model": 0.0}
        for benchmark in pyperf.BenchmarkSuite.load(str(file)).get_benchmarks():
            about, runs = benchmark.get_metadata(), benchmark.get_runs()
            assert sum(len(run.values) for run in runs) == 300
            shared = len(runs) if "threads" in about else 1  # a GPU warms up in each process
            assert about["device"] and about["warmup"] * shared == 25
            sums[about["level"]] += sum(benchmark.get_values())
        for level in ("block", "layer"):
            if sums[level]:
                assert sums[level] == pytest.approx(sums["model"], rel=1e-3)


def test_update_is_repeatable_and_check_passes(checkout):
    figures = {file.name: file.read_bytes() for file in (checkout / "figures").iterdir()}
    readme = (checkout / "README.md").read_text()
    wrong = readme.replace("| MobileNet-V2 | PASCAL VOC 2012 ", "| MobileNet-V2 | Atlantis ")
    assert wrong != readme
    (checkout / "README.md").write_text(wrong)
    assert_one_line(results(checkout, "--check"), "README.md is not what the stored files say")
    shutil.rmtree(checkout / "figures")
    assert_one_line(results(checkout, "--check"), "No such file", "latency_cityscapes.svg")
    assert results(checkout, "--update").returncode == 0
    assert (checkout / "README.md").read_text() == readme
    assert {file.name for file in (checkout / "figures").iterdir()} == figures.keys()
    assert results(checkout, "--check").returncode == 0
    parts = results(checkout).stdout.split("#### ")[1:]
    assert len(parts) >= 5
    for title, _, text in (part.partition("\n\n") for part in parts):
        assert f"<!-- results.py: {title} -->\n{text.rstrip()}\n<!-- " in readme


@every_file
def test_one_changed_digit_fails_the_check(checkout, name):
    text = (checkout / name).read_text()
    place = text.index("0.0") + 4 if name == RECORD else text.rfind("0")
    assert text[place].isdigit()
    digit = "1" if text[place] != "1" else "2"
    (checkout / name).write_text(text[:place] + digit + text[place + 1 :])
    assert_one_line(results(checkout, "--check"), WORDS[name])


@every_file
@pytest.mark.parametrize("fault", ["missing", "empty", "truncated", "of another schema"])
def test_damaged_stored_file_leaves_the_readme(checkout, name, fault):
    readme, file = (checkout / "README.md").read_bytes(), checkout / name
    text = file.read_text()
    file.unlink()
    if fault != "missing":
        other = '{"version": "1.0", "benchmarks": []}'
        file.write_text({"empty": "", "truncated": text[: len(text) * 9 // 10]}.get(fault, other))
    assert_one_line(results(checkout, "--update"), str(file))
    assert (checkout / "README.md").read_bytes() == readme


@pytest.mark.usefixtures("one_device")
def test_no_stored_files(checkout):
    shutil.rmtree(checkout / "cpu")
    assert_one_line(results(checkout), "no stored times", "stats.sh")


def test_readme_without_markers(checkout):
    (checkout / "README.md").write_text("# Mine\n")
    for flag in ("--update", "--check"):
        assert_one_line(results(checkout, flag), "README.md lacks <!-- results.py: ")
    assert (checkout / "README.md").read_text() == "# Mine\n"


def test_stale_picture_fails_the_check(checkout):
    (checkout / "figures/roofline_pascal.svg").write_text("<svg/>")
    assert_one_line(results(checkout, "--check"), "roofline_pascal.svg is not what")


def test_changed_picture_fails_the_check(checkout):
    file = checkout / "figures/latency_pascal.svg"
    text = file.read_text()
    place = text.index("<path d=") + 11
    file.write_text(text[:place] + ("1" if text[place] != "1" else "2") + text[place + 1 :])
    assert_one_line(results(checkout, "--check"), "latency_pascal.svg is not what")
    assert results(checkout, "--update").returncode == 0
    assert results(checkout, "--check").returncode == 0


def test_users_own_style_is_not_the_pictures(checkout, tmp_path):
    (tmp_path / "matplotlibrc").write_text("axes.grid: True\nlines.linewidth: 9\n")
    environment = ENVIRONMENT | {"MATPLOTLIBRC": str(tmp_path / "matplotlibrc")}
    result = python(checkout / "results.py", "--check", env=environment)
    assert (result.returncode, result.stderr) == (0, "")


def rewrite_records(checkout: Path, folder: str, **metadata: str | int | None) -> None:
    """Give a folder's records other metadata; what is None goes."""
    for file in (checkout / folder).rglob("*.json"):
        suite = json.loads(file.read_text())
        suite["metadata"].update({k: v for k, v in metadata.items() if v is not None})
        for key in (key for key, value in metadata.items() if value is None):
            suite["metadata"].pop(key, None)
        file.write_text(json.dumps(suite))


def table(result: subprocess.CompletedProcess, title: str) -> list[list[str]]:
    """The cells of the rows of the first table under a title."""
    _, _, text = result.stdout.partition(f"{title}\n\n")
    assert text, result
    lines = next(block for block in text.split("\n\n") if block.startswith("|")).splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def rewrite(checkout: Path, change, folder: str = "cpu/mobilenetv2_stats") -> None:
    """Give the stored records of a folder other rows and runs; their texts stay true."""
    for file in (checkout / folder).rglob("*.json"):
        record = records.loads(file.read_text(), file)
        file.write_text(records.dumps(change(record)))


def in_runs(record: records.Record, runs: int) -> records.Record:
    """The samples of a record as if so many processes had taken them."""
    rows = [
        replace(row, samples=row.samples.reshape(runs, -1), page_faults=[]) for row in record.rows
    ]
    rows[-1].page_faults.extend([1000] * runs)
    own = {"date": "2026-11-23", "system_time": 0.25, "peak_resident_memory": 900 * 2**20}
    return record._replace(rows=rows, runs=[own] * runs)


@pytest.mark.usefixtures("one_device")
def test_intervals_come_from_processes(checkout):
    rewrite(checkout, lambda record: in_runs(record, 1))
    result = results(checkout)
    assert all(cells[4] == "-" for cells in table(result, "#### Inference time"))
    assert ": one process (which gives no interval) of " in result.stdout
    rewrite(checkout, lambda record: in_runs(record, 5))
    result = results(checkout)
    assert result.returncode == 0, result.stderr
    file = checkout / "cpu/mobilenetv2_stats/mobilenetv2_pascal.json"
    means = records.loads(file.read_text(), file).rows[-1].samples.mean(axis=1)
    half_width = 2.776 * means.std(ddof=1) / 5**0.5
    cells = table(result, "#### Inference time")[1]
    assert cells[3:5] == [f"{means.mean():.3f}", f"± {half_width:.3f}"]
    assert cells[7:] == ["1,000", "250", "900"]
    assert re.search(r": 5 processes of \d+ warm-up and 60 timed passes", result.stdout)
    for cells in table(result, "#### Sums of the rows"):
        for cell in cells[2:]:
            assert re.fullmatch(r"[01]\.\d{3} ± \d\.\d{3}", cell)


def without_ceilings(record: records.Record) -> records.Record:
    gone = Ceilings._fields
    runs = [{k: v for k, v in run.items() if k not in gone} for run in record.runs]
    return record._replace(runs=runs)


@pytest.mark.usefixtures("one_device")
def test_records_without_ceilings(checkout):
    words = "no ceilings, for lack of memory perhaps; stats.sh measures them"
    rewrite(checkout, without_ceilings)
    result = results(checkout)
    assert result.returncode == 0, result.stderr
    for dataset in ("Cityscapes", "PASCAL VOC 2012"):
        assert re.search(f"\n- {dataset}, .*: {words}\n", result.stdout)
    assert result.stdout.count(words) == 2 and "roofline" not in result.stdout
    assert_one_line(results(checkout, "--layers", "pascal"), "PASCAL VOC 2012, ", words)
    assert results(checkout, "--update").returncode == 0
    assert results(checkout, "--check").returncode == 0


def test_device_without_ceilings_beside_one_with_them(checkout):
    other = "devices/other/cpu/mobilenetv2_stats"
    shutil.copytree(checkout / "cpu/mobilenetv2_stats", checkout / other)
    rewrite(checkout, without_ceilings, other)
    lack = " (other): no ceilings, for lack of memory perhaps; stats.sh measures them\n"
    assert lack in results(checkout).stdout
    listed = results(checkout, "--layers", "pascal")
    assert listed.returncode == 0 and listed.stdout.startswith("PASCAL VOC 2012, ")
    assert listed.stdout.endswith(lack)
    shutil.rmtree(checkout / other)
    shutil.copytree(checkout / "cpu/mobilenetv2_stats", checkout / other)
    assert results(checkout).stdout.count("The pass takes ") == 4
    assert results(checkout, "--update").returncode == 0
    assert (checkout / "figures/roofline_pascal.svg").read_text().count("without MACs") == 2


def test_time_by_kind_is_all_of_the_pass(checkout):
    result = results(checkout)
    for dataset, title in (("cityscapes", "Cityscapes"), ("pascal", "PASCAL VOC 2012")):
        file = checkout / f"cpu/mobilenetv2_stats/layers/mobilenetv2_{dataset}.json"
        whole = records.loads(file.read_text(), file).rows[-1]
        _, caption, text, *_ = re.split(rf"\n({title}, [^\n]* GB/s\.)\n", result.stdout)
        lines = text.strip().split("\n\n")[0].splitlines()[2:]
        *kinds, total = [[c.strip() for c in line.strip("|").split("|")] for line in lines]
        assert total[:2] == ["all", "153"] and sum(int(kind[1]) for kind in kinds) == 153
        names = ", ".join(kind[0] for kind in kinds).split(", ")  # small ones are together
        assert len(names) == len(set(names)) == 10 and 5 <= len(kinds) < 10
        assert float(total[2]) == pytest.approx(whole.samples.mean(), rel=1e-3)
        times = [float(kind[2]) for kind in kinds]
        assert sum(times) == pytest.approx(float(total[2]), rel=1e-3)
        assert times == sorted(times, reverse=True)
        floored = sum(time for time, kind in zip(times, kinds, strict=True) if float(kind[7]) > 0)
        assert floored >= 0.99 * sum(times)
        assert f"The pass takes {float(total[2]):.1f} ms, its floor is " in caption


@pytest.mark.usefixtures("one_device")
def test_layers_by_the_time_that_they_lose(checkout):
    result = results(checkout, "--layers", "pascal")
    assert (result.returncode, result.stderr) == (0, "")
    title, head, *lines = result.stdout.splitlines()
    assert title.startswith("PASCAL VOC 2012, ") and head.split()[:2] == ["lost,", "ms"]
    assert lines[10] == "" and len(lines) == 154
    rows = [line.split() for line in lines if line]
    lost = [float(row[0]) for row in rows]
    assert lost == sorted(lost, reverse=True)
    for row in rows:
        assert float(row[0]) == pytest.approx(float(row[1]) - float(row[2]), abs=0.0011)
    assert len({line.index("[") for line in lines if line}) == 1  # aligned
    result = results(checkout, "--layers", "imagenet")
    assert result.returncode == 2 and "invalid choice: 'imagenet'" in result.stderr


def store_modes(checkout: Path, speed_ups: dict[str, float], late: str = "") -> Path:
    """Modes made of the stored whole passes, in three rounds: so many times as fast as the stock
    pass in each, give or take a tenth; a late one is of other rounds."""
    folder = checkout / "cpu/mobilenetv2_stats/modes"
    folder.mkdir(exist_ok=True)
    for dataset in ("cityscapes", "pascal"):
        file = checkout / f"cpu/mobilenetv2_stats/mobilenetv2_{dataset}.json"
        stock = in_runs(records.loads(file.read_text(), file), 3)
        for number, (mode, speed_up) in enumerate(speed_ups.items()):
            factors = np.array([[0.9], [1.0], [1.1]]) if mode.startswith("-") else np.ones((3, 1))
            row = stock.rows[-1]
            row = replace(row, samples=np.round(row.samples / factors / speed_up, 6))
            runs = [dict(run) for run in stock.runs]
            for i, run in enumerate(runs):
                run["date"] = f"2026-11-24 0{i + 3 * (mode == late)}:{number:02d}:00"
                if mode.startswith("-"):
                    run["output_difference"] = 2e-6
            about = stock.conditions | ({"mode": mode} if mode.startswith("-") else {})
            text = records.dumps(records.Record([row], about, runs))
            name = mode.replace("--", "").replace(" ", "_")
            (folder / f"mobilenetv2_{dataset}_{name}.json").write_text(text)
            (folder / f"mobilenetv2_{dataset}_{name}.txt").write_text(format_rows([row]))
    return folder


def test_modes_are_compared_round_by_round(checkout):
    shutil.rmtree(checkout / "cpu/mobilenetv2_stats/modes", ignore_errors=True)
    assert "#### Modes" not in results(checkout).stdout
    speed_ups = {"stock": 1, "stock again": 1, "--fold": 2, "--fold --train": 4, "--train": 0.5}
    folder = store_modes(checkout, speed_ups, late="--train")
    result = results(checkout)
    assert result.returncode == 0, result.stderr
    rows = table(result, "#### Modes")
    assert "; Cityscapes / PASCAL VOC 2012:" in result.stdout
    # The stock pass twice, then the fastest first.
    names = ["stock", "stock again", "`--fold --train`", "`--fold`", "`--train`"]
    assert [row[0] for row in rows] == names
    # Student's t for three rounds is 4.303; the ratios' standard deviation a tenth of them.
    wide = {2: 4.303 * 0.2 / 3**0.5, 4: 4.303 * 0.4 / 3**0.5}
    for number in range(2):
        cells = [[cell.split(" / ")[number] for cell in row[1:]] for row in rows]
        assert [row[:2] for row in cells] == [
            ["1.00", "1.00 to 1.00"],
            ["1.00", "1.00 to 1.00"],
            ["4.00", f"{4 - wide[4]:.2f} to {4 + wide[4]:.2f}"],
            ["2.00", f"{2 - wide[2]:.2f} to {2 + wide[2]:.2f}"],
            ["of other rounds", "-"],
        ]
        assert [row[4] for row in cells] == ["none", "none", "2e-06", "2e-06", "2e-06"]
        assert {row[6] for row in cells} == {"900"}
    assert "](figures/modes.svg)" in result.stdout
    assert results(checkout, "--update").returncode == 0
    assert results(checkout, "--check").returncode == 0
    for file in folder.glob("mobilenetv2_cityscapes_fold.*"):  # it failed there
        file.unlink()
    rows = table(results(checkout), "#### Modes")
    assert next(row[1] for row in rows if row[0] == "`--fold`") == "- / 2.00"
    (folder / "mobilenetv2_pascal_fold.txt").write_text("2 ms\n")
    assert_one_line(results(checkout), "mobilenetv2_pascal_fold.txt is not what")
    (folder / "mobilenetv2_cityscapes_stock.json").unlink()
    assert_one_line(results(checkout), "No such file", "mobilenetv2_cityscapes_stock.json")


@pytest.mark.usefixtures("one_device")
def test_networks_beside_each_other_may_differ_in_passes(checkout):
    for path in [*checkout.glob("cpu/*_stats"), *checkout.glob("m*/*_*.txt")]:
        if "mobilenetv2_stats" not in path.name and "mobilenetv2_" not in path.name.replace(
            "_os", "-"
        ):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert "#### Networks" not in results(checkout).stdout
    other = checkout / "cpu/resnet18_stats"
    for file in (checkout / "cpu/mobilenetv2_stats").rglob("mobilenetv2_*.json"):
        if file.parent.name == "modes":
            continue
        record = in_runs(records.loads(file.read_text(), file), 3)
        rows = [replace(row, samples=row.samples[:, :10]) for row in record.rows]
        place = other / file.relative_to(checkout / "cpu/mobilenetv2_stats").with_name(
            file.name.replace("mobilenetv2", "resnet18")
        )
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(records.dumps(record._replace(rows=rows)))
        place.with_suffix(".txt").write_text(format_rows(rows))
    for folder in ("memory_reports", "model_structures"):
        for file in (checkout / folder).glob("mobilenetv2_*"):
            shutil.copy(file, file.with_name(file.name.replace("mobilenetv2", "resnet18")))
    result = results(checkout)
    assert result.returncode == 0, result.stderr
    rows = table(result, "#### Networks")
    assert [row[0] for row in rows] == ["MobileNet-V2", "resnet18"] * 2
    assert [row[-1] for row in rows[:2]] == ["5 x 60", "3 x 10"]
    assert [row[6:9] for row in rows[:2]] == [["3.505", "12.519", "453.5"]] * 2
    for row in rows:
        assert float(row[9]) == pytest.approx(2 * float(row[7]) / float(row[3]) * 1e3, rel=0.01)
    assert [row[0] for row in table(result, "#### Inference time")] == ["MobileNet-V2"] * 2
    assert [row[0] for row in table(result, "#### Memory")] == ["MobileNet-V2"] * 2
    assert results(checkout, "--update").returncode == 0
    assert "networks.svg" in (checkout / "README.md").read_text()
    assert results(checkout, "--check").returncode == 0


def test_records_of_unlike_rounds(checkout):
    file = checkout / RECORD
    record = records.loads(file.read_text(), file)
    file.write_text(records.dumps(in_runs(record, 2)))
    assert_one_line(results(checkout), str(file), "is not of the run that the others are of: ")


@pytest.mark.usefixtures("one_device")
def test_frames_a_second_of_a_batch_are_images(checkout):
    def frames() -> list[float]:
        return [float(cells[6]) for cells in table(results(checkout), "#### Inference time")]

    single = frames()
    for file in (checkout / "cpu/mobilenetv2_stats").rglob("mobilenetv2_*"):
        file.write_text(file.read_text().replace("[1, ", "[4, "))
    assert frames() == pytest.approx([4 * each for each in single], rel=0.02)


CUDA = {
    "device": "NVIDIA GPU",
    "cuda_version": "12.8",
    "cudnn_version": "91002",
    "cudnn_allow_tf32": "True",
}


@pytest.mark.parametrize(
    ("capability", "allowed", "said"),
    [
        ("7.5", "True", False),
        ("8.0", "True", True),
        ("12.0", "True", True),
        ("9.0", "False", False),
    ],
)
def test_tf32_is_said_of_gpus_that_have_it(checkout, capability, allowed, said):
    cpu, cuda = checkout / "cpu/mobilenetv2_stats", checkout / "mobilenetv2_stats"
    shutil.copytree(cpu, cuda, dirs_exist_ok=True)
    about = CUDA | {"compute_capability": capability, "cudnn_allow_tf32": allowed}
    rewrite_records(checkout, "mobilenetv2_stats", **about, threads=None)
    result = results(checkout)
    assert result.returncode == 0, result.stderr
    begins = "- MobileNet-V2, NVIDIA GPU: "
    line = next(line for line in result.stdout.splitlines() if line.startswith(begins))
    assert ("TF32 convolutions" in line) is said and "cuDNN 91002" in line


def test_interrupted_update_leaves_the_readme(checkout):
    shutil.rmtree(checkout / "figures")
    readme = (checkout / "README.md").read_bytes()
    process = subprocess.Popen(
        [sys.executable, checkout / "results.py", "--update"],
        env=ENVIRONMENT,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (checkout / "figures/latency_cityscapes.svg").exists():
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=30)
    assert (process.returncode, stderr) == (130, "")
    assert (checkout / "README.md").read_bytes() == readme


def test_update_on_a_full_disk_leaves_the_readme(checkout):
    # As on a disk that has room for the pictures' beginnings alone.
    before = {path: path.read_bytes() for path in checkout.rglob("*.[sm][vd]*")}
    result = python(
        checkout / "results.py",
        "--update",
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)),
    )
    assert_one_line(result, "cannot write", "File too large")
    assert {path: path.read_bytes() for path in checkout.rglob("*.[sm][vd]*")} == before
    assert len(before) >= 4
    assert not [path for path in checkout.rglob("*.new")]


@pytest.mark.usefixtures("one_device")
def test_each_device_has_its_rows(checkout):
    other = checkout / "devices/other"
    for folder in ("cpu/mobilenetv2_stats", "memory_reports"):
        shutil.copytree(checkout / folder, other / folder)
    result = results(checkout)
    for title in ("#### Inference time", "#### Sums of the rows"):
        rows = table(result, title)
        assert [any("(other)" in cell for cell in row) for row in rows] == [False, True] * 2
    assert result.stdout.count("| cpu |") == result.stdout.count("| cpu (other) |") == 2
    assert results(checkout, "--update").returncode == 0
    assert " (other)" in (checkout / "README.md").read_text()
    assert results(checkout, "--check").returncode == 0


def test_memory_on_a_gpu_is_named_and_measured(checkout):
    # What mem.py adds on CUDA, by its own code.
    predicted = memory.Peak(0, 0, 0, 100 * memory.MIB, "features (Conv2d)")
    *_, line = memory.format_peak(predicted, 123 * memory.MIB, "GPU (of a kind)").splitlines()
    for name in ("memory_reports", "model_structures"):
        shutil.copytree(checkout / name, checkout / "devices/other" / name)
    for file in (checkout / "devices/other/memory_reports").iterdir():
        text = file.read_text().replace("Storage on cpu", "Storage on cuda:0")
        file.write_text(f"{text}{line}\n")
    result = results(checkout)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("| GPU (of a kind) (other) |") == 2
    assert result.stdout.count("| 453.5 | 123.0 |") == 1


def test_memory_of_another_batch_size(checkout):
    file = checkout / REPORT
    file.write_text(file.read_text().replace("(1, 3, 500, 334)", "(4, 3, 500, 334)"))
    assert_one_line(results(checkout), "mobilenetv2_pascal.txt is not of batch size 4")
    structure = checkout / "model_structures/mobilenetv2_pascal.txt"
    structure.write_text(structure.read_text().replace("[-1, ", "[4, "))
    result = results(checkout)
    assert result.returncode == 0 and "| cpu, batch 4 |" in result.stdout


def test_memory_of_more_than_a_gigabyte(checkout):
    file = checkout / REPORT
    file.write_text(file.read_text().replace("Used Memory: 15.49M", "Used Memory: 1.50G"))
    assert table(results(checkout), "#### Memory")[1][3] == "1536.00"


def test_files_of_a_run_that_was_killed_are_no_results(checkout):
    for folder in ("cpu/mobilenetv2_stats", "devices/other/mobilenetv2_stats"):
        (checkout / folder / ".new/blocks").mkdir(parents=True)
        (checkout / folder / ".new/blocks/mobilenetv2_pascal.txt").touch()
    assert results(checkout, "--check").returncode == 0


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("threads", 64, "is not of the run that the others are of: threads"),
        ("target", "model", "is not of the run that the others are of: target"),
    ],
)
def test_record_of_another_run(checkout, key, value, words):
    suite = json.loads((checkout / RECORD).read_text())
    suite["metadata"][key] = value
    (checkout / RECORD).write_text(json.dumps(suite))
    assert_one_line(results(checkout), str(checkout / RECORD), words)


@pytest.mark.parametrize("moment", ["write_text", "replace"])
@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_file_is_whole_whenever_its_writing_ends(tmp_path, monkeypatch, moment, interrupt):
    file = tmp_path / "README.md"
    file.write_text("as it was")
    method = getattr(Path, moment)

    def write_text(path, text, **options):
        method(path, text[: len(text) // 2], **options)
        raise interrupt

    def replace(path, target):
        raise interrupt

    monkeypatch.setattr(Path, moment, {"write_text": write_text, "replace": replace}[moment])
    with pytest.raises((KeyboardInterrupt, Failure)):
        write_whole(str(file), "what is new")
    assert file.read_text() == "as it was"
    assert list(tmp_path.iterdir()) == [file]
