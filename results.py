"""The stored files as the README's tables and pictures."""

import argparse
import re
from pathlib import Path

from backbone import files, script
from backbone.inputs import DATASETS

PART = re.compile(r"(<!-- results.py: ([^>]+) -->\n).*?(<!-- results.py: end -->\n)", re.DOTALL)


def main() -> None:
    parser = argparse.ArgumentParser(prog=script.PROGRAM, description=__doc__, allow_abbrev=False)
    action = parser.add_mutually_exclusive_group()
    for flag, does in {
        "--update": "rewrite what is between a README's markers, and draw the pictures in figures/",
        "--check": "exit 1 where these are not what the stored files say",
    }.items():
        readme = script.ROOT / "README.md"
        action.add_argument(flag, metavar="README", nargs="?", const=readme, type=Path, help=does)
    does = "list the operations by the time that they lose against the floor"
    action.add_argument("--layers", choices=DATASETS, help=does)
    args = parser.parse_args()
    from backbone import figures, reports, stored, tables

    times = stored.load_times()
    if args.layers:
        print(tables.format_layers(stored.of_first(times), args.layers))
        return
    modes, digest = stored.load_modes(), stored.digest_of_stored_files()
    pictures = figures.pictures(times, modes)
    parts = tables.format_parts(times, modes, reports.load_memory())
    for name, picture in pictures.items():
        parts[picture.part].append(f"![{picture.alt}](figures/{name})")
    texts = {title: "\n\n".join(blocks) + "\n" for title, blocks in parts.items() if blocks}
    if args.check:
        stale = figures.stale(pictures, digest)
        if replace_parts(args.check, texts) != files.read(args.check):
            stale.insert(0, args.check)
        if stale:
            end = "is not what the stored files say; see results.py --update"
            raise script.Failure(f"{stale[0]} {end}")
    elif args.update:
        readme = replace_parts(args.update, texts)
        figures.draw(pictures, digest)
        files.write_whole(args.update, readme)
    else:
        print("\n".join(f"#### {title}\n\n{text}" for title, text in texts.items()), end="")


def replace_parts(readme: Path, texts: dict[str, str]) -> str:
    """A README's text with what is between each part's markers replaced. Raises script.Failure
    where it has not the markers of all parts."""
    text = files.read(readme)
    if missing := sorted(texts.keys() - {title for _, title, _ in PART.findall(text)}):
        raise script.Failure(f"{readme} lacks <!-- results.py: {missing[0]} -->, or its end")
    return PART.sub(lambda part: f"{part[1]}{texts.get(part[2], '')}{part[3]}", text)


if __name__ == "__main__":
    script.run(main)
