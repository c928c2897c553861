"""What results.py writes and finds out, on small results; and whether the repository's own stored
files are in order."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pyperf
import pytest
import small_results
from project import ENVIRONMENT, ROOT, assert_one_line, patch, python
from small_results import (
    change_records,
    results,
    store,
    with_conditions,
    with_runs,
    with_times,
)

from backbone.record import records
from backbone.record.rows import Record
from backbone.report.sections import SECTIONS

TIMES = "cpu/mobilenetv2_stats"
RECORD = f"{TIMES}/blocks/mobilenetv2_pascal.json"
TEXT = f"{TIMES}/layers/mobilenetv2_cityscapes.txt"
REPORT = "memory_reports/mobilenetv2_pascal.json"
STRUCTURE = "model_structures/mobilenetv2_cityscapes.json"
MODES = ["Modes", "Processes of the modes"]  # the parts that a mode's times are in

updated, checkout = small_results.updated, small_results.checkout  # fixtures


def change_file(file: Path, pattern: str) -> None:
    """Change the digit that a pattern's group finds first in a file."""
    text = file.read_text()
    match = re.search(pattern, text)
    assert match, f"{file} has no {pattern}"
    digit = "1" if match[1] != "1" else "2"
    file.write_text(text[: match.start(1)] + digit + text[match.end(1) :])


def read_files(folder: Path, *patterns: str) -> dict[str, bytes]:
    """The bytes of the files of these patterns, by their paths in the folder."""
    files = [file for pattern in patterns for file in folder.rglob(pattern) if file.is_file()]
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


# The repository's own results.

STORED = [
    str(path.relative_to(ROOT))
    for name in ("*_stats*", "cpu/*_stats*", "devices", "memory_reports*", "model_structures*")
    for path in ROOT.glob(name)
]


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
    folders = [*ROOT.glob("cpu/mobilenetv2_stats*"), *ROOT.glob("mobilenetv2_stats*")]
    files = [file for folder in folders for file in folder.rglob("*.json")]
    assert len(files) >= 6
    for file in (file for file in files if file.parent.name != "modes"):
        sums = {"block": 0.0, "layer": 0.0, "model": 0.0}
        dataset = file.stem.rpartition("_")[2]
        for benchmark in pyperf.BenchmarkSuite.load(str(file)).get_benchmarks():
            about, runs = benchmark.get_metadata(), benchmark.get_runs()
            assert about["device"] and len(runs) >= 10
            # A process has two turns at Cityscapes size, and five at VOC size.
            assert min(len(run.values) for run in runs) >= {"cityscapes": 16, "pascal": 50}[dataset]
            assert about["warmup"] >= 2
            sums[about["level"]] += sum(benchmark.get_values())
        for level in ("block", "layer"):
            if sums[level]:
                assert sums[level] == pytest.approx(sums["model"], rel=1e-3)


# What is written, and what is found out.


def test_update_is_repeatable_and_check_passes(checkout):
    figures, pages = read_files(checkout, "*.svg"), read_files(checkout, "*.md")
    assert len(figures) == 8
    for page in pages:
        patch(checkout / page, "AMD EPYC", "AMD EPIC")
        assert_one_line(results(checkout, "--check"), f"{page} is not what the stored files say")
        (checkout / page).write_bytes(pages[page])
    shutil.rmtree(checkout / "figures")
    assert_one_line(results(checkout, "--check"), "parts.svg is not what the stored files say")
    assert results(checkout, "--update").returncode == 0
    assert read_files(checkout, "*.md") == pages
    assert read_files(checkout, "*.svg") == figures
    result = results(checkout, "--check")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_results_page_is_what_is_printed_and_has_every_part_and_picture(checkout):
    page = (checkout / "RESULTS.md").read_text()
    assert results(checkout).stdout == page
    heads = re.findall(r"^## (.+)$", page, re.MULTILINE)
    assert heads == [section.title for section in SECTIONS]
    assert re.findall(r"^- \[(.+)\]\(#.+\)$", page, re.MULTILINE) == heads
    for section in SECTIONS:
        assert f"## {section.title}\n\n{section.reading}\n\n" in page
    pictures = sorted(re.findall(r"\]\(figures/(.+)\)", page))
    assert pictures == sorted(file.name for file in (checkout / "figures").iterdir())


def test_other_pages_have_parts_between_their_markers(checkout):
    page = (checkout / "RESULTS.md").read_text()
    readme, method = ((checkout / name).read_text() for name in ("README.md", "METHOD.md"))
    sums = SECTIONS[-1]
    title = sums.title
    text = page.partition(f"## {title}\n\n{sums.reading}\n\n")[2].partition("\n\n## ")[0]
    assert f"<!-- results.py: {title} -->\n{text.strip()}\n<!-- results.py: end -->\n" in method
    assert readme.startswith("# Small results\n\n<!-- results.py: Picture -->\n![")
    assert readme.endswith("<!-- results.py: end -->\n\nThe end.\n")


def test_a_page_may_have_no_markers_but_none_of_parts_that_are_not(checkout):
    (checkout / "README.md").write_text("# Mine\n")
    assert results(checkout, "--update").returncode == 0
    assert (checkout / "README.md").read_text() == "# Mine\n"
    text = "# Mine\n\n<!-- results.py: Times -->\n<!-- results.py: end -->\n"
    (checkout / "README.md").write_text(text)
    for flag in ("--update", "--check"):
        words = f"{checkout / 'README.md'}: results.py makes no part that is called 'Times'"
        assert_one_line(results(checkout, flag), words)
    assert (checkout / "README.md").read_text() == text


@pytest.mark.parametrize(
    ("name", "digit", "text"),
    [
        (RECORD, r"0\.0\d(\d)", f"{TIMES}/blocks/mobilenetv2_pascal.txt"),
        (TEXT, r"std = \d+\.\d\d(\d)", TEXT),
        (f"{TIMES}/modes/mobilenetv2_pascal_fold.txt", r"is (\d)", None),
        (REPORT, r'"allocated_bytes": (\d)', "memory_reports/mobilenetv2_pascal.txt"),
        ("memory_reports/mobilenetv2_pascal.txt", r"activations: +\d(\d)", None),
        ("memory_reports/resnet18_pascal.txt", r"Parameters: (\d)", None),
        (STRUCTURE, r'"parameters": \d(\d)', "model_structures/mobilenetv2_cityscapes.txt"),
        ("model_structures/mobilenetv2_cityscapes.txt", r"Total MACs: (\d)", None),
    ],
)
def test_one_changed_digit_fails_the_check(checkout, name, digit, text):
    change_file(checkout / name, digit)
    record = Path(text or name).with_suffix(".json").name
    said = f"{checkout / (text or name)} is not what {record} says"
    assert_one_line(results(checkout, "--check"), said)


@pytest.mark.parametrize(
    ("name", "words", "fault"),
    [
        (RECORD, "is no record of a timer", "empty"),
        (RECORD, "is no record of a timer", "of another form"),
        (TEXT, "is not what mobilenetv2_cityscapes.json says", "truncated"),
        (REPORT, "is cut short, or of another form", "truncated"),
        (STRUCTURE, "is cut short, or of another form", "of another form"),
        (
            *(STRUCTURE.replace(".json", ".txt"), "is not what mobilenetv2_cityscapes.json says"),
            "empty",
        ),
    ],
)
def test_damaged_stored_file_leaves_the_readme(checkout, name, words, fault):
    file = checkout / name
    text = file.read_text()
    other = '{"version": "1.0", "benchmarks": []}'
    file.write_text({"empty": "", "truncated": text[: len(text) * 9 // 10]}.get(fault, other))
    before = read_files(checkout, "README.md", "*.svg")
    assert_one_line(results(checkout, "--update"), f"{file} {words}")
    assert read_files(checkout, "README.md", "*.svg") == before


@pytest.mark.parametrize(
    ("name", "maker"),
    [
        (RECORD, "stats.sh"),
        (TEXT, "stats.sh"),
        (REPORT, "mem_report.sh"),
        (STRUCTURE.replace(".json", ".txt"), "summary.sh"),
        (f"{TIMES}/modes/mobilenetv2_pascal_fold.json", "modes.sh"),
    ],
)
def test_missing_stored_file_leaves_the_readme(checkout, name, maker):
    before = read_files(checkout, "README.md", "*.svg")
    (checkout / name).unlink()
    said = f"{checkout / name} is missing; {maker} makes it"
    assert_one_line(results(checkout, "--update"), said)
    assert read_files(checkout, "README.md", "*.svg") == before


@pytest.mark.parametrize("dataset", ["cityscapes", "pascal"])
def test_one_dataset_alone(checkout, dataset):
    for file in checkout.rglob(f"*_{dataset}*.*"):
        file.unlink()
    other = {"cityscapes": "pascal", "pascal": "cityscapes"}[dataset]
    assert results(checkout, "--update").returncode == 0
    assert results(checkout, "--check").returncode == 0
    listed = results(checkout, "--layers", other)
    assert (listed.returncode, listed.stderr) == (0, "")
    assert_one_line(results(checkout, "--layers", dataset), f"no times of {dataset} are stored")


def test_a_number_that_is_none(checkout):
    file = checkout / RECORD
    file.write_text(re.sub(r'"macs": ?\d+', '"macs": "x"', file.read_text()))
    assert_one_line(results(checkout), f"{file} is no record of a timer")


def test_the_c_locale(checkout):
    ascii_only = ENVIRONMENT | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": ""}
    result = python(checkout / "results.py", env=ascii_only, encoding="utf-8")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == (checkout / "RESULTS.md").read_text("utf-8") and "²" in result.stdout


def test_record_that_does_not_say_its_device(checkout):
    for record in (checkout / TIMES).rglob("*.json"):
        suite = json.loads(record.read_text())
        del suite["metadata"]["device"]
        record.write_text(json.dumps(suite))
    assert_one_line(results(checkout), "mobilenetv2_cityscapes.json does not say its device")


def test_readme_in_another_encoding(checkout):
    readme = checkout / "README.md"
    readme.write_bytes(readme.read_bytes() + b"\xe9")
    before = readme.read_bytes()
    for flag in ("--check", "--update"):
        assert_one_line(results(checkout, flag), "README.md is no text in UTF-8")
    assert readme.read_bytes() == before


def test_memory_report_without_a_structure(checkout):
    (checkout / STRUCTURE).unlink()
    (checkout / STRUCTURE).with_suffix(".txt").unlink()
    report = checkout / "memory_reports/mobilenetv2_cityscapes.json"
    words = f"{report} has no structure of the same input; summary.sh with the same flags makes one"
    assert_one_line(results(checkout, "--update"), words)


def test_no_stored_files(checkout):
    shutil.rmtree(checkout / "cpu")
    assert_one_line(results(checkout), "no stored times", "stats.sh")


def test_pending_results_are_none(checkout):
    for root, folder in ((".", TIMES), ("devices/other", "mobilenetv2_stats")):
        new = checkout / root / ".pending/stats.sh-01234567/new" / folder
        (new / "blocks").mkdir(parents=True)
        (new / "blocks/mobilenetv2_pascal.txt").touch()
        (new / "mobilenetv2_pascal.json").touch()
    assert results(checkout, "--check").returncode == 0


def test_records_of_unlike_rounds(checkout):
    change_records(checkout / RECORD, lambda record: with_runs(record, count=2))
    words = "is not of the run that the others are of: runs"
    assert_one_line(results(checkout), f"{checkout / RECORD} {words}")


@pytest.mark.parametrize(
    ("field", "value"),
    [("threads", 64), ("target", "model"), ("dataset", "cityscapes"), ("OMP_PROC_BIND", "true")],
)
def test_record_of_another_run(checkout, field, value):
    suite = json.loads((checkout / RECORD).read_text())
    suite["metadata"][field] = value
    (checkout / RECORD).write_text(json.dumps(suite))
    words = f"is not of the run that the others are of: {field}"
    assert_one_line(results(checkout), f"{checkout / RECORD} {words}")


# Pictures.


def test_stale_picture_fails_the_check(checkout):
    (checkout / "figures/roofline_pascal.svg").write_text("<svg/>")
    assert_one_line(results(checkout, "--check"), "roofline_pascal.svg is not what")


def test_changed_picture_fails_the_check(checkout):
    before = read_files(checkout, "*.svg")
    change_file(checkout / "figures/latency_pascal.svg", '<path d="M \\d*(\\d)')
    assert_one_line(results(checkout, "--check"), "latency_pascal.svg is not what")
    assert results(checkout, "--update").returncode == 0
    assert read_files(checkout, "*.svg") == before


def slower(record: Record) -> Record:
    """A record whose passes all take twice as long."""
    return with_times(record, 2)


@pytest.mark.parametrize(
    ("path", "change", "picture", "titles"),
    [
        (f"{TIMES}/modes/mobilenetv2_pascal_train.json", slower, "modes", MODES),
        ("cpu/resnet18_stats/resnet18_pascal.json", slower, "networks", ["Networks"]),
    ],
)
def test_change_changes_only_the_picture_that_shows_it(checkout, path, change, picture, titles):
    before = read_files(checkout, "RESULTS.md", "*.svg")
    change_records(checkout / path, change)
    assert_one_line(results(checkout, "--check"), "RESULTS.md is not what the stored files say")
    assert results(checkout, "--update").returncode == 0
    after = read_files(checkout, "RESULTS.md", "*.svg")
    changed = [name for name in before if after[name] != before[name]]
    assert before.keys() == after.keys()
    assert sorted(changed) == ["RESULTS.md", f"figures/{picture}.svg"]
    parts = zip(*(each["RESULTS.md"].split(b"\n## ") for each in (before, after)), strict=True)
    other = [new.decode().partition("\n")[0] for old, new in parts if old != new]
    assert other == titles


def test_users_own_style_is_not_the_pictures(checkout, tmp_path):
    (tmp_path / "matplotlibrc").write_text("axes.grid: True\nlines.linewidth: 9\n")
    environment = ENVIRONMENT | {"MATPLOTLIBRC": str(tmp_path / "matplotlibrc")}
    result = python(checkout / "results.py", "--check", env=environment)
    assert (result.returncode, result.stderr) == (0, "")


def test_interrupted_update_leaves_the_readme(checkout):
    patch(checkout / "README.md", "AMD EPYC", "AMD EPIC")
    shutil.rmtree(checkout / "figures")
    before = (checkout / "README.md").read_bytes()
    interrupt = """
import os, pathlib, signal
replace = pathlib.Path.replace
def interrupted(self, target):
    os.kill(os.getpid(), signal.SIGINT)
    return replace(self, target)
pathlib.Path.replace = interrupted
"""
    result = results(checkout, "--update", before=interrupt)
    assert (result.returncode, result.stdout, result.stderr) == (130, "", "")
    assert (checkout / "README.md").read_bytes() == before
    assert [file.name for file in (checkout / "figures").iterdir()] == ["parts.svg"]


def test_update_on_a_full_disk_leaves_the_readme(checkout):
    # As on a disk that has room for the pictures' beginnings alone.
    change_records(checkout / f"{TIMES}/modes", slower)
    before = read_files(checkout, "*")
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))"
    result = results(checkout, "--update", before=limit)
    assert_one_line(result, "cannot write", "parts.svg: File too large")
    assert read_files(checkout, "*") == before


def test_disk_that_is_full_at_the_readme_leaves_it(checkout):
    patch(checkout / "README.md", "AMD EPYC", "AMD EPIC")
    before = read_files(checkout, "*")
    full = """
import pathlib
replace = pathlib.Path.replace
def fail(self, target):
    if "README" in self.name:
        raise OSError(28, "No space left on device")
    return replace(self, target)
pathlib.Path.replace = fail
"""
    result = results(checkout, "--update", before=full)
    assert_one_line(result, "cannot write", "README.md: No space left on device")
    assert read_files(checkout, "*") == before


def test_other_image_sizes_have_tables_and_pictures_titled_by_the_size(checkout):
    def other_size(record: Record) -> Record:
        return with_conditions(record, dataset="512x1024")

    for file in checkout.glob("cpu/mobilenetv2_stats*/**/*_pascal*.json"):
        other = file.with_name(file.name.replace("pascal", "512x1024"))
        store(other, other_size(records.load(file)))
    readme = (checkout / "README.md").read_text()
    assert results(checkout, "--update").returncode == 0
    assert (checkout / "README.md").read_text() == readme
    page = results(checkout).stdout
    headings = [line for line in page.splitlines() if line in ("Cityscapes:", "512x1024:")]
    assert headings[:2] == ["Cityscapes:", "512x1024:"]
    assert "| 512x1024 | AMD EPYC |" in page and "MobileNet-V2, 512x1024, AMD EPYC:" in page
    assert "figures/latency_512x1024.svg" in page
    operations = results(checkout, "--layers", "512x1024")
    assert operations.stdout.startswith("512x1024, AMD EPYC\n")
    assert_one_line(results(checkout, "--layers", "9x9"), "no times of 9x9 are stored")


@pytest.mark.parametrize("folder", ["", "devices/one/"])
def test_half_replaced_results_are_refused(checkout, folder):
    marker = checkout / f"{folder}.pending/cpu-stats.sh-12345678/storing.json"
    marker.parent.mkdir(parents=True)
    marker.write_text("{}")
    result = results(checkout, "--check")
    assert_one_line(
        result, "the results of cpu/stats.sh are partly replaced; run it again to finish"
    )
