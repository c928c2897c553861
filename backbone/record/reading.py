"""Reads stored files as text."""

from pathlib import Path

from backbone.command.errors import Failure

# The wrappers that create the files of a folder, by a pattern of the folder's path.
MAKERS = {
    "/modes/": "modes.sh",
    "/scaling/": "scaling.sh",
    "_stats": "stats.sh",
    "memory_reports": "mem_report.sh",
    "model_structures": "summary.sh",
}


def read_stored(file: Path) -> str:
    """The text of a stored file. Raises Failure, naming the wrapper that creates it, if it is
    missing."""
    try:
        return file.read_text("utf-8", "replace")
    except FileNotFoundError as error:
        within = "/".join(file.parts[-4:])  # the results folder, and the path in it
        makers = [maker for part, maker in MAKERS.items() if part in within]
        advice = f"; {makers[0]} creates it" if makers else ""
        raise Failure(f"{file} is missing{advice}") from error
