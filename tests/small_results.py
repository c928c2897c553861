"""A small complete set of stored results, made here of round numbers: what the tables say of them
can be worked out by hand."""

import contextlib
import io
import re
import shutil
import sys
from collections import namedtuple
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from project import ROOT

import results as program
from backbone.command.errors import Failure
from backbone.record import loading, memory_record, records, tools
from backbone.record.memory_record import Input, Layer, MemoryReport, Peak, Structure, TensorSize
from backbone.record.names import number_rows
from backbone.record.rows import Cost, Kernels, Record, Row
from backbone.record.text import format_rows
from backbone.record.tools import PassesTried, Simulated, Trial
from backbone.report import figures
from backbone.report.memory_text import format_report, format_structure

MIB = 2**20
PARTS = {
    "README.md": "Findings, What is printed, Performance Stats",
    "METHOD.md": "Trials, Simulation, Passes per process, Sums of the rows",
}
CEILINGS = ("flops_per_second", "bytes_per_second")
TARGET_FOLDERS = {"model": "", "block": "blocks", "layer": "layers"}

# Everything is this many times as much as at PASCAL VOC's size: times, MACs, bytes, page faults.
SIZES = {"cityscapes": 4, "pascal": 1}
SHAPES = {"cityscapes": [1, 3, 1024, 2048], "pascal": [1, 3, 500, 334]}
COSTS = {"MobileNetV2": 1, "resnet18": 3}  # how many times MobileNet-V2's MACs, bytes, parameters

# Folders of times, and how these differ from those of the stock MobileNet-V2.
FOLDERS = {
    "cpu/mobilenetv2_stats": {},
    "cpu/mobilenetv2_stats_keep-memory": {"mode": "--keep-memory", "time": 0.5, "faults": 0.001},
    "cpu/resnet18_stats": {"network": "resnet18", "time": 2},
}
# The passes of each of three runs, over the mean of all.
SCATTER = 1 + np.array([[-0.1], [0], [0.1]]) + [-0.02, -0.01, 0.01, 0.02]
# Blocks' time over that of the stock pass, run by run; layers take as long as the stock pass.
BLOCK_RATIOS = (1.00, 1.02, 1.04)

# Modes of MobileNet-V2, each with its speed-up over the stock pass, round by round.
TCMALLOC = "LD_PRELOAD=libtcmalloc_minimal.so.4"
MODES = {
    "stock": {"cityscapes": (1, 1, 1), "pascal": (1, 1, 1)},
    "stock again": {"cityscapes": (0.9, 1, 1 / 0.9), "pascal": (0.9, 1, 1 / 0.9)},
    "--keep-memory": {"cityscapes": (3, 3, 3), "pascal": (2, 2, 2)},
    "--fold": {"cityscapes": (1, 2, 4), "pascal": (1, 2, 4)},
    "--channels-last --fold": {"cityscapes": (4, 4, 4), "pascal": (4, 4, 4)},
    "--train": {"cityscapes": (0.5, 0.5, 0.5), "pascal": (0.5, 0.5, 0.5)},
    f"{TCMALLOC}": {"cityscapes": (5, 5, 5), "pascal": (1.25, 1.25, 1.25)},
    f"{TCMALLOC} --fold --dtype bfloat16": {"cityscapes": (10, 10, 10), "pascal": (8, 8, 8)},
}

# Of each: title, speed-up, low, high, verdict, rounds, rule, seconds and date.
# log(1.05) * sqrt(5) is 0.1091; Student's t is 2.7764 at level 0.05, and 4.1207 at 0.0148.
TRIALS = [
    Trial("VOC, twice", 1.0, 1 / 1.05, 1.05, "undecided", 5, "fixed", 30.4, "2026-11-22"),
    Trial("VOC, twice", 1.1, 1.1 / 1.05, 1.1 * 1.05, "faster", 5, "looks", 30.4, "2026-11-22"),
    Trial("VOC, another", 2.0, 2 / 1.05, 2 * 1.05, "faster", 5, "looks", 30.4, "2026-11-22"),
]
SIMULATED = [
    Simulated("normal, 1 %", 0, 10, rounds=6.84, holds=0.975, wrong=0.02),
    Simulated("normal, 1 %", 5, 10, rounds=5.0, holds=0.975, wrong=0.0),
]
PASSES = [PassesTried("VOC", 60, scatter=0.1234, seconds=21.27, half_width=4.567)]

# Stages: type, module's path (in resnet18 in a backbone), and what else a stage's line says.
STAGES = [
    ("Conv2D", "features", {"kernel_size": 3, "stride": 2}),
    ("Inverted Residual Block", "features.1", {}),
    ("Inverted Residual Block", "features_2", {}),
    ("Classifier", "classifier", {"dropout": 0.2, "dim": 1280}),
]

# Milliseconds, millions of MACs and of bytes: 100, 2,000 and 304 together; 1,000 page faults.
Operation = namedtuple("Operation", "stage type path kind time macs bytes faults", defaults=3 * [0])
OPERATIONS = [
    Operation(0, "Conv2d", "features.0.0", "convolution", 20, 400, 50, 100),
    Operation(0, "BatchNorm2d", "features.0.1", "batch norm", 15, 0, 100, 200),
    Operation(0, "ReLU6", "features.0.2", "ReLU6", 4, 0, 50),
    Operation(1, "Conv2d", "features.1.conv.0", "pointwise convolution", 40, 1000, 40, 300),
    Operation(2, "Conv2d", "features.2.conv.0", "pointwise convolution", 20, 590, 60, 400),
    Operation(2, "add", "features.2", "addition", 0.5, 0, 3),
    Operation(3, "Dropout", "classifier.0", "Dropout", 0.25),
    Operation(3, "Linear", "classifier.1", "linear", 0.25, 10, 1),
]


@pytest.fixture(scope="session")
def updated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout with small results, whose pages and pictures are what these say."""
    folder = tmp_path_factory.mktemp("updated")
    make_checkout(folder)
    assert results(folder, "--update") == ""
    return folder


@pytest.fixture
def checkout(updated: Path, tmp_path: Path) -> Path:
    """A copy of that."""
    return shutil.copytree(updated, tmp_path / "checkout")


def results(checkout: Path, *flags: str, draws: bool = False) -> str:
    """What results.py prints in a checkout, run in this process. draws: whether it draws pictures;
    otherwise it writes in their place how many panels they have, and of what."""

    def describe(draw_panel: Callable, panels: list, *_: object, **__: object) -> str:
        return f"{len(panels)} panels\n{panels!r}\n".replace(str(checkout), "")

    paths = [(program, "ROOT"), (program, "PAGE"), (loading, "ROOT")]
    paths += [(tools, name) for name in ("TRIALS", "LOOKS", "PASSES")]
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patched, contextlib.redirect_stdout(printed):
        for module, name in paths:
            patched.setattr(module, name, checkout / getattr(module, name).relative_to(ROOT))
        patched.setattr(program, "PAGES_WITH_PARTS", [checkout / page for page in PARTS])
        patched.setattr(sys, "argv", ["results.py", *flags])
        if not draws:
            patched.setattr(figures, "_draw", describe)
        program.main()
    return printed.getvalue()


def refusal(checkout: Path, *flags: str) -> str:
    """What results.py says that is wrong."""
    with pytest.raises(Failure) as failure:
        results(checkout, *flags)
    return str(failure.value)


def make_checkout(folder: Path) -> None:
    """Put small results, and pages without them, into a folder."""
    for page, titles in PARTS.items():
        heads = [f"<!-- results.py: {title} -->" for title in titles.split(", ")]
        parts = [f"{head}\n<!-- results.py: end -->\n" for head in heads]
        (folder / page).write_text("\n".join(["# Small results\n", *parts, "The end.\n"]))
    (folder / "tools").mkdir()
    for file, rows in (("trials", TRIALS), ("looks", SIMULATED), ("passes", PASSES)):
        (folder / f"tools/{file}.json").write_text(tools.dumps(rows))
    for dataset in SIZES:
        for times, options in FOLDERS.items():
            name = f"{options.get('network', 'mobilenetv2')}_{dataset}.json"
            for target, inside in TARGET_FOLDERS.items():
                store(folder / times / inside / name, make_record(dataset, target, **options))
        for mode in MODES:
            words = mode.replace("--", "").replace(" ", "_").replace("=", "_")
            file = folder / f"cpu/mobilenetv2_stats/modes/mobilenetv2_{dataset}_{words}.json"
            store(file, make_mode(dataset, mode))
        for network in COSTS:
            report, structure = make_memory(dataset, network)
            name = f"{network.lower()}_{dataset}.json"
            store(folder / "memory_reports" / name, report)
            store(folder / "model_structures" / name, structure)


def store(file: Path, found: Record | MemoryReport | Structure) -> None:
    """Write a record, a memory report or a structure, and the text beside it."""
    if isinstance(found, Record):
        data, text = records.dumps(found), format_rows(found.rows)
    else:
        format_text = format_report if isinstance(found, MemoryReport) else format_structure
        data, text = memory_record.dumps(found), format_text(found)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(data)
    file.with_suffix(".txt").write_text(text)


def change_records(path: Path, change: Callable[..., Record], **options: object) -> None:
    """Give a record, or all that a folder has, other runs, rows or conditions, and their texts."""
    for file in path.rglob("*.json") if path.is_dir() else [path]:
        store(file, change(records.load(file), **options))


def with_conditions(record: Record, **conditions: str | int) -> Record:
    return replace(record, conditions=record.conditions | conditions)


def without_fields(record: Record, fields: tuple[str, ...]) -> Record:
    """A record without these conditions, and without these fields of its runs."""
    conditions, *runs = (
        {name: value for name, value in known.items() if name not in fields}
        for known in (record.conditions, *record.runs)
    )
    return replace(record, conditions=conditions, runs=runs)


def with_times(record: Record, factors: float | np.ndarray) -> Record:
    """A record whose passes take so many times as long; factors: one, or a column of the runs'."""
    rows = [replace(row, samples=factors * row.samples) for row in record.rows]
    return replace(record, rows=rows)


def with_runs(record: Record, count: int) -> Record:
    """A record of only its first runs."""
    rows = []
    for row in record.rows:
        faults, kernels = row.page_faults[:count], row.kernels[:count]
        rows.append(replace(row, samples=row.samples[:count], page_faults=faults, kernels=kernels))
    return replace(record, rows=rows, runs=record.runs[:count])


def make_record(dataset, target, network="MobileNetV2", mode="", time=1, faults=1) -> Record:
    """A timer's record. What tables have medians of is three times as much in the first run."""
    size = SIZES[dataset]
    ratios = np.reshape(BLOCK_RATIOS if target == "block" else (1, 1, 1), (3, 1))

    def make_row(operations: list[Operation], level: str, **about: object) -> Row:
        """Half of a convolution's time is its kernel's, a quarter is reorders."""
        _, _, _, kinds, *numbers = zip(*operations, strict=True)
        milliseconds, macs, bytes_moved, page_faults = (size * sum(each) for each in numbers)
        milliseconds, page_faults = time * milliseconds, round(faults * page_faults)
        million = COSTS[network] * 10**6
        kernels = [
            Kernels("jit:avx512_core", factor * milliseconds / 2, factor * milliseconds / 4)
            for factor in (3, 1, 1)
        ]
        return Row(
            level=level,
            input_shape=SHAPES[dataset],
            samples=np.round(milliseconds * ratios * SCATTER, 6),
            page_faults=(3 * page_faults, page_faults, page_faults),
            kernels=tuple(kernels) if about["type"] == "Conv2d" else (),
            cost=Cost(million * macs, million * bytes_moved, kinds[0] if level == "layer" else ""),
            **about,
        )

    rows = []
    for stage, (stage_type, path, settings) in enumerate(STAGES):
        inside = [operation for operation in OPERATIONS if operation.stage == stage]
        path = path.replace("features", "backbone") if network == "resnet18" else path
        about = {"type": stage_type, "path": path, "stage": stage, "settings": settings}
        rows.append(make_row(inside, "block", **about))
        for each in inside:
            rows.append(make_row([each], "layer", type=each.type, path=each.path, stage=stage))
    rows.append(make_row(OPERATIONS, "model", type=network, path="", stage=None))
    levels = {"model": ["model"], "block": ["block", "model"], "layer": ["layer", "block", "model"]}
    rows = number_rows([row for row in rows if row.level in levels[target]])
    runs = []
    for number, factor in enumerate((3, 1, 1)):
        run = {"date": f"2026-11-20 {10 + number}:00:00"}
        run |= {"round": 1 + number, "group": 0, "order_seed": 7}
        run |= {"system_time": factor * faults * 0.03, "peak_resident_memory": factor * 400 * MIB}
        if target != "model":
            run["cut_over_uncut"] = float(ratios[number, 0])
        if target == "layer":
            run |= dict(zip(CEILINGS, (factor * 2e11, factor * 1e10), strict=True))
        runs.append(run)
    if mode == "--keep-memory" and target == "model":
        runs[0]["output_difference"] = 0.0
    conditions = {"network": network, "dataset": dataset, "target": target, "device": "AMD EPYC"}
    conditions |= {"batch_size": 1, "threads": 2, "warmup": 1, "iterations": 4, "passes": len(rows)}
    conditions |= {"torch_version": "2.13.0", "torchvision_version": "0.28.0", "dtype": "float32"}
    return Record(rows, conditions | _conditions_of(mode), runs)


def _conditions_of(mode: str) -> dict[str, str]:
    """The conditions of a mode, of which stock has none."""
    words = re.findall(r"(?:--|LD_)\S+", mode.replace("--dtype ", "--dtype="))
    settings = [word.removeprefix("--").partition("=") for word in words]
    return {name.replace("-", "_"): value or "True" for name, _, value in settings}


def make_mode(dataset: str, mode: str) -> Record:
    """A mode's record, whose runs were in the same rounds as the other modes'."""
    stock = make_record(dataset, "model")
    speed_ups = np.reshape(MODES[mode][dataset], (3, 1))
    whole = replace(stock.whole, samples=np.round(stock.whole.samples / speed_ups, 6))
    is_exact = mode in ("--keep-memory", TCMALLOC)
    stock.runs[0]["ready_after"] = 1.0 if is_exact or mode.startswith("stock") else 9.0
    if not mode.startswith("stock"):
        for factor, run in zip((3, 1, 1), stock.runs, strict=True):
            run["output_difference"] = 0.0 if is_exact else factor * 2e-6
    return with_conditions(replace(stock, rows=[whole]), **_conditions_of(mode))


def make_memory(dataset: str, network: str = "MobileNetV2") -> tuple[MemoryReport, Structure]:
    """A memory report of a CPU: 2 MiB of weights, an input of 1 or 4 MiB, 10 or 30 MiB of
    parameters; and a structure of two layers."""
    size = SIZES[dataset]
    parameters = COSTS[network] * 10 * MIB
    weight = TensorSize("weight", [512, 1024], elements=2**19, allocated_bytes=2 * MIB)
    image = TensorSize("input", [size, 512, 512], size * 2**18, allocated_bytes=size * MIB)
    peak = Peak(parameters, MIB, size * MIB, 20 * size * MIB, operation="add")
    made_of = Input(network, 32, dataset, batch_size=1, input_shape=SHAPES[dataset])
    report = MemoryReport(
        made_of, "cpu", "cpu", [weight, image], None, parameters // 4, peak, measured_peak=None
    )
    layers = [Layer("Conv2d", [1, 32, 250, 167], 864), Layer("Linear", [1, 1000], 1_281_000)]
    return report, Structure(made_of, layers, macs=size * COSTS[network] * 2 * 10**9)


def on_gpu(record: Record) -> Record:
    """A record of a GPU that computes for a fifth of each pass, and is throttled once."""
    of_cpu = ("threads", "cpus", "system_time", "peak_resident_memory")
    record = without_fields(record, of_cpu)
    rows = [
        replace(row, page_faults=(), kernels=(), queued_ms=tuple(row.run_means / 5))
        for row in record.rows
    ]
    conditions = {"device": "NVIDIA H200", "cuda_version": "13.0", "cudnn_version": "91000"}
    conditions |= {"compute_capability": "9.0", "cudnn_allow_tf32": "True"}
    runs = [{"enqueue_time": 0.09, "throttle_reasons": "0x0 0x1"} | run for run in record.runs]
    runs[0]["throttle_reasons"] = "0x0 0x4"
    return replace(record, rows=rows, conditions=record.conditions | conditions, runs=runs)
