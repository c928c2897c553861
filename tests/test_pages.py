"""The pages: measured numbers stand only where results.py writes them; links lead somewhere."""

import re
import subprocess
from pathlib import Path

import pytest
from project import ROOT

PAGES = ("README.md", "METHOD.md")
GENERATED = re.compile(r"<!-- results.py: [^>]+ -->\n.*?<!-- results.py: end -->\n", re.DOTALL)
CODE = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)
UNITS = r"%|percent|ms|s|seconds?|min|minutes?|hours?|[KMG]i?B|bytes|GFLOP/s|GB/s|FPS|times"
FIGURE = re.compile(rf"\d[\d.,]* ?(?:to \d[\d.,]* ?)?(?:{UNITS})(?![\w/])")


def prose_of(page: Path) -> str:
    """What is written by hand, but for code."""
    return CODE.sub("", GENERATED.sub("", page.read_text()))


@pytest.mark.parametrize("page", PAGES)
def test_no_measured_number_is_written_by_hand(page):
    assert FIGURE.findall("it takes 28 ms, 3.5 times as long, or 10 to 60 % of 1.5 GB") == [
        *("28 ms", "3.5 times", "10 to 60 %", "1.5 GB"),
    ]
    assert FIGURE.findall(prose_of(ROOT / page)) == []


@pytest.mark.parametrize("page", [*PAGES, "RESULTS.md"])
def test_links_lead_to_what_is_there(page):
    text = (ROOT / page).read_text()
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert links
    for link in (link for link in links if not link.startswith("http")):
        file, _, anchor = link.partition("#")
        target = ROOT / (file or page)
        assert target.exists(), f"{page} links to {link}"
        if anchor:
            heads = re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE)
            assert anchor in [head.lower().replace(" ", "-") for head in heads], link


@pytest.mark.parametrize("page", PAGES)
def test_lines_are_not_too_long_to_read(page):
    lines = prose_of(ROOT / page).splitlines()
    assert [line for line in lines if len(line) > 132 and not line.startswith("|")] == []


def test_readme_is_short_and_lists_what_is_at_the_top():
    text = (ROOT / "README.md").read_text()
    assert text.count("\n") <= 150
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("no git, or no checkout of it, here")
    for name in {line.partition("/")[0] for line in listed.stdout.splitlines()}:
        if not name.startswith(".git") and name != "README.md":
            end = "/" if (ROOT / name).is_dir() else ""
            assert f"| `{name}{end}` | " in text, name
