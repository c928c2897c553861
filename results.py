"""The stored files as the README's tables and pictures."""

import argparse
import re
from pathlib import Path

from backbone import script
from backbone.flags import DATASETS

PART = re.compile(r"(<!-- results.py: ([^>]+) -->\n).*?(<!-- results.py: end -->\n)", re.DOTALL)


def main() -> None:
    parser = argparse.ArgumentParser(prog=script.PROGRAM, description=__doc__, allow_abbrev=False)
    action = parser.add_mutually_exclusive_group()
    readme = {"metavar": "README", "nargs": "?", "const": script.ROOT / "README.md", "type": Path}
    does = "rewrite what is between a README's markers, and draw the pictures in figures/"
    action.add_argument("--update", **readme, help=does)
    does = "exit 1 where these are not what the stored files say"
    action.add_argument("--check", **readme, help=does)
    does = "list the operations by the time that they lose against the floor"
    action.add_argument("--layers", choices=DATASETS, help=does)
    args = parser.parse_args()
    from backbone import figures, stored, tables

    times = stored.load_times()
    if args.layers:
        title = stored.TITLES[args.layers]
        first = [each for each in stored.of_first(times) if each.dataset == title]
        print(tables.format_layers(first))
        return
    modes = stored.load_modes()
    parts = tables.format_parts(times, modes, stored.load_memory())
    pictures = list(figures.list_pictures(times, modes))
    for part, name, alt, _ in pictures:
        parts[part].append(f"![{alt}](figures/{name})")
    texts = {title: "\n\n".join(blocks) + "\n" for title, blocks in parts.items() if blocks}
    readme = args.check or args.update
    if not readme:
        print("\n".join(f"#### {title}\n\n{text}" for title, text in texts.items()), end="")
        return
    old, digest = readme.read_text("utf-8"), stored.digest_stored()
    if missing := sorted(texts.keys() - {title for _, title, _ in PART.findall(old)}):
        raise script.Failure(f"{readme} lacks <!-- results.py: {missing[0]} -->, or its end")
    new = PART.sub(lambda part: f"{part[1]}{texts.get(part[2], '')}{part[3]}", old)
    made = [(script.ROOT / "figures" / name, draw) for _, name, _, draw in pictures]
    for file, make in [*made, (readme, lambda _: new)]:
        text = make(digest)
        if args.update:
            file.parent.mkdir(exist_ok=True)
            script.write_whole(file, text)
        elif file.read_text("utf-8") != text:
            raise script.Failure(f"{file} is not what the stored files say; use --update")


if __name__ == "__main__":
    script.run(main)
