"""Fixtures that several test files share, and the machine's lock while tests run."""

import contextlib

import pytest
from project import ROOT  # noqa: F401, the project is on the path from here on
from wrappers import checkout, echo, nothing_left_running, stand_in  # noqa: F401

from backbone.command.errors import Failure
from backbone.rounds import locks


def pytest_configure(config: pytest.Config) -> None:
    """Tests and measurements would disturb each other."""
    if not hasattr(config, "workerinput"):
        machine = contextlib.ExitStack()
        config.add_cleanup(machine.close)
        try:
            machine.enter_context(locks.machine_taken())
        except Failure as failure:
            pytest.exit(str(failure), returncode=1)
