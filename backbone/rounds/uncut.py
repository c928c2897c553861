"""Commands whose passes are to be cut into stages or operations, and what if one's cannot."""

import re
from collections.abc import Iterable
from dataclasses import replace

from backbone.command.errors import CANNOT_BE_CUT
from backbone.rounds.commands import Command

PARTS = re.compile(r"--target[ =](block|layer)|--w[ =](no|False)")


class Uncut(Exception):
    """A command's pass cannot be cut; the message says why."""


def is_cut(command: Command) -> bool:
    """Whether a command asks for stages or operations."""
    return bool(PARTS.search(" ".join(command.words)))


def check_cuts(failures: Iterable[str]) -> None:
    """Raise Uncut if a command has failed because its pass cannot be cut. failures: why some
    have."""
    for reason in failures:
        if CANNOT_BE_CUT in reason:
            raise Uncut(reason)


def as_whole(command: Command) -> Command:
    """The same command for the whole pass."""
    is_old = any(word.partition("=")[0] == "--w" for word in command.words)
    target = ["--w", "yes"] if is_old else ["--target", "model"]
    return replace(command, words=[*command.words, *target])
