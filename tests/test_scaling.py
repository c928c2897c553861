"""How passes scale: what scaling.sh runs, and its table, sentences and picture."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import small_results
from project import ROOT
from wrappers import run

from backbone.command.errors import Failure
from backbone.command.options import STOCK
from backbone.record import loading, records
from backbone.record.rows import Record, Row
from backbone.record.stored import StoredScaling
from backbone.report import figures
from backbone.report.scaling import format_scaling, panels_of, scaling_blocks, word_panel
from backbone.report.stored_results import Results
from backbone.rounds import plan

SCATTER = np.array([[0.9], [1.0], [1.1]])  # round by round


def record(ms, batch=1, size=(500, 334), threads=2, kept=False, faults=0, scatter=SCATTER):
    shape = [batch, 3, *size]
    samples = ms * scatter
    row = Row("model", "Net", "", None, shape, samples, page_faults=(faults,) * len(samples))
    conditions = {"batch_size": batch, "threads": threads, "keep_memory": str(kept)}
    conditions |= {"network": "Net", "dataset": "pascal", "device": "A CPU", "stop_rule": "fixed"}
    if threads != 2:
        conditions["threads_chosen"] = threads
    places = enumerate(samples, start=1)
    return Record([row], conditions, [{"order_seed": 1, "round": n, "group": 0} for n, _ in places])


def scaling_of(*stored: Record) -> StoredScaling:
    files = {Path(str(number)): each for number, each in enumerate(stored)}
    return StoredScaling("Net", "A CPU", "PASCAL VOC 2012", STOCK, [], files)


SIZES = [
    record(10, size=(50, 40)),
    record(10, size=(50, 40), kept=True),
    record(200, size=(100, 80), faults=5000),
    record(100, size=(100, 80), kept=True),
]
FIRST = [record(100, faults=900), record(50, kept=True)]
BATCHES = [record(880, 4, faults=8000), record(200, 4, kept=True)]
THREADS = [record(150, threads=1), record(100, threads=1, kept=True)]
SCALING = scaling_of(*FIRST, *BATCHES, *THREADS, *SIZES)


def test_each_panel_varies_one_number_alone():
    images, sizes, threads = panels_of(SCALING)
    assert [[point.label for point in panel.points] for panel in (images, sizes, threads)] == [
        *(["1", "4"], ["50 x 40", "100 x 80", "500 x 334"], ["1", "2"]),
    ]
    assert [point.x for point in sizes.points] == [2000, 8000, 167000]
    # One image of a batch of four has 2,000 page faults, and takes 220 ms.
    assert images.points[1].faults == 2000
    assert word_panel(images) == (
        "Images per second in a batch of 4, relative to single images: 0.455 (0.455 to 0.455); "
        "with memory kept, 1.00 (1.00 to 1.00)."
    )
    assert word_panel(sizes) == (
        "Page faults set in at 100 x 80: 5,000 per image. "
        "Keeping memory helps from 100 x 80 on: 2.00 times as fast."
    )
    assert word_panel(threads) == (
        "Speed of 2 threads, relative to 1 thread: 1.50 (1.50 to 1.50); "
        "with memory kept, 2.00 (2.00 to 2.00)."
    )


def test_table_and_text():
    title, images, *_ = scaling_blocks([SCALING])
    assert title == "Net, A CPU:"
    assert images.splitlines()[2:] == [
        "| 1 | 100 (78 to 128) | 50 (39 to 64) | 2.00 (2.00 to 2.00) | 900 |",
        "| 4 | 219 (171 to 281) | 50 (39 to 64) | 4.40 (4.40 to 4.40) | 2,000 |",
    ]
    lines = format_scaling(SCALING).splitlines()
    assert max(map(len, lines)) <= 90 and lines[0] == "Net, A CPU: ms per image, 3 rounds"


def test_a_gpu_and_a_single_round():
    scatter = np.array([[1.0]])
    small = record(1, size=(10, 10), scatter=scatter)
    large = record(8, size=(20, 20), scatter=scatter)
    scaling = scaling_of(small, large)
    (panel,) = panels_of(scaling)
    words = "20 x 20 has 4.0 times the pixels of 10 x 10, and takes 8.0 times as long."
    assert word_panel(panel) == words
    assert "Memory kept" not in "".join(scaling_blocks([scaling]))


def test_what_a_second_thread_brings_and_what_all_do():
    threads = [record(100 / n, threads=n) for n in (1, 4, 8)]
    *_, panel = panels_of(scaling_of(record(50), *threads))
    assert word_panel(panel) == (
        "Speed of 2 threads, relative to 1 thread: 2.00 (2.00 to 2.00). "
        "Speed of 8 threads, relative to 1 thread: 8.00 (8.00 to 8.00)."
    )


def test_a_single_size_and_faults_at_all_sizes():
    alone = scaling_of(record(50))
    assert format_scaling(alone) == (
        "Net, A CPU: ms per image, 3 rounds\n  500 x 334: 50 (39 to 64)\n"
    )
    assert scaling_blocks([alone]) == []
    assert list(figures.scaling_pictures(Results([], scaling=[alone]))) == []
    faulting = [record(50, faults=900), record(10, size=(50, 40), faults=500)]
    *_, panel = panels_of(scaling_of(*faulting))
    assert word_panel(panel) == "There are page faults at all sizes, from 50 x 40 on."


def test_ratio_across_groups_of_a_round_is_by_the_first_command():
    """Where memory does not hold all, stock and memory kept of a batch are in different groups."""
    first = record(100)
    samples = np.repeat(100 * SCATTER, 2, axis=0)
    runs = [{"order_seed": 1, "round": n, "group": g} for n in (1, 2, 3) for g in (0, 1)]
    first = replace(first, runs=runs, rows=[replace(first.rows[0], samples=samples)])
    stock, kept = record(400, 4), record(200, 4, kept=True)
    kept = replace(kept, runs=[run | {"group": 1} for run in kept.runs])
    images, *_ = panels_of(scaling_of(first, stock, kept))
    assert images.points[1].kept_speed_up.mean == pytest.approx(2)


def test_memory_that_helps_at_no_size():
    noisy = SCATTER[::-1]
    unsure = [record(100, faults=900), record(99, kept=True, scatter=noisy), *SIZES[:2]]
    *_, panel = panels_of(scaling_of(*unsure))
    assert "Keeping memory helps at no size for certain." in word_panel(panel)


def test_picture_has_a_panel_of_each():
    (picture,) = figures.scaling_pictures(Results([], scaling=[SCALING]))
    for words in ("images in a batch", "pixels of an image", "threads", "proportional", "A CPU"):
        assert f"<!-- {words}" in picture.svg or words in picture.svg


@pytest.mark.parametrize("cuda", ["no CUDA device here (a stand-in)", "cuda"])
def test_plan(echo, cuda):
    result = run(ROOT / "scaling.sh", env=echo | {"STAND_IN_CUDA": cuda})
    lines = [line for line in result.stdout.splitlines() if ".py --" in line]
    files = [each.file for each in plan.read_plan(lines, [], "scaling.sh")]
    folder = "mobilenetv2_stats/scaling/mobilenetv2_"
    if cuda == "cuda":
        assert files[:2] == [f"{folder}{size}_stock" for size in ("224x224", "256x512")]
        assert len(files) == 6 + 6 and f"{folder}pascal_s_64" in files
    else:
        assert files[:2] == [f"cpu/{folder}224x224_{name}" for name in ("stock", "keep-memory")]
        assert f"cpu/{folder}pascal_s_8_keep-memory" in files


def test_wrapper_stores_and_prints_it(checkout, stand_in):
    env = stand_in | {"INPUTS": "64x96 pascal", "ROUNDS": "2"}
    result = run(checkout / "scaling.sh", env=env)
    assert result.returncode == 0, result.stderr
    folder = checkout / "cpu/mobilenetv2_stats/scaling"
    assert (folder / "mobilenetv2_pascal_s_2_keep-memory.json").exists()
    assert "  images  " in result.stdout and "in a batch of 8, " in result.stdout
    assert "\nStored in cpu/mobilenetv2_stats/scaling\n" in result.stdout


def test_scaling_without_its_first_pass_is_refused(tmp_path):
    file = tmp_path / "net_pascal_s_4.json"
    small_results.store(file, BATCHES[0])
    with pytest.raises(Failure, match="has no record of a stock pass on one image"):
        loading.load_scaling_of(tmp_path)
    shutil.copy(file, tmp_path / "net_pascal_stock.json")
    small_results.store(tmp_path / "net_pascal_stock.json", FIRST[0])
    assert len(loading.load_scaling_of(tmp_path).records) == 2
    assert records.load(file).images_per_pass == 4
