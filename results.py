"""The stored files as the README's tables and pictures."""

import argparse
from itertools import product
from pathlib import Path
from statistics import median

from backbone import figures, files, script, stored
from backbone.inputs import DATASETS
from backbone.intervals import Interval, mean_of_runs, ratio_of_rounds
from backbone.roofline import Total, floor, total, total_by_kind
from backbone.script import PROGRAM, ROOT, Failure

FLOORS = (
    "A floor is the least time that the machine's two measured ceilings, a matrix product's "
    "GFLOP/s and a copy's GB/s, allow the operations one by one. One that finds its data in the "
    "caches can be faster, and one in place, which need not fetch what it overwrites."
)
BEGIN, END = "<!-- results.py: begin -->\n", "<!-- results.py: end -->\n"


def main() -> None:
    parser = argparse.ArgumentParser(prog=PROGRAM, description=__doc__, allow_abbrev=False)
    action = parser.add_mutually_exclusive_group()
    for name, does in {
        "--update": "rewrite what is between a README's markers, and draw the pictures in figures/",
        "--check": "exit 1 where these are not what the stored files say",
    }.items():
        action.add_argument(name, metavar="README", nargs="?", const=ROOT / "README.md", help=does)
    action.add_argument(
        "--layers",
        choices=DATASETS,
        help="list the operations by the time that they lose against the floor",
    )
    args = parser.parse_args()
    times = stored.load_times()
    if args.layers:
        if all(lacks := [device.lack(args.layers) for device in times]):
            raise Failure(lacks[0])
        print("\n".join(format_layers(device, args.layers) for device in times), end="")
        return
    memory = stored.load_memory()
    digest = stored.digest_of_stored_files()
    text = format_results(times, memory, digest)
    if args.check is not None:
        check(Path(args.check), times, text, digest)
    elif args.update is not None:
        readme = replace_part(Path(args.update), text)
        figures.draw(times, digest)
        files.write_whole(args.update, readme)
    else:
        print(text, end="")


def check(readme: Path, times: list[stored.Times], text: str, digest: str) -> None:
    """Raise script.Failure where the README or a picture is not what the stored files say."""
    stale = [readme] if replace_part(readme, text) != stored.read(readme) else []
    stale += figures.stale_pictures(times, digest)
    if stale:
        raise Failure(f"{stale[0]} is not what the stored files say; see results.py --update")


def format_results(times: list[stored.Times], memory: list[stored.Memory], digest: str) -> str:
    """The README's part: tables of times and of memory, the pictures."""
    head = "Model|Dataset|Device|Inference Time (ms)|95 % interval|Std (ms)|FPS|"
    head += "Page faults|System time (ms)|Peak resident (MB)"
    lines = [f"<!-- stored files: sha256 {digest} -->", "", "#### Inference time", ""]
    lines += format_table(head, [time_cells(*pair) for pair in product(DATASETS, times)])
    lines += ["", *(f"- {format_conditions(device)}" for device in times)]
    if not any("cuda_version" in device.conditions() for device in times):
        lines += ["- No GPU's times are stored here yet."]
    lines += ["", "#### Sums of the rows against the stock pass", ""]
    head = "Dataset|Device|Blocks' sum / stock pass|Layers' sum / stock pass"
    lines += format_table(head, [closure_cells(*pair) for pair in product(DATASETS, times)])
    lines += ["", "#### Where the time goes", ""]
    for dataset, device in product(DATASETS, times):
        lines += [*kind_lines(dataset, device), ""]
    if any(device.lack(dataset) is None for dataset, device in product(DATASETS, times)):
        lines += [FLOORS, ""]
    lines += ["#### Memory", ""]
    head = "Model|Dataset|Reported on|Allocated Memory (MB)|# Params (M)|# Tensors (M)|"
    head += "Peak Memory (MB)<br>predicted / measured|MACs (G)"
    lines += format_table(head, [memory_cells(report) for report in memory])
    lines += ["", "MB are 1024² bytes, M and G are 10⁶ and 10⁹.", "", "#### Pictures", ""]
    lines += [f"![{alt}](figures/{name})" for name, alt in figures.pictures(times).items()]
    return "\n".join(lines) + "\n"


def format_table(head: str, rows: list[list[str]]) -> list[str]:
    """Lines of a Markdown table; head: the columns' names, between bars."""
    names = head.split("|")
    return [f"| {' | '.join(cells)} |" for cells in (names, ["---"] * len(names), *rows)]


def time_cells(dataset: str, device: stored.Times) -> list[str]:
    """Mean, its interval and the population std in ms, images a second, and what the process used
    of the system."""
    row, runs = device.whole("model", dataset), device.records["model", dataset].runs
    mean, half_width = mean_of_runs(row.samples)
    used = ["-"] * 3
    if row.page_faults and "system_time" in runs[0]:
        used = [
            f"{median(row.page_faults):,.0f}",
            f"{1000 * median(each['system_time'] for each in runs):.0f}",
            f"{median(each['peak_resident_memory'] for each in runs) / 2**20:.0f}",
        ]
    return [
        "MobileNet-V2",
        DATASETS[dataset].title,
        device.name,
        f"{mean:.3f}",
        "-" if half_width is None else f"± {half_width:.3f}",
        f"{row.samples.std():.3f}",
        f"{1000 * row.input_shape[0] / mean:.2f}",
        *used,
    ]


def closure_cells(dataset: str, device: stored.Times) -> list[str]:
    """The sums of the blocks and of the layers, as ratios to the stock pass of the same round."""
    stock = device.whole("model", dataset).samples
    ratios = [
        ratio_of_rounds(device.whole(target, dataset).samples, stock)
        for target in ("block", "layer")
    ]
    return [DATASETS[dataset].title, device.name, *map(format_ratio, ratios)]


def kind_lines(dataset: str, device: stored.Times) -> list[str]:
    """A device's operations by kind, and what its floor is; or why there is no such table."""
    if lack := device.lack(dataset):
        return [f"- {lack}"]
    ceilings, rows = device.ceilings(dataset), device.layers(dataset)
    whole = total("all", rows, ceilings)
    head = "Kind|Operations|Time (ms)|% of the time|% of the MACs|GFLOP/s|GB/s|Floor (ms)|"
    head += "Floor / time|Page faults"
    kinds = [*total_by_kind(rows, ceilings), whole]
    return [
        f"{DATASETS[dataset].title}, {device.name}:",
        "",
        *format_table(head, [kind_cells(kind, whole) for kind in kinds]),
        "",
        f"The pass takes {whole.time:.1f} ms, its floor is {whole.floor:.1f} ms, at "
        f"{ceilings.flops_per_second / 1e9:.0f} GFLOP/s and "
        f"{ceilings.bytes_per_second / 1e9:.1f} GB/s.",
    ]


def kind_cells(kind: Total, whole: Total) -> list[str]:
    """A kind's share of the pass, what it attains, and how close that is to its floor."""
    seconds = kind.time / 1e3
    return [
        kind.kind,
        str(kind.operations),
        f"{kind.time:.2f}",
        f"{100 * kind.time / whole.time:.1f}",
        f"{100 * kind.macs / whole.macs:.1f}",
        f"{2 * kind.macs / seconds / 1e9:.1f}" if kind.macs else "-",
        f"{kind.bytes_moved / seconds / 1e9:.1f}" if kind.bytes_moved else "-",
        f"{kind.floor:.2f}",
        f"{kind.floor / kind.time:.2f}",
        "-" if kind.page_faults is None else f"{kind.page_faults:,}",
    ]


def format_layers(device: stored.Times, dataset: str) -> str:
    """A device's operations by the time that they lose against the floor, the ten worst apart; or
    why there is no such list."""
    if lack := device.lack(dataset):
        return f"{lack}\n"
    ceilings = device.ceilings(dataset)
    times = {row: float(row.samples.mean()) for row in device.layers(dataset)}
    lost = {row: time - floor(row.cost, ceilings) for row, time in times.items()}
    lines = [
        f"{lost[row]:9.3f} {times[row]:9.3f} {times[row] - lost[row]:9.3f}  "
        f"{row.cost.kind:<22} {row.path or '-':<22} {row.input_shape}"
        for row in sorted(lost, key=lost.get, reverse=True)
    ]
    head = (
        f"{'lost, ms':>9} {'time, ms':>9} {'floor, ms':>9}  {'kind':<22} {'path':<22} input shape"
    )
    title = f"{DATASETS[dataset].title}, {device.name}"
    return "\n".join([title, head, *lines[:10], "", *lines[10:]]) + "\n"


def format_ratio(ratio: Interval) -> str:
    width = "" if ratio.half_width is None else f" ± {ratio.half_width:.3f}"
    return f"{ratio.mean:.3f}{width}"


def memory_cells(report: stored.Memory) -> list[str]:
    """What a memory report and its structure say, in the units of the head."""
    return [
        "MobileNet-V2",
        DATASETS[report.dataset].title,
        report.reported_on,
        report.allocated,
        f"{report.parameters / 1e6:.3f}",
        f"{report.tensors / 1e6:.3f}",
        f"{report.predicted_peak} / {report.measured_peak or '-'}",
        f"{report.macs / 1e9:.3f}",
    ]


def format_conditions(device: stored.Times) -> str:
    """One line on what a device's times were measured with."""
    about, row = device.conditions(), device.whole("model", "pascal")
    software = [f"torch {about['torch_version']}", f"torchvision {about['torchvision_version']}"]
    if "cuda_version" in about:
        software += [f"CUDA {about['cuda_version']}", f"cuDNN {about['cudnn_version']}"]
        # Where there are no TF32 units, below compute capability 8.0, the setting does nothing.
        tf32 = about["cudnn_allow_tf32"] == "True" and float(about["compute_capability"]) >= 8.0
        software += ["TF32 convolutions"] if tf32 else []
    else:
        software += [f"{about['threads']} threads"]
        software += ["freed memory kept"] if about.get("keep_memory") == "True" else []
    runs, iterations = row.samples.shape
    processes = f"{runs} processes" if runs > 1 else "one process (which gives no interval)"
    date = device.records["model", "pascal"].runs[0]["date"][:10]
    return (
        f"{device.name}: {processes} of {about['warmup']} warm-up and {iterations} timed passes, "
        f"batch size {row.input_shape[0]}, {about['dtype']}, {', '.join(software)}; {date}"
    )


def replace_part(readme: Path, part: str) -> str:
    """A README's text with another part between the markers. Raises script.Failure without them."""
    text = stored.read(readme)
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise Failure(f"{readme} lacks the lines {BEGIN.strip()} and {END.strip()}")
    return f"{before}{BEGIN}{part}{END}{after}"


if __name__ == "__main__":
    script.run(main)
