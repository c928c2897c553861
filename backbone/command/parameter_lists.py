"""Parameter lists: commands with placeholders for values, in hyperfine's syntax."""

import re
from collections import Counter
from collections.abc import Sequence
from itertools import product

PARAMETER = re.compile(r"{(\w+)}")


def expand(commands: Sequence[str], lists: Sequence[tuple[str, str]]) -> list[str]:
    """Commands with placeholders such as {s} replaced by the values of lists such as ("s",
    "1,2,4"): each command once per combination of the lists that it uses, in order. Raises
    ValueError if a list is missing or unused, or if a value is empty."""
    values = {name: text.split(",") for name, text in lists}
    named = {name for command in commands for name in PARAMETER.findall(command)}
    for name, number in Counter(name for name, _ in lists).items():
        if number > 1:
            raise ValueError(f"-L {name}: given twice")
    for name, text in lists:
        if not all(values[name]):
            raise ValueError(f"-L {name} '{text}': an empty value")
        if name not in named:
            raise ValueError(f"-L {name}: no command has {{{name}}}")
    if missing := sorted(named - values.keys()):
        raise ValueError(f"{{{missing[0]}}} has no values: add -L {missing[0]} VALUE,...")
    expanded = []
    for command in commands:
        own = {name: values[name] for name in values if name in PARAMETER.findall(command)}
        for combination in product(*own.values()):
            chosen = dict(zip(own, combination, strict=True))
            expanded.append(PARAMETER.sub(lambda found, chosen=chosen: chosen[found[1]], command))
    return expanded


def take_lists(
    words: Sequence[str], flags: Sequence[str]
) -> tuple[list[tuple[str, str]], list[str]]:
    """Split the words of a command line into its parameter lists (a flag, a name and values) and
    all other words. Values may begin with a hyphen, which argparse would reject."""
    lists, others = [], list(words)
    while found := [place for place, word in enumerate(others[:-2]) if word in flags]:
        place = found[0]
        lists.append((others[place + 1], others[place + 2]))
        del others[place : place + 3]
    return lists, others
