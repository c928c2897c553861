"""The stored files as the README's tables and pictures."""

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING

from backbone.command import ending
from backbone.command.errors import Failure
from backbone.command.files import ROOT, write_whole
from backbone.command.options import DATASETS

if TYPE_CHECKING:
    from backbone.report.figures import Picture
    from backbone.report.tables import Results

PART = re.compile(r"(<!-- results.py: ([^>]+) -->\n).*?(<!-- results.py: end -->\n)", re.DOTALL)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=ending.PROGRAM, description=__doc__, allow_abbrev=False)
    action = parser.add_mutually_exclusive_group()
    for flag, meaning in (
        ("--update", "rewrite what is between a README's markers, and draw figures/"),
        ("--check", "exit 1 where these are not what the stored files say"),
    ):
        action.add_argument(
            flag, metavar="README", nargs="?", const=ROOT / "README.md", type=Path, help=meaning
        )
    action.add_argument(
        "--layers",
        choices=DATASETS,
        help="list the operations by the time that they lose against the floor",
    )
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    from backbone.record import stored
    from backbone.report.checks import check_texts
    from backbone.report.kinds import list_operations
    from backbone.report.tables import Results

    if arguments.layers:
        times = Results(stored.load_times())
        check_texts(times)
        title = stored.DATASET_TITLES[arguments.layers]
        print(list_operations([each for each in times.main_network if each.dataset == title]))
        return
    results = Results(stored.load_times(), stored.load_modes(), stored.load_memory())
    check_texts(results)
    texts, pictures = make_parts(results)
    if arguments.update:
        update(arguments.update, texts, pictures)
    elif arguments.check:
        check(arguments.check, texts, pictures)
    else:
        print("\n".join(f"#### {title}\n\n{text}" for title, text in texts.items()), end="")


def make_parts(results: "Results") -> tuple[dict[str, str], list["Picture"]]:
    """The text of each of the README's parts that has any, by title, and the pictures in them."""
    from backbone.report.figures import list_pictures
    from backbone.report.tables import format_parts

    parts = format_parts(results)
    pictures = list(list_pictures(results))
    for picture in pictures:
        parts[picture.part].append(f"![{picture.shows}](figures/{picture.file})")
    return {
        title: "\n\n".join(blocks) + "\n" for title, blocks in parts.items() if blocks
    }, pictures


def update(readme: Path, texts: dict[str, str], pictures: list["Picture"]) -> None:
    """Write the pictures, and then the README with these texts between its markers."""
    new = with_parts(readme, texts)
    folder = ROOT / "figures"
    folder.mkdir(exist_ok=True)
    for picture in pictures:
        write_whole(folder / picture.file, picture.svg)
    write_whole(readme, new)


def check(readme: Path, texts: dict[str, str], pictures: list["Picture"]) -> None:
    """Raise Failure, which names the file, where a picture or the README is not as it would be."""
    expected = {ROOT / "figures" / picture.file: picture.svg for picture in pictures}
    expected[readme] = with_parts(readme, texts)
    for file, text in expected.items():
        if file.read_text("utf-8", "replace") != text:
            raise Failure(f"{file} is not what the stored files say; use --update")


def with_parts(readme: Path, texts: dict[str, str]) -> str:
    """A README with these texts between its markers. Raises Failure where one has no markers."""
    try:
        old = readme.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise Failure(f"{readme} is no text in UTF-8") from error
    marked = {title for _, title, _ in PART.findall(old)}
    if missing := sorted(texts.keys() - marked):
        raise Failure(f"{readme} lacks <!-- results.py: {missing[0]} -->, or its end")
    return PART.sub(lambda part: f"{part[1]}{texts.get(part[2], '')}{part[3]}", old)


if __name__ == "__main__":
    ending.run(main)
