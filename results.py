"""The stored files as the README's tables and pictures."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from backbone import figures, files, script, stored
from backbone.inputs import DATASETS
from backbone.script import PROGRAM, ROOT, Failure

if TYPE_CHECKING:
    from backbone.rows import Row

BEGIN, END = "<!-- results.py: begin -->\n", "<!-- results.py: end -->\n"


def main() -> None:
    parser = argparse.ArgumentParser(prog=PROGRAM, description=__doc__, allow_abbrev=False)
    action = parser.add_mutually_exclusive_group()
    for name, does in {
        "--update": "rewrite what is between a README's markers, and draw the pictures in figures/",
        "--check": "exit 1 where these are not what the stored files say",
    }.items():
        action.add_argument(name, metavar="README", nargs="?", const=ROOT / "README.md", help=does)
    args = parser.parse_args()
    times, memory = stored.load_times(), stored.load_memory()
    digest = stored.digest_of_stored_files()
    text = format_results(times, memory, digest)
    if args.check:
        check(Path(args.check), text, digest)
    elif args.update:
        readme = replace_part(Path(args.update), text)
        figures.draw(times, digest)
        files.write_whole(args.update, readme)
    else:
        print(text, end="")


def check(readme: Path, text: str, digest: str) -> None:
    """Raise script.Failure where the README or a picture is not what the stored files say."""
    stale = [readme] if replace_part(readme, text) != stored.read(readme) else []
    stale += figures.stale_pictures(digest)
    if stale:
        raise Failure(f"{stale[0]} is not what the stored files say; see results.py --update")


def format_results(times: list[stored.Times], memory: list[stored.Memory], digest: str) -> str:
    """The README's part: a table of times, a table of memory, the pictures."""
    units = ("Inference Time (ms)", "Std (ms)", "FPS")
    columns = [f"{device.name}<br>{unit}" for device in times for unit in units]
    rows = [
        [
            "MobileNet-V2",
            DATASETS[dataset].title,
            *(cell for device in times for cell in time_cells(device.rows["model", dataset][-1])),
        ]
        for dataset in DATASETS
    ]
    lines = [f"<!-- stored files: sha256 {digest} -->", "", "#### Inference time", ""]
    lines += format_table(["Model", "Dataset", *columns], rows)
    lines += ["", *(f"- {conditions(device)}" for device in times)]
    if not any("cuda_version" in device.about for device in times):
        lines += ["- No GPU's times are stored here yet."]
    lines += ["", "#### Memory", ""]
    head = "Model|Dataset|Reported on|Allocated Memory (MB)|# Params (M)|# Tensors (M)|"
    head += "Peak Memory (MB)<br>predicted / measured|MACs (G)"
    lines += format_table(head.split("|"), [memory_cells(report) for report in memory])
    lines += ["", "MB are 1024² bytes, M and G are 10⁶ and 10⁹.", "", "#### Stage by stage", ""]
    lines += [f"![{alt}](figures/{name})" for name, alt in figures.PICTURES.items()]
    return "\n".join(lines) + "\n"


def format_table(head: list[str], rows: list[list[str]]) -> list[str]:
    """Lines of a Markdown table."""
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]


def time_cells(row: "Row") -> list[str]:
    """Mean and population std in ms, and images a second."""
    mean = row.samples.mean()
    images = row.input_shape[0]
    return [f"{mean:.3f}", f"{row.samples.std():.3f}", f"{1000 * images / mean:.2f}"]


def memory_cells(report: stored.Memory) -> list[str]:
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


def conditions(device: stored.Times) -> str:
    """One line on what a device's times were measured with."""
    about, row = device.about, device.rows["model", "pascal"][-1]
    software = [f"torch {about['torch_version']}", f"torchvision {about['torchvision_version']}"]
    if "cuda_version" in about:
        software += [f"CUDA {about['cuda_version']}", f"cuDNN {about['cudnn_version']}"]
        # Where there are no TF32 units, below compute capability 8.0, the setting does nothing.
        tf32 = about["cudnn_allow_tf32"] == "True" and float(about["compute_capability"]) >= 8.0
        software += ["TF32 convolutions"] if tf32 else []
    else:
        software += [f"{about['threads']} threads"]
    return (
        f"{device.name}: batch size {row.input_shape[0]}, {about['warmup']} warm-up and "
        f"{len(row.samples)} timed passes, {about['dtype']}, {', '.join(software)}; "
        f"{about['date'][:10]}"
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
