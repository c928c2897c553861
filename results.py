"""The stored files as the README's tables and pictures."""

import argparse
import functools
import hashlib
import io
import re
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from backbone import cli, files
from backbone.cli import DATASETS, ROOT, Failure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from backbone.rows import Row

BEGIN, END = "<!-- results.py: begin -->\n", "<!-- results.py: end -->\n"
TITLES = {"cityscapes": "Cityscapes", "pascal": "PASCAL VOC 2012"}
FIGURES = ROOT / "figures"
TARGETS = {"model": "", "block": "blocks/", "layer": "layers/"}
# In what the records of one run differ.
OF_ONE_RECORD = {"date", "dataset", "target", "name", "level", "detail", "input_shape"}


class Times(NamedTuple):
    """One device's times: its name, what its records say of it, the rows by (target, dataset)."""

    name: str
    about: dict
    rows: dict[tuple[str, str], "list[Row]"]

    def stages(self, dataset: str) -> "list[Row]":
        """The rows of the 21 stages."""
        return [row for row in self.rows["block", dataset] if row.level == "block"]


class Memory(NamedTuple):
    """One memory report and the structure of the same pass; memory is in MB of 2**20 bytes, and a
    peak that nothing measured is empty."""

    dataset: str
    reported_on: str
    allocated: str
    tensors: int
    parameters: int
    macs: int
    predicted_peak: str
    measured_peak: str


def main() -> None:
    flags = argparse.ArgumentParser(prog=cli.PROGRAM, description=__doc__, allow_abbrev=False)
    action = flags.add_mutually_exclusive_group()
    for name, does in {
        "--update": "rewrite what is between a README's markers, and draw the pictures in figures/",
        "--check": "exit 1 where these are not what the stored files say",
    }.items():
        action.add_argument(name, metavar="README", nargs="?", const=ROOT / "README.md", help=does)
    args = flags.parse_args()
    times, memory = load_times(), load_memory()
    digest = digest_of_stored_files()
    text = markdown(times, memory, digest)
    if args.check:
        check(Path(args.check), text, digest)
    elif args.update:
        readme = replace_part(Path(args.update), text)
        draw(times, digest)
        files.write_whole(args.update, readme)
    else:
        print(text, end="")


def check(readme: Path, text: str, digest: str) -> None:
    """Raise cli.Failure where the README or a picture is not what the stored files say."""
    stale = [readme] if replace_part(readme, text) != read(readme) else []
    stale += [FIGURES / name for name in PICTURES if digest not in read(FIGURES / name)]
    if stale:
        raise Failure(f"{stale[0]} is not what the stored files say; see results.py --update")


# Reading


def stored_folders(name: str) -> list[Path]:
    """The folders of a name in which wrappers have left files: here, and of each further device."""
    roots = (ROOT, *sorted(ROOT.glob("devices/*")))
    return [root / name for root in roots if any((root / name).glob("mobilenetv2_*"))]


def digest_of_stored_files() -> str:
    """SHA-256 of all that is stored, names and bytes."""
    names = ("mobilenetv2_stats", "cpu/mobilenetv2_stats", "memory_reports", "model_structures")
    digest = hashlib.sha256()
    for folder in (folder for name in names for folder in stored_folders(name)):
        for file in sorted(folder.rglob("mobilenetv2_*")):
            if file.parent.name == ".new":  # a run's that was killed, or is at work
                continue
            digest.update(f"{file.relative_to(ROOT)}\n".encode() + file.read_bytes())
    return digest.hexdigest()


@functools.cache
def read(file: Path) -> str:
    """A file's text, read once. Raises cli.Failure where there is none."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(f"cannot read {file}: {error}") from error
    if not text:
        raise Failure(f"{file} is empty")
    return text


def load_times() -> list[Times]:
    """The timers' records, device by device."""
    folders = stored_folders("mobilenetv2_stats") + stored_folders("cpu/mobilenetv2_stats")
    if not folders:
        raise Failure(f"no stored times in {ROOT}; see stats.sh")
    return [load_device(folder) for folder in folders]


def load_device(folder: Path) -> Times:
    """A device's six records, each checked against the text that it lies beside, and against the
    first to be of the same conditions."""
    with cli.importing():
        from backbone import records
        from backbone.rows import report

    rows, common = {}, {}
    for dataset in DATASETS:
        for target, subfolder in TARGETS.items():
            record = folder / f"{subfolder}mobilenetv2_{dataset}.json"
            rows[target, dataset], about = records.loads(read(record), record)
            if (about["target"], about["dataset"]) != (target, dataset):
                raise Failure(f"{record} is of {about['target']}, {about['dataset']}")
            text = record.with_suffix(".txt")
            if read(text) != report(rows[target, dataset]):
                raise Failure(f"{text} is not what {record.name} says")
            whole = rows[target, dataset][-1]
            here = {key: value for key, value in about.items() if key not in OF_ONE_RECORD}
            here |= {"batch size": whole.input_shape[0], "passes": len(whole.samples)}
            common = common or here
            if other := sorted(dict(here.items() ^ common.items())):
                raise Failure(f"{record} is not of the run that the others are of: {other[0]}")
    return Times(name_of(about["device"], folder), about, rows)


def load_memory() -> list[Memory]:
    """The memory reports, and the MACs of the structures."""
    folders = stored_folders("memory_reports")
    if not folders:
        raise Failure(f"no memory reports in {ROOT}; see mem_report.sh")
    found = []
    for dataset in DATASETS:
        name = f"mobilenetv2_{dataset}.txt"
        for report in (folder / name for folder in folders):
            structure = report.parents[1] / "model_structures" / name
            if not structure.exists():  # it does not depend on the device
                structure = ROOT / "model_structures" / name
            macs = find(r"\nTotal MACs: ([\d,]+) \(1 MAC = 2 FLOPs\)\n$", structure)
            batch = find(r"\ninput +\((\d+), ", report)
            if find(r"\n +Conv2d-1 +\[(-?\d+), ", structure).replace("-1", "1") != batch:
                raise Failure(f"{structure} is not of batch size {batch}, as {report.name} is")
            device = find(r"\nStorage on (\S+)\n", report)
            last = r"\n  at: .+\n()$"
            if device != "cpu":
                last = r"\nPeak .* \(measured on .+\): ([\d.]+) MiB, .*\n$"
                device = find(r"\nPeak .* \(measured on (.+)\): ", report)
            memory = Memory(
                dataset=dataset,
                reported_on=name_of(device, report) + f", batch {batch}" * (batch != "1"),
                allocated=find(r"\nTotal Tensors: \d+ \tUsed Memory: ([\d.]+)M\n", report),
                tensors=int(find(r"\nTotal Tensors: (\d+) \t", report)),
                parameters=int(find(r"\nParameters: (\d+)\n", report)),
                macs=int(macs.replace(",", "")),
                predicted_peak=find(r"\nPeak .* \(predicted\): ([\d.]+) MiB\n", report),
                measured_peak=find(last, report),
            )
            found.append(memory)
    return found


def name_of(device: str, path: Path) -> str:
    """A device's name, with that of its folder where it is of several devices."""
    parts = path.relative_to(ROOT).parts
    return f"{device} ({parts[1]})" if parts[0] == "devices" else device


def find(pattern: str, file: Path) -> str:
    """What a pattern's group matches in a file. Raises cli.Failure where it is not there."""
    match = re.search(pattern, read(file))
    if match is None:
        raise Failure(f"{file} is cut short, or of another form: no match for {pattern!r}")
    return match[1]


# Writing


def markdown(times: list[Times], memory: list[Memory], digest: str) -> str:
    """The README's part: a table of times, a table of memory, the pictures."""
    units = ("Inference Time (ms)", "Std (ms)", "FPS")
    columns = [f"{device.name}<br>{unit}" for device in times for unit in units]
    rows = [
        [
            "MobileNet-V2",
            TITLES[dataset],
            *(cell for device in times for cell in time_cells(device.rows["model", dataset][-1])),
        ]
        for dataset in DATASETS
    ]
    lines = [f"<!-- stored files: sha256 {digest} -->", "", "#### Inference time", ""]
    lines += table(["Model", "Dataset", *columns], rows)
    lines += ["", *(f"- {conditions(device)}" for device in times)]
    if not any("cuda_version" in device.about for device in times):
        lines += ["- No GPU's times are stored here yet."]
    lines += ["", "#### Memory", ""]
    head = "Model|Dataset|Reported on|Allocated Memory (MB)|# Params (M)|# Tensors (M)|"
    head += "Peak Memory (MB)<br>predicted / measured|MACs (G)"
    lines += table(head.split("|"), [memory_cells(report) for report in memory])
    lines += ["", "MB are 1024² bytes, M and G are 10⁶ and 10⁹.", "", "#### Stage by stage", ""]
    lines += [f"![{alt}](figures/{name})" for name, alt in PICTURES.items()]
    return "\n".join(lines) + "\n"


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    """Lines of a Markdown table."""
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]


def time_cells(row: "Row") -> list[str]:
    """Mean and population std in ms, and passes a second."""
    mean = row.samples.mean()
    return [f"{mean:.3f}", f"{row.samples.std():.3f}", f"{1000 / mean:.2f}"]


def memory_cells(report: Memory) -> list[str]:
    return [
        "MobileNet-V2",
        TITLES[report.dataset],
        report.reported_on,
        report.allocated,
        f"{report.parameters / 1e6:.3f}",
        f"{report.tensors / 1e6:.3f}",
        f"{report.predicted_peak} / {report.measured_peak or '-'}",
        f"{report.macs / 1e9:.3f}",
    ]


def conditions(device: Times) -> str:
    """One line on what a device's times were measured with."""
    about, row = device.about, device.rows["model", "pascal"][-1]
    software = [f"torch {about['torch_version']}", f"torchvision {about['torchvision_version']}"]
    if "cuda_version" in about:
        software += [f"CUDA {about['cuda_version']}", f"cuDNN {about['cudnn_version']}"]
        software += ["TF32 convolutions"] if about["cudnn_allow_tf32"] == "True" else []
    else:
        software += [f"{about['threads']} threads"]
    return (
        f"{device.name}: batch size {row.input_shape[0]}, {about['warmup']} warm-up and "
        f"{len(row.samples)} timed passes, {about['dtype']}, {', '.join(software)}; "
        f"{about['date'][:10]}"
    )


def replace_part(readme: Path, part: str) -> str:
    """A README's text with another part between the markers. Raises cli.Failure without them."""
    text = read(readme)
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise Failure(f"{readme} lacks the lines {BEGIN.strip()} and {END.strip()}")
    return f"{before}{BEGIN}{part}{END}{after}"


# Drawing

PICTURES = {
    **{
        f"latency_{dataset}.svg": f"Latency of the 21 stages, {title}"
        for dataset, title in TITLES.items()
    },
    "time_memory.svg": "Time against memory of the 21 stages",
}


def draw(times: list[Times], digest: str) -> None:
    """Draw the pictures: the latency of the stages, with their std as error bars, of every device;
    and their shares of the time and of the memory traffic."""
    with cli.importing():
        import matplotlib

        matplotlib.use("svg")
        from matplotlib import pyplot

    style = {"svg.hashsalt": digest, "font.size": 9, "axes.axisbelow": True}
    matplotlib.rcParams.update(style)
    FIGURES.mkdir(exist_ok=True)
    for dataset, title in TITLES.items():
        figure, axes = pyplot.subplots(figsize=(8, 3.2), layout="constrained")
        samples = {device.name: [row.samples for row in device.stages(dataset)] for device in times}
        means = {name: [stage.mean() for stage in stages] for name, stages in samples.items()}
        stds = {name: [stage.std() for stage in stages] for name, stages in samples.items()}
        draw_bars(axes, means, stds)
        label_stages(axes, times[0])
        axes.set(title=f"{title}: latency by stage", ylabel="ms a pass (bars: std)")
        save(figure, f"latency_{dataset}.svg", digest)
    figure, panels = pyplot.subplots(2, figsize=(8, 5), sharex=True, layout="constrained")
    for axes, (dataset, title) in zip(panels, TITLES.items(), strict=True):
        parts = {
            f"time, {device.name}": [row.samples.mean() for row in device.stages(dataset)]
            for device in times
        }
        parts["activations read"] = activation_bytes(times[0].rows["layer", dataset])
        shares = {name: [100 * x / sum(xs) for x in xs] for name, xs in parts.items()}
        draw_bars(axes, shares)
        axes.set(title=f"{title}: time against memory by stage", ylabel="% of the pass")
    label_stages(axes, times[0])
    save(figure, "time_memory.svg", digest)


def draw_bars(
    axes: "Axes", heights: dict[str, list[float]], errors: dict[str, list[float]] | None = None
) -> None:
    """Bars side by side at each stage, one of each name."""
    width = 0.8 / len(heights)
    for index, (name, values) in enumerate(heights.items()):
        axes.bar(
            [place + (index + 0.5) * width - 0.4 for place in range(len(values))],
            values,
            width,
            yerr=errors and errors[name],
            label=name,
            error_kw={"elinewidth": 1, "capsize": 2},
        )
    axes.set_ylim(bottom=0)
    axes.grid(axis="y", alpha=0.4)
    axes.legend()


def label_stages(axes: "Axes", device: Times) -> None:
    """Stages' names below the bars; a block's is its position."""
    names = [row.name.rpartition(" ")[2] for row in device.stages("pascal")]
    axes.set_xticks(range(len(names)), names, rotation=60)


def activation_bytes(rows: "list[Row]") -> list[int]:
    """For each stage, the bytes of the activations (float32) that its operations read; an addition
    reads two of one shape."""
    sums: list[int] = []
    for row in rows:
        if row.level == "block":
            sums.append(0)
        elif row.level == "layer":
            sums[-1] += prod(row.input_shape) * 4 * (2 if row.name.startswith("add ") else 1)
    return sums


def save(figure: "Figure", name: str, digest: str) -> None:
    """Write a picture whole, the same bytes for the same stored files."""
    text = io.StringIO()
    metadata = {"Date": None, "Description": f"stored files: sha256 {digest}"}
    figure.savefig(text, format="svg", facecolor="white", metadata=metadata)
    files.write_whole(str(FIGURES / name), text.getvalue())


if __name__ == "__main__":
    cli.run(main)
