"""The stored files as the tables and pictures of README.md and METHOD.md."""

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

PAGES = [ROOT / "README.md", ROOT / "METHOD.md"]
PART = re.compile(r"(<!-- results.py: ([^>]+) -->\n).*?(<!-- results.py: end -->\n)", re.DOTALL)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=ending.PROGRAM, description=__doc__, allow_abbrev=False)
    action = parser.add_mutually_exclusive_group()
    for flag, meaning in (
        ("--update", "rewrite what is between the pages' markers, and draw figures/"),
        ("--check", "exit 1 where these are not what the stored files say"),
    ):
        action.add_argument(
            flag, metavar="PAGE", nargs="*", type=Path, help=f"{meaning} (README.md, METHOD.md)"
        )
    action.add_argument(
        "--layers",
        choices=DATASETS,
        help="list the operations by the time that they lose against the floor",
    )
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    from backbone.record import stored, trials
    from backbone.record.titles import DATASET_TITLES
    from backbone.report.checks import check_texts
    from backbone.report.kinds import list_operations
    from backbone.report.tables import Results

    if arguments.layers:
        times = Results(stored.load_times())
        check_texts(times)
        title = DATASET_TITLES[arguments.layers]
        print(list_operations([each for each in times.main_network if each.dataset == title]))
        return
    results = Results(stored.load_times(), stored.load_modes(), stored.load_memory(), trials.load())
    check_texts(results)
    texts, pictures = make_parts(results)
    if arguments.update is not None:
        update(arguments.update or PAGES, texts, pictures)
    elif arguments.check is not None:
        check(arguments.check or PAGES, texts, pictures)
    else:
        print("\n".join(f"#### {title}\n\n{text}" for title, text in texts.items()), end="")


def make_parts(results: "Results") -> tuple[dict[str, str], list["Picture"]]:
    """The text of each of the pages' parts that has any, by title, and the pictures in them."""
    from backbone.report.figures import list_pictures
    from backbone.report.tables import format_parts

    parts = format_parts(results)
    pictures = list(list_pictures(results))
    for picture in pictures:
        parts[picture.part].append(f"![{picture.shows}](figures/{picture.file})")
    return {
        title: "\n\n".join(blocks) + "\n" for title, blocks in parts.items() if blocks
    }, pictures


def update(pages: list[Path], texts: dict[str, str], pictures: list["Picture"]) -> None:
    """Write the pictures, and then the pages with these texts between their markers."""
    new = with_parts(pages, texts)
    folder = ROOT / "figures"
    folder.mkdir(exist_ok=True)
    for picture in pictures:
        write_whole(folder / picture.file, picture.svg)
    for page, text in new.items():
        write_whole(page, text)


def check(pages: list[Path], texts: dict[str, str], pictures: list["Picture"]) -> None:
    """Raise Failure, which names the file, where a picture or a page is not as it would be."""
    expected = {ROOT / "figures" / picture.file: picture.svg for picture in pictures}
    expected |= with_parts(pages, texts)
    for file, text in expected.items():
        if file.read_text("utf-8", "replace") != text:
            raise Failure(f"{file} is not what the stored files say; use --update")


def with_parts(pages: list[Path], texts: dict[str, str]) -> dict[Path, str]:
    """The pages with these texts between their markers. Raises Failure where a text has none."""
    old = {page: read_page(page) for page in pages}
    marked = {title for text in old.values() for _, title, _ in PART.findall(text)}
    if missing := sorted(texts.keys() - marked):
        names = ", ".join(map(str, pages))
        raise Failure(f"<!-- results.py: {missing[0]} -->, or its end, is not in {names}")

    def new_part(part: re.Match[str]) -> str:
        return f"{part[1]}{texts.get(part[2], '')}{part[3]}"

    return {page: PART.sub(new_part, text) for page, text in old.items()}


def read_page(page: Path) -> str:
    """A page's text. Raises Failure where it is none."""
    try:
        return page.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise Failure(f"{page} is no text in UTF-8") from error


if __name__ == "__main__":
    ending.run(main)
