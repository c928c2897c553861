"""The stored files as the README's tables and pictures."""

import argparse
from pathlib import Path

from backbone import files, script
from backbone.inputs import DATASETS

BEGIN, END = "<!-- results.py: begin -->\n", "<!-- results.py: end -->\n"


def main() -> None:
    parser = argparse.ArgumentParser(prog=script.PROGRAM, description=__doc__, allow_abbrev=False)
    action = parser.add_mutually_exclusive_group()
    for name, does in {
        "--update": "rewrite what is between a README's markers, and draw the pictures in figures/",
        "--check": "exit 1 where these are not what the stored files say",
    }.items():
        readme = script.ROOT / "README.md"
        action.add_argument(name, metavar="README", nargs="?", const=readme, type=Path, help=does)
    action.add_argument(
        "--layers",
        choices=DATASETS,
        help="list the operations by the time that they lose against the floor",
    )
    args = parser.parse_args()
    from backbone import figures, reports, stored, tables

    times = stored.load_times()
    if args.layers:
        print(tables.format_layers(stored.of_first(times), args.layers))
        return
    modes, digest = stored.load_modes(), stored.digest_of_stored_files()
    pictures = figures.pictures(times, modes)
    blocks = [f"<!-- stored files: sha256 {digest} -->"]
    blocks += tables.format_tables(times, modes, reports.load_memory())
    shown = [f"![{picture.alt}](figures/{name})" for name, picture in pictures.items()]
    text = "\n\n".join([*blocks, "#### Pictures", "\n".join(shown)]) + "\n"
    if args.check:
        stale = [args.check] if replace_part(args.check, text) != files.read(args.check) else []
        if stale := stale + figures.stale(pictures, digest):
            message = f"{stale[0]} is not what the stored files say; see results.py --update"
            raise script.Failure(message)
    elif args.update:
        readme = replace_part(args.update, text)
        figures.draw(pictures, digest)
        files.write_whole(args.update, readme)
    else:
        print(text, end="")


def replace_part(readme: Path, part: str) -> str:
    """A README's text with another part between the markers. Raises script.Failure without them."""
    text = files.read(readme)
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise script.Failure(f"{readme} lacks the lines {BEGIN.strip()} and {END.strip()}")
    return f"{before}{BEGIN}{part}{END}{after}"


if __name__ == "__main__":
    script.run(main)
