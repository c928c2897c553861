"""What results.py writes and finds out, on small results; and whether the repository's own stored
files are in order."""

import re
import shutil
import subprocess
from pathlib import Path
from unittest.mock import Mock

import matplotlib
import pytest
import small_results
from project import ENVIRONMENT, ROOT, patch, python
from small_results import change_records, refusal, results, with_conditions, without_fields

from backbone.record import loading, records
from backbone.report import figures
from backbone.report.sections import SECTIONS
from backbone.report.stored_results import Results

TIMES = "cpu/mobilenetv2_stats"
NAME = "mobilenetv2_pascal"

updated, checkout = small_results.updated, small_results.checkout  # fixtures


def read_files(folder: Path) -> dict[Path, bytes]:
    return {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_repository_is_what_its_stored_files_say(monkeypatch):
    ascii_only = ENVIRONMENT | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": ""}
    printed = python("results.py", env=ascii_only, encoding="utf-8")
    assert (printed.returncode, printed.stderr) == (0, "") and "²" in printed.stdout
    stored = ("*_stats*", "devices", "memory_reports*", "model_structures*")
    command = ["git", "status", "--porcelain", "--", *stored]
    if subprocess.run(command, cwd=ROOT, capture_output=True).stdout:
        pytest.skip("the stored files are measured anew, and the pages not yet updated")
    assert printed.stdout == (ROOT / "RESULTS.md").read_text()
    loaded = loading.load_times()
    monkeypatch.setattr(loading, "load_times", lambda: loaded)  # which takes seconds
    assert results(ROOT, "--check", draws=True) == ""
    for times in loading.of_main_network(loaded):
        for record in (times.model, times.block, times.layer):
            runs, passes = record.whole.samples.shape
            assert runs >= 10 and record.conditions["warmup"] >= 2
            assert runs * passes >= {"Cityscapes": 20, "PASCAL VOC 2012": 300}[times.dataset]


def test_pages_have_every_part_and_picture(updated):
    page = (updated / "RESULTS.md").read_text()
    assert results(updated) == page
    heads = re.findall(r"^## (.+)$", page, re.MULTILINE)
    titles = [section.title for section in SECTIONS]
    assert heads == [
        title for title in titles if title not in ("Modes of other networks", "Scaling")
    ]
    assert re.findall(r"^- \[(.+)\]\(#.+\)$", page, re.MULTILINE) == heads
    pictures = {file.name: file.read_text() for file in (updated / "figures").iterdir()}
    assert sorted(re.findall(r"\]\(figures/(.+)\)", page)) == sorted(pictures)
    assert [name for name, text in pictures.items() if "resnet18" in text] == ["networks.svg"]
    readme, method = ((updated / name).read_text() for name in ("README.md", "METHOD.md"))
    assert "<!-- results.py: Sums of the rows -->\n| Dataset | Device | Blocks' sum" in method
    assert readme.endswith("<!-- results.py: end -->\n\nThe end.\n")


def test_a_page_may_have_no_markers_but_none_of_parts_that_are_not(checkout):
    readme = checkout / "README.md"
    readme.write_text("# Mine\n")
    results(checkout, "--update")
    assert readme.read_text() == "# Mine\n"
    readme.write_text("<!-- results.py: Times -->\n<!-- results.py: end -->\n")
    assert refusal(checkout).endswith("/README.md: results.py has no part named 'Times'")
    readme.write_bytes(b"\xe9")
    assert refusal(checkout, "--update") == f"{readme} is not UTF-8 text"


def test_what_is_stale_fails_the_check(checkout):
    before = read_files(checkout)
    for name in ("README.md", "METHOD.md", "RESULTS.md", "figures/parts.svg"):
        assert results(checkout, "--check") == ""
        patch(checkout / name, "AMD EPYC", "AMD EPIC")
        said = f"{checkout / name} does not match the stored results; use --update"
        assert refusal(checkout, "--check") == said
        shutil.rmtree(checkout / "figures")
        assert refusal(checkout, "--check") == said
        results(checkout, "--update")
        assert read_files(checkout) == before


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        (f"{TIMES}/{NAME}.json", "(?s).+", "{}", "is not a timer's record"),
        (f"{TIMES}/{NAME}.json", r'"macs": ?\d+', '"macs": "x"', "is not a timer's record"),
        (f"memory_reports/{NAME}.json", r"}\s*$", "", "is truncated or has another format"),
        (f"model_structures/{NAME}.json", "(?s).+", "{}", "is truncated or has another format"),
        (f"{TIMES}/layers/{NAME}.txt", r"std = \d", "std = 99", f"does not match {NAME}.json"),
        (f"{TIMES}/modes/{NAME}_fold.txt", "is 5", "is 1", f"does not match {NAME}_fold.json"),
        ("memory_reports/resnet18_pascal.txt", r"\d", "x", "does not match resnet18_pascal.json"),
        (f"model_structures/{NAME}.txt", "(?s).+", "", f"does not match {NAME}.json"),
        (f"{TIMES}/layers/{NAME}.txt", None, None, "is missing; stats.sh creates it"),
        (f"{TIMES}/modes/{NAME}_fold.json", None, None, "is missing; modes.sh creates it"),
        (f"memory_reports/{NAME}.json", None, None, "is missing; mem_report.sh creates it"),
        (f"model_structures/{NAME}.txt", None, None, "is missing; summary.sh creates it"),
    ],
)
def test_damaged_or_missing_stored_file_leaves_all(checkout, name, old, new, said):
    file = checkout / name
    if old is None:
        file.unlink()
    else:
        file.write_text(re.sub(old, new, file.read_text(), count=1))
    before = read_files(checkout)
    assert refusal(checkout, "--update").startswith(f"{file} {said}")
    assert read_files(checkout) == before


def test_records_of_another_measurement_and_no_records(checkout):
    blocks, layers = (checkout / TIMES / f"{inside}/{NAME}.json" for inside in ("blocks", "layers"))
    change_records(layers, small_results.with_runs, count=2)
    assert (
        refusal(checkout)
        == f"{layers} comes from a different measurement than the files beside it: runs"
    )
    for field, value in (("threads", 64), ("target", "model"), ("OMP_PROC_BIND", "true")):
        change_records(blocks, with_conditions, **{field: value})
        assert (
            refusal(checkout)
            == f"{blocks} comes from a different measurement than the files beside it: {field}"
        )
    change_records(checkout / TIMES, without_fields, fields=("device",))
    assert refusal(checkout).endswith("mobilenetv2_cityscapes.json lacks the condition device")
    shutil.rmtree(checkout / "cpu")
    assert refusal(checkout) == f"no stored times in {checkout}; see stats.sh"


@pytest.mark.parametrize("root", ["", "devices/one/"])
def test_pending_results_are_none_and_half_replaced_ones_are_refused(checkout, root):
    pending = checkout / f"{root}.pending/cpu-stats.sh-12345678"
    (pending / "new" / TIMES).mkdir(parents=True)
    (pending / "new" / TIMES / f"{NAME}.json").touch()
    assert results(checkout, "--check") == ""
    (pending / "storing.json").write_text("{}")
    said = refusal(checkout, "--layers", "pascal")
    assert said == "the results of cpu/stats.sh are partly replaced; run it again to finish"


def test_pictures_are_drawn_alike_whatever_the_users_style(checkout):
    # Also of what lacks ceilings, rounds, and a mode.
    kept, modes = checkout / f"{TIMES}_keep-memory", checkout / TIMES / "modes"
    change_records(kept, without_fields, fields=small_results.CEILINGS)
    change_records(modes / f"{NAME}_train.json", without_fields, fields=("round", "group"))
    for file in modes.glob("mobilenetv2_cityscapes_fold.*"):
        file.unlink()
    results(checkout, "--update", draws=True)
    texts = {file.name: file.read_text() for file in (checkout / "figures").iterdir()}
    assert len(texts) == 8 and all(text.startswith("<?xml") for text in texts.values())
    times = [loading.load_times_of(folder, f"{NAME}.json") for folder in (checkout / TIMES, kept)]
    (stages,) = figures.stage_pictures(Results(times))
    matplotlib.rcParams.update({"axes.grid": True, "lines.linewidth": 9})
    assert stages.svg == texts["latency_pascal.svg"]


def test_update_on_a_full_disk_leaves_all(checkout, monkeypatch):
    before = read_files(checkout)
    monkeypatch.setattr(Path, "replace", Mock(side_effect=OSError(28, "No space left on device")))
    assert "/figures/parts.svg: No space left on device" in refusal(checkout, "--update")
    assert read_files(checkout) == before


def test_other_image_sizes_have_tables_and_pictures_titled_by_the_size(checkout):
    for file in checkout.glob(f"{TIMES}*/**/*_pascal*.json"):
        other = file.with_name(file.name.replace("pascal", "512x1024"))
        small_results.store(other, with_conditions(records.load(file), dataset="512x1024"))
    readme = (checkout / "README.md").read_text()
    results(checkout, "--update")
    assert (checkout / "README.md").read_text() == readme
    page = (checkout / "RESULTS.md").read_text()
    assert re.findall("\n(Cityscapes|512x1024):\n", page)[:2] == ["Cityscapes", "512x1024"]
    assert "MobileNet-V2, 512x1024, AMD EPYC:" in page
    assert "figures/latency_512x1024.svg" in page
    assert results(checkout, "--layers", "512x1024").startswith("512x1024, AMD EPYC\n")
