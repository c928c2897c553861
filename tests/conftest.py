"""Fixtures that several test files share, and the machine's lock while tests run."""

import contextlib
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from project import ROOT  # noqa: F401
from wrappers import checkout, nothing_left_running, stand_in  # noqa: F401

from backbone.command.errors import Failure
from backbone.rounds import locks

machine = contextlib.ExitStack()


def pytest_configure(config: pytest.Config) -> None:
    """Tests and measurements would disturb each other."""
    if not hasattr(config, "workerinput"):
        try:
            machine.enter_context(locks.machine_taken())
        except Failure as failure:
            pytest.exit(str(failure), returncode=1)


def pytest_unconfigure() -> None:
    machine.close()
