"""A small complete set of stored results, made here of round numbers: what the tables say of them
can be worked out by hand."""

import math
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from project import ROOT, script

from backbone.record import memory_record, records, tools
from backbone.record.memory_record import Input, Layer, MemoryReport, Peak, Structure, TensorSize
from backbone.record.names import number_rows
from backbone.record.rows import Cost, Kernels, Record, Row
from backbone.record.text import format_rows
from backbone.record.tools import PassesTried, Simulated, Trial
from backbone.report.memory_text import format_report, format_structure

MIB = 2**20
MILLION = 10**6
README_PARTS = [
    "Picture",
    "In short",
    "What is printed",
    "Why",
    "Performance Stats",
    "Networks in short",
]
METHOD_PARTS = ["Trials", "Simulation", "Passes per process", "Sums of the rows"]
MARKERS = "<!-- results.py: {} -->\n<!-- results.py: end -->\n"
TARGET_FOLDERS = {"model": "", "block": "blocks", "layer": "layers"}
DEVICE = "AMD EPYC"

# Everything is this many times as much as at PASCAL VOC's size: times, MACs, bytes, page faults.
SIZES = {"cityscapes": 4, "pascal": 1}
SHAPES = {"cityscapes": [1, 3, 1024, 2048], "pascal": [1, 3, 500, 334]}

# Blocks' time over that of the stock pass, run by run; layers take as long as the stock pass.
BLOCK_RATIOS = (1.00, 1.02, 1.04)

TCMALLOC = "LD_PRELOAD=libtcmalloc_minimal.so.4"

# Modes of MobileNet-V2, each with its speed-up over the stock pass, round by round.
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


def make_trial(
    speed_up: float, reach: float, verdict: str, rule: str, title: str = "VOC, twice"
) -> Trial:
    return Trial(
        title=title,
        speed_up=speed_up,
        low=speed_up / reach,
        high=speed_up * reach,
        verdict=verdict,
        rounds=5,
        rule=rule,
        seconds=30.4,
        date="2026-11-22",
    )


# log(1.05) * sqrt(5) is 0.1091; Student's t is 2.7764 at level 0.05, and 4.1207 at 0.0148.
TRIALS = [
    make_trial(1.0, 1.05, "undecided", "fixed"),
    make_trial(1.1, 1.05, "faster", "looks"),
    make_trial(2.0, 1.05, "faster", "looks", title="VOC, another"),
]
SIMULATED = [
    Simulated("normal, 1 %", effect, 10, rounds, holds=0.975, wrong=wrong)
    for effect, rounds, wrong in ((0, 6.84, 0.02), (5, 5.0, 0.0))
]
PASSES = [PassesTried("VOC", 60, scatter=0.1234, seconds=21.27, half_width=4.567)]


@dataclass(frozen=True)
class SmallStage:
    """A stage: type, module's path, and what else its line says."""

    type: str
    path: str
    settings: dict[str, int | float]


@dataclass(frozen=True)
class Operation:
    """An operation of a stage at PASCAL VOC's size: its cost, milliseconds and page faults."""

    stage: int
    type: str
    path: str
    kind: str
    time: float
    macs: int = 0
    bytes_moved: int = 0
    page_faults: int = 0


STAGES = [
    SmallStage(type="Conv2D", path="features.0", settings={"kernel_size": 3, "stride": 2}),
    SmallStage(type="Inverted Residual Block", path="features.1", settings={}),
    SmallStage(type="Inverted Residual Block", path="features.2", settings={}),
    SmallStage(type="Classifier", path="classifier", settings={"dropout": 0.2, "dim": 1280}),
]

# Together 100 ms, 2 G MACs, 304 MB and 1,000 page faults.
OPERATIONS = [
    Operation(
        stage=0,
        type="Conv2d",
        path="features.0.0",
        kind="convolution",
        time=20,
        macs=400 * MILLION,
        bytes_moved=50 * MILLION,
        page_faults=100,
    ),
    Operation(
        stage=0,
        type="BatchNorm2d",
        path="features.0.1",
        kind="batch norm",
        time=15,
        bytes_moved=100 * MILLION,
        page_faults=200,
    ),
    Operation(
        stage=0,
        type="ReLU6",
        path="features.0.2",
        kind="ReLU6",
        time=4,
        bytes_moved=50 * MILLION,
    ),
    Operation(
        stage=1,
        type="Conv2d",
        path="features.1.conv.0",
        kind="pointwise convolution",
        time=40,
        macs=1000 * MILLION,
        bytes_moved=40 * MILLION,
        page_faults=300,
    ),
    Operation(
        stage=2,
        type="Conv2d",
        path="features.2.conv.0",
        kind="pointwise convolution",
        time=20,
        macs=590 * MILLION,
        bytes_moved=60 * MILLION,
        page_faults=400,
    ),
    Operation(
        stage=2,
        type="add",
        path="features.2",
        kind="addition",
        time=0.5,
        bytes_moved=3 * MILLION,
    ),
    Operation(stage=3, type="Dropout", path="classifier.0", kind="Dropout", time=0.25),
    Operation(
        stage=3,
        type="Linear",
        path="classifier.1",
        kind="linear",
        time=0.25,
        macs=10 * MILLION,
        bytes_moved=MILLION,
    ),
]


@dataclass(frozen=True)
class Setting:
    """What is timed, and how.

    network: its name in reports. folder: where its results are. prefix: what their names begin
    with. mode: its flags. parameters: how many, of 4 bytes. time, cost, page_faults: how many times
    as much as of the stock MobileNet-V2. runs, passes: how far each run, and each pass of a run, is
    from the mean, as parts of it; both add up to zero.
    """

    network: str
    folder: str
    prefix: str
    mode: str = ""
    parameters: int = 10 * MIB // 4
    time: float = 1
    cost: int = 1
    page_faults: int = 1
    runs: tuple[float, ...] = (-0.1, 0, 0.1)
    passes: tuple[float, ...] = (-0.02, -0.01, 0.01, 0.02)


STOCK = Setting(network="MobileNetV2", folder="cpu/mobilenetv2_stats", prefix="mobilenetv2")
KEEP_MEMORY = replace(
    STOCK,
    folder="cpu/mobilenetv2_stats_keep-memory",
    mode="--keep-memory",
    time=0.5,
    page_faults=0,
)
# Its stages are MobileNet-V2's too: no table shows them.
RESNET = Setting(
    network="resnet18",
    folder="cpu/resnet18_stats",
    prefix="resnet18",
    parameters=40 * MIB // 4,
    time=2,
    cost=3,
    runs=(-0.2, -0.1, 0, 0.1, 0.2),
    passes=(-0.01, 0.01),
)


@pytest.fixture(scope="session")
def updated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout with small results, whose README and pictures are what these say."""
    folder = tmp_path_factory.mktemp("updated")
    make_checkout(folder)
    result = results(folder, "--update")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    return folder


@pytest.fixture(scope="session")
def printed(updated: Path) -> subprocess.CompletedProcess:
    """What results.py prints there."""
    return results(updated)


@pytest.fixture
def checkout(updated: Path, tmp_path: Path) -> Path:
    """A copy of that."""
    return shutil.copytree(updated, tmp_path / "checkout")


def results(checkout: Path, *flags: str | Path, before: str = "") -> subprocess.CompletedProcess:
    """Run a checkout's results.py; before: code to run first."""
    return script(checkout / "results.py", *flags, before=before)


def make_checkout(folder: Path) -> None:
    """Put results.py, what it is made of, and small results into a folder."""
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "backbone", folder / "backbone", ignore=ignore)
    shutil.copy(ROOT / "results.py", folder)
    for page, titles in (("README.md", README_PARTS), ("METHOD.md", METHOD_PARTS)):
        parts = [MARKERS.format(title) for title in titles]
        (folder / page).write_text("\n".join(["# Small results\n", *parts, "The end.\n"]))
    (folder / "tools").mkdir()
    for file, rows in (("trials", TRIALS), ("looks", SIMULATED), ("passes", PASSES)):
        (folder / f"tools/{file}.json").write_text(tools.dumps(rows))
    for dataset in SIZES:
        for setting in (STOCK, KEEP_MEMORY, RESNET):
            for target, subfolder in TARGET_FOLDERS.items():
                file = folder / setting.folder / subfolder / f"{setting.prefix}_{dataset}.json"
                store(file, make_record(setting, dataset, target))
        for minute, mode in enumerate(MODES):
            words = mode.replace("--", "").replace(" ", "_").replace("=", "_")
            name = f"mobilenetv2_{dataset}_{words}.json"
            store(folder / STOCK.folder / "modes" / name, make_mode(dataset, mode, minute))
        for setting in (STOCK, RESNET):
            name = f"{setting.prefix}_{dataset}.json"
            store(folder / "memory_reports" / name, make_report(setting, dataset))
            store(folder / "model_structures" / name, make_structure(setting, dataset))


def store(file: Path, found: Record | MemoryReport | Structure) -> None:
    """Write a record, a memory report or a structure, and the text beside it."""
    if isinstance(found, Record):
        data, text = records.dumps(found), format_rows(found.rows)
    elif isinstance(found, MemoryReport):
        data, text = memory_record.dumps(found), format_report(found)
    else:
        data, text = memory_record.dumps(found), format_structure(found)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(data)
    file.with_suffix(".txt").write_text(text)


def change_records(path: Path, change: Callable[[Record], Record]) -> None:
    """Give a record, or all that a folder has, other runs, rows or conditions, and their texts."""
    for file in path.rglob("*.json") if path.is_dir() else [path]:
        store(file, change(records.load(file)))


def with_conditions(record: Record, **conditions: str | int) -> Record:
    """A record of other conditions."""
    return replace(record, conditions=record.conditions | conditions)


def with_times(record: Record, factors: float | np.ndarray) -> Record:
    """A record whose passes take so many times as long; factors: one, or a column of the runs'."""
    rows = [replace(row, samples=factors * row.samples) for row in record.rows]
    return replace(record, rows=rows)


def with_runs(record: Record, count: int) -> Record:
    """A record of only its first runs."""
    rows = [
        replace(
            row,
            samples=row.samples[:count],
            page_faults=row.page_faults[:count],
            kernels=row.kernels[:count],
        )
        for row in record.rows
    ]
    return replace(record, rows=rows, runs=record.runs[:count])


def make_record(setting: Setting, dataset: str, target: str) -> Record:
    """A timer's record. Its first run was disturbed: what tables have medians of is otherwise
    there."""
    rows = []
    for number, stage in enumerate(STAGES):
        inside = [operation for operation in OPERATIONS if operation.stage == number]
        row = replace(_sum_row(setting, dataset, target, inside), level="block", stage=number)
        rows.append(replace(row, type=stage.type, path=stage.path, settings=stage.settings))
        for operation in inside:
            row = replace(_sum_row(setting, dataset, target, [operation]), level="layer")
            cost = replace(row.cost, kind=operation.kind)
            about = {"type": operation.type, "path": operation.path, "stage": number}
            kernels = make_kernels(setting, dataset, operation) if target == "layer" else ()
            rows.append(replace(row, cost=cost, kernels=kernels, **about))
    rows.append(_sum_row(setting, dataset, target, OPERATIONS))
    levels = {"model": {"model"}, "block": {"block", "model"}, "layer": {"layer", "block", "model"}}
    rows = number_rows([row for row in rows if row.level in levels[target]])
    runs = []
    for number in range(len(setting.runs)):
        run = {"date": f"2026-11-20 {10 + number}:00:00"}
        run |= {"round": 1 + number, "group": 0, "order_seed": 7}
        run["system_time"] = setting.page_faults * (0.03 if number else 0.09)
        run["peak_resident_memory"] = (400 if number else 900) * MIB
        if target != "model":
            run["cut_over_uncut"] = BLOCK_RATIOS[number % 3] if target == "block" else 1.0
        if target == "layer":
            run["flops_per_second"] = 2e11 if number else 9e11
            run["bytes_per_second"] = 1e10 if number else 9e10
        runs.append(run)
    conditions = {
        "network": setting.network,
        "dataset": dataset,
        "target": target,
        "batch_size": 1,
        "warmup": 1,
        "iterations": len(setting.passes),
        "dtype": "float32",
        "torch_version": "2.13.0",
        "torchvision_version": "0.28.0",
        "device": DEVICE,
        "threads": 2,
        "cpus": 2,
    }
    return Record(rows=rows, conditions=conditions | conditions_of(setting.mode), runs=runs)


def conditions_of(flags: str) -> dict[str, str]:
    """The conditions of a mode, of flags none of which but --dtype has a value."""
    words = flags.replace("--dtype bfloat16", "").split()
    conditions = {word.removeprefix("--").replace("-", "_"): "True" for word in words}
    return conditions | ({"dtype": "bfloat16"} if "bfloat16" in flags else {})


def make_kernels(setting: Setting, dataset: str, operation: Operation) -> tuple[Kernels, ...]:
    """Of a convolution: half of its time is its kernel's, a quarter is reorders."""
    if operation.type != "Conv2d":
        return ()
    time = SIZES[dataset] * setting.time * operation.time
    kernels = Kernels("jit:avx512_core", kernel_ms=time / 2, reorder_ms=time / 4)
    disturbed = replace(kernels, kernel_ms=2 * time, reorder_ms=2 * time)
    return (disturbed, *[kernels] * (len(setting.runs) - 1))


def _sum_row(setting: Setting, dataset: str, target: str, operations: list[Operation]) -> Row:
    """The row of the whole pass, if these operations were all of it."""
    size = SIZES[dataset]
    time = size * setting.time * sum(operation.time for operation in operations)
    faults = size * setting.page_faults * sum(operation.page_faults for operation in operations)
    ratios = BLOCK_RATIOS if target == "block" else (1, 1, 1)
    samples = [
        [time * ratio * (1 + run + each) for each in setting.passes]
        for run, ratio in zip(setting.runs, [*ratios, 1, 1], strict=False)
    ]
    cost = Cost(
        macs=size * setting.cost * sum(operation.macs for operation in operations),
        bytes_moved=size * setting.cost * sum(operation.bytes_moved for operation in operations),
    )
    return Row(
        level="model",
        type=setting.network,
        path="",
        stage=None,
        input_shape=SHAPES[dataset],
        samples=np.round(np.array(samples), 6),
        page_faults=(3 * faults, *[faults] * (len(setting.runs) - 1)),
        cost=cost,
    )


def make_mode(dataset: str, mode: str, minute: int) -> Record:
    """A mode's record, whose runs were a minute of each round, by turns with the other modes'."""
    stock = make_record(STOCK, dataset, "model")
    speed_ups = np.array(MODES[mode][dataset]).reshape(-1, 1)
    samples = np.round(stock.whole.samples / speed_ups, 6)
    runs = []
    for number, stock_run in enumerate(stock.runs):
        run = stock_run | {"date": f"2026-11-21 {10 + number}:{minute:02}:00"}
        if not mode.startswith("stock"):
            is_exact = "--" not in mode or mode == "--keep-memory"
            run["output_difference"] = 0.0 if is_exact else 2e-6 if number else 9e-6
        runs.append(run)
    record = replace(stock, rows=[replace(stock.whole, samples=samples)], runs=runs)
    variable, dashes, flags = mode.partition("--")
    conditions = conditions_of(dashes + flags)
    if "=" in variable:
        name, _, value = variable.strip().partition("=")
        conditions[name] = value
    return with_conditions(record, **conditions)


def make_input(setting: Setting, dataset: str) -> Input:
    """What a memory report or a structure is of."""
    return Input(
        network=setting.network,
        output_stride=32,
        dataset=dataset,
        batch_size=1,
        input_shape=SHAPES[dataset],
    )


def make_report(setting: Setting, dataset: str) -> MemoryReport:
    """A memory report of a CPU: 2 MiB of weights, and an input of 1 or 4 MiB."""
    size = SIZES[dataset]
    tensors = [("classifier.1.weight", [512, 1024]), ("Tensor0", [size, 512, 512])]
    return MemoryReport(
        input=make_input(setting, dataset),
        device="cpu",
        storage="cpu",
        tensors=[
            TensorSize(
                name=name,
                shape=shape,
                elements=math.prod(shape),
                allocated_bytes=4 * math.prod(shape),
            )
            for name, shape in tensors
        ],
        allocator_bytes=None,
        parameters=setting.parameters,
        predicted_peak=Peak(
            parameters=4 * setting.parameters,
            buffers=MIB,
            input=size * MIB,
            activations=20 * size * MIB,
            operation="features.0.1 (BatchNorm2d), aten.batch_norm",
        ),
        measured_peak=None,
    )


def make_structure(setting: Setting, dataset: str) -> Structure:
    """A structure of two layers."""
    return Structure(
        input=make_input(setting, dataset),
        layers=[
            Layer(type="Conv2d", output_shape=[1, 32, 250, 167], parameters=864),
            Layer(type="Linear", output_shape=[1, 1000], parameters=1_281_000),
        ],
        macs=SIZES[dataset] * setting.cost * 2_000_000_000,
    )
