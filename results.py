"""The stored files as the README's tables and pictures."""

import argparse
from collections.abc import Iterable
from pathlib import Path

from backbone import figures, files, reports, script, stored, tables
from backbone.inputs import DATASETS
from backbone.script import PROGRAM, ROOT, Failure

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
        print_layers(stored.of_first(times), args.layers)
        return
    modes, digest = stored.load_modes(), stored.digest_of_stored_files()
    pictures = figures.pictures(times, modes)
    lines = [f"<!-- stored files: sha256 {digest} -->", ""]
    lines += tables.format_tables(times, modes, reports.load_memory())
    lines += ["#### Pictures", "", *(f"![{alt}](figures/{name})" for name, alt in pictures.items())]
    text = "\n".join(lines) + "\n"
    if args.check is not None:
        check(Path(args.check), pictures, text, digest)
    elif args.update is not None:
        readme = replace_part(Path(args.update), text)
        figures.draw(times, modes, digest)
        files.write_whole(args.update, readme)
    else:
        print(text, end="")


def print_layers(times: list[stored.Times], dataset: str) -> None:
    """The operations, device by device. Raises script.Failure where none has what they need."""
    if all(lacks := [device.lack(dataset) for device in times]):
        raise Failure(lacks[0])
    print("\n".join(tables.format_layers(device, dataset) for device in times), end="")


def check(readme: Path, pictures: Iterable[str], text: str, digest: str) -> None:
    """Raise script.Failure where the README or a picture is not what the stored files say."""
    stale = [readme] if replace_part(readme, text) != stored.read(readme) else []
    stale += figures.stale_pictures(pictures, digest)
    if stale:
        raise Failure(f"{stale[0]} is not what the stored files say; see results.py --update")


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
