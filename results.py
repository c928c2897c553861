"""Turns stored results into the tables and pictures of RESULTS.md, README.md and METHOD.md."""

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING

from backbone.command import ending
from backbone.command.errors import Failure
from backbone.command.files import ROOT, write_whole
from backbone.command.flags import image_size

if TYPE_CHECKING:
    from backbone.report.figures import Picture
    from backbone.report.stored_results import Results

PAGE = ROOT / "RESULTS.md"
PAGES_WITH_PARTS = (ROOT / "README.md", ROOT / "METHOD.md")
PART = re.compile(r"(<!-- results.py: ([^>]+) -->\n).*?(<!-- results.py: end -->\n)", re.DOTALL)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=ending.PROGRAM, description=__doc__, allow_abbrev=False)
    action = parser.add_mutually_exclusive_group()
    for flag, meaning in (
        ("--update", "write RESULTS.md, figures/ and the tables of README.md and METHOD.md"),
        ("--check", "exit with 1 if these do not match the stored results"),
    ):
        action.add_argument(flag, action="store_true", help=meaning)
    action.add_argument(
        "--layers",
        type=image_size,
        metavar="INPUT",
        help="list operations by the time they lose against their roofline bound",
    )
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    check_whole()
    from backbone.record import loading, stored_memory, tools
    from backbone.record.titles import dataset_title
    from backbone.report.checks import check_texts
    from backbone.report.kinds import list_operations
    from backbone.report.stored_results import Results

    if arguments.layers:
        times = Results(loading.load_times())
        check_texts(times)
        title = dataset_title(arguments.layers)
        here = [entry for entry in times.main_network if entry.dataset == title]
        if not here:
            raise Failure(f"no times of {arguments.layers} are stored; stats.sh creates them")
        print(list_operations(here))
        return
    results = Results(
        loading.load_times(),
        loading.load_modes(),
        stored_memory.load_memory(),
        loading.load_scaling(),
        tools.load(tools.Trial, tools.TRIALS),
        tools.load(tools.Simulated, tools.LOOKS),
        tools.load(tools.PassesTried, tools.PASSES),
    )
    check_texts(results)
    check_whole()  # files may have been replaced while they were read
    pages, pictures = make_pages(results)
    if arguments.update:
        update(pages, pictures)
    elif arguments.check:
        check(pages, pictures)
    else:
        print(pages[PAGE], end="")


def check_whole() -> None:
    """Raise Failure if results are being stored, or storing was interrupted."""
    from backbone.rounds import pending

    for folder in (ROOT, *ROOT.glob("devices/*")):
        pending.check_whole(folder)


def make_pages(results: "Results") -> tuple[dict[Path, str], list["Picture"]]:
    """The up-to-date pages and their pictures. Raises Failure if a page's marker names an unknown
    part."""
    from backbone.report.front import format_front
    from backbone.report.method import format_method
    from backbone.report.sections import SECTIONS, format_page

    parts: dict[str, list[str]] = {}
    pictures = []
    for section in SECTIONS:
        drawn = list(section.pictures(results))
        parts[section.title] = [*section.blocks(results), *(picture.link for picture in drawn)]
        pictures += drawn
    front = format_front(results) | format_method(results)
    front["Findings"].append(pictures[0].link)
    texts = join_blocks(parts)
    pages = {PAGE: format_page(texts)}
    for page in PAGES_WITH_PARTS:
        pages[page] = with_parts(page, texts | join_blocks(front), parts.keys() | front.keys())
    return pages, pictures


def join_blocks(parts: dict[str, list[str]]) -> dict[str, str]:
    """The text of each part that has blocks."""
    return {title: "\n\n".join(blocks) + "\n" for title, blocks in parts.items() if blocks}


def update(pages: dict[Path, str], pictures: list["Picture"]) -> None:
    """Draw all pictures, then write pictures and pages."""
    folder = ROOT / "figures"
    texts = {folder / picture.file: picture.svg for picture in pictures} | pages
    folder.mkdir(exist_ok=True)
    for file, text in texts.items():
        write_whole(file, text)


def check(pages: dict[Path, str], pictures: list["Picture"]) -> None:
    """Raise Failure, naming the file, if a page or a picture is out of date."""
    for page, text in pages.items():
        check_file(page, text)
    for picture in pictures:  # drawing takes longer
        check_file(ROOT / "figures" / picture.file, picture.svg)


def check_file(file: Path, text: str) -> None:
    """Raise Failure if a file is missing or does not contain a text."""
    if not file.exists() or file.read_text("utf-8", "replace") != text:
        raise Failure(f"{file} does not match the stored results; use --update")


def with_parts(page: Path, texts: dict[str, str], known: set[str]) -> str:
    """A page with the texts of parts between their markers; known parts without a text are emptied.
    Raises Failure if a marker names an unknown part or the page cannot be read."""
    try:
        old = page.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise Failure(f"{page} is not UTF-8 text") from error

    def new_part(part: re.Match[str]) -> str:
        if part[2] not in known:
            raise Failure(f"{page}: results.py has no part named {part[2]!r}")
        return f"{part[1]}{texts.get(part[2], '')}{part[3]}"

    return PART.sub(new_part, old)


if __name__ == "__main__":
    ending.run(main)
