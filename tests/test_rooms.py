"""The rooms of backbone/: imports run one way, and no file has grown long."""

import ast
from pathlib import Path

import pytest
from project import ROOT

# What each room may import from.
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
FILES = sorted((ROOT / "backbone").rglob("*.py"))


def imported(file: Path) -> set[str]:
    """The modules of backbone/ that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module.startswith("backbone"):
            within = {f"{node.module}.{alias.name}" for alias in node.names}
            files = {name for name in within if (ROOT / f"{name.replace('.', '/')}.py").exists()}
            found |= files or {node.module}
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_imports_run_one_way(file):
    room = file.parent.name
    for module in imported(file):
        used = module.split(".")[1]
        assert used == room or used in ROOMS[room], f"{file} imports {module}"


def test_no_file_imports_itself_by_others():
    imports = {
        ".".join(file.relative_to(ROOT).with_suffix("").parts): imported(file) for file in FILES
    }
    while ready := {module for module, used in imports.items() if not used & imports.keys()}:
        for module in ready:
            del imports[module]
    assert not imports, f"in a circle: {sorted(imports)}"


def test_no_file_is_long():
    files = [
        *ROOT.glob("*.py"),
        *ROOT.glob("*.sh"),
        *ROOT.glob("cpu/*.*"),
        *ROOT.glob("tools/*.py"),
    ]
    files += [*FILES, *ROOT.glob("shell/*")]
    assert len(files) > 40
    assert not [file for file in files if file.is_file() and file.read_text().count("\n") > 250]
