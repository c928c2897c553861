"""Commands: timers with their flags, as people and wrappers write them."""

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

from backbone.command.errors import Failure

VARIABLE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)", re.DOTALL)


@dataclass(frozen=True, eq=False)
class Command:
    """A program with its arguments, and variables to add to its environment.

    name: in messages. label: a short one, in lines of progress.
    """

    name: str
    words: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    label: str = ""

    @property
    def is_on_cpu(self) -> bool:
        """Whether it is the CPU's timer."""
        return any(word.endswith("cpu/timer.py") for word in self.words)


def read_command(name: str, words: Sequence[str], label: str = "") -> Command:
    """A command from its words. Variables of its environment and an interpreter may precede the
    script; otherwise this process's interpreter runs it. Raises Failure if there is no script."""
    environment, words = split_variables(words)
    if not words:
        raise Failure(f"{name!r} names no timer")
    if words[0].endswith(".py"):
        words.insert(0, sys.executable)
    return Command(name, words, environment, label)


def split_variables(words: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """The variables before a command, and its other words."""
    environment = {}
    others = list(words)
    while others and (variable := VARIABLE.fullmatch(others[0])):
        environment[variable[1]] = variable[2]
        del others[0]
    return environment, others
