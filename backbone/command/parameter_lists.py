"""Parameter lists: values that take turns in commands, in hyperfine's syntax."""

import re
from collections import Counter
from collections.abc import Sequence
from itertools import product

PARAMETER = re.compile(r"{(\w+)}")


def expand(commands: Sequence[str], lists: Sequence[tuple[str, str]]) -> list[str]:
    """The commands with the values of lists, such as ("s", "1,2,4"), in place of {s}: each command
    with all combinations, in order; a command that results twice stands there once. Raises
    ValueError if a list is missing or of no use, or if a value is empty."""
    values = {name: text.split(",") for name, text in lists}
    named = {name for command in commands for name in PARAMETER.findall(command)}
    for name, number in Counter(name for name, _ in lists).items():
        if number > 1:
            raise ValueError(f"-L {name}: given twice")
    for name, text in lists:
        if not all(values[name]):
            raise ValueError(f"-L {name} {text}: an empty value")
        if name not in named:
            raise ValueError(f"-L {name}: no command has {{{name}}}")
    if missing := sorted(named - values.keys()):
        raise ValueError(f"{{{missing[0]}}} has no values: add -L {missing[0]} VALUE,...")
    if not lists:
        return list(commands)
    combinations = [dict(zip(values, each, strict=True)) for each in product(*values.values())]
    expanded = (
        PARAMETER.sub(lambda found, each=each: each[found[1]], command)
        for command in commands
        for each in combinations
    )
    return list(dict.fromkeys(expanded))
