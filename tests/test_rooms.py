"""Rules on the project's own files: what imports what, how long they are, what pages say."""

import ast
import re
import subprocess

import pytest
from project import ROOT

# What each room of backbone/ may import from.
ROOMS = {
    "command": set(),
    "network": {"command"},
    "trace": {"command", "network"},
    "record": {"command"},
    "measure": {"command", "network", "trace", "record"},
    "report": {"command", "record", "statistics"},
    "rounds": {"command", "network", "measure", "record", "statistics"},
    "statistics": {"record"},
}
GENERATED = re.compile(r"<!-- results.py: [^>]+ -->\n.*?<!-- results.py: end -->\n", re.DOTALL)
CODE = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)
UNITS = r"%|percent|ms|s|seconds?|min|minutes?|hours?|[KMG]i?B|bytes|GFLOP/s|GB/s|FPS|times"
FIGURE = re.compile(rf"\d[\d.,]* ?(?:to \d[\d.,]* ?)?(?:{UNITS})(?![\w/])")


def test_imports_run_one_way_and_in_no_circle():
    files = {
        ".".join(file.relative_to(ROOT).with_suffix("").parts): file
        for file in ROOT.glob("backbone/**/*.py")
    }
    imports = {module: set() for module in files}
    for module, file in files.items():
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("backbone"):
                names = {f"{node.module}.{alias.name}" for alias in node.names}
                imports[module] |= names & files.keys() or {node.module}
        room = file.parent.name
        rooms = {used.split(".")[1] for used in imports[module]} - {room}
        assert not rooms or rooms <= ROOMS[room], module
    while ready := {module for module, used in imports.items() if not used & imports.keys()}:
        for module in ready:
            del imports[module]
    assert not imports, f"in a circle: {sorted(imports)}"


def test_no_file_is_long():
    names = ("*.py", "*.sh", "cpu/*.*", "tools/*.py", "shell/*", "backbone/**/*.py")
    files = [file for name in names for file in ROOT.glob(name) if file.is_file()]
    assert not [file for file in files if file.read_text().count("\n") > 250]


@pytest.mark.parametrize("page", ["README.md", "METHOD.md"])
def test_prose_has_no_measured_number_and_no_line_that_is_too_long_to_read(page):
    text = (ROOT / page).read_text()
    prose = CODE.sub("", GENERATED.sub("", text))
    assert FIGURE.findall(prose) == []
    assert not [line for line in prose.splitlines() if len(line) > 132 and line[0] != "|"]
    # A code block on GitHub, 948 pixels wide, shows 112 columns.
    blocks = re.findall(r"^```.*?^```", text, re.DOTALL | re.MULTILINE)
    assert not [line for block in blocks for line in block.splitlines() if len(line) > 112]


@pytest.mark.parametrize("page", ["README.md", "METHOD.md", "RESULTS.md"])
def test_links_lead_to_what_is_there(page):
    links = re.findall(r"\]\(([^)]+)\)", (ROOT / page).read_text())
    for link in (link for link in links if not link.startswith("http")):
        file, _, anchor = link.partition("#")
        target = ROOT / (file or page)
        assert target.exists(), f"{page} links to {link}"
        heads = re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE) if anchor else []
        assert not anchor or anchor in [head.lower().replace(" ", "-") for head in heads], link


def test_readme_is_short_and_lists_what_is_at_the_top():
    text = (ROOT / "README.md").read_text()
    assert text.count("\n") <= 170
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("no git, or no checkout of it, here")
    listing = [line.split(" | ")[0] for line in text.splitlines() if line.startswith("| `")]
    listing = set(re.findall("`[^`]+`", "".join(listing)))
    for name in {line.partition("/")[0] for line in listed.stdout.splitlines()}:
        if not name.startswith(".git") and name != "README.md":
            assert f"`{name}{'/' * (ROOT / name).is_dir()}`" in listing, name
