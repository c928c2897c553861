"""Commands: timers with their flags, as typed by users and printed by wrappers."""

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

from backbone.command.errors import Failure

VARIABLE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)", re.DOTALL)


@dataclass(frozen=True, eq=False)
class Command:
    """A program with its arguments, and variables to add to its environment.

    name: the name in messages. label: a short name in lines of progress.
    """

    name: str
    words: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    label: str = ""

    @property
    def is_on_cpu(self) -> bool:
        """Whether the script is cpu/timer.py."""
        return any(word.endswith("cpu/timer.py") for word in self.words)


def read_command(name: str, words: Sequence[str], label: str = "") -> Command:
    """Parse a command from its words. Environment variables and an interpreter may precede the
    script; the default interpreter is this process's. Raises Failure if there is no script."""
    environment, words = split_variables(words)
    if not words:
        raise Failure(f"{name!r} is not a timer's command: it names no .py file")
    if words[0].endswith(".py"):
        words.insert(0, sys.executable)
    return Command(name, words, environment, label)


def split_variables(words: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Split words into the environment variables before a command and all other words."""
    environment = {}
    others = list(words)
    while others and (variable := VARIABLE.fullmatch(others[0])):
        environment[variable[1]] = variable[2]
        del others[0]
    return environment, others
