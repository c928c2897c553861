"""For wrappers: names.py SCRIPT FLAG... prints what the files of such a run are named by, which is
the network, and what a folder's name says of the conditions, such as _keep-memory, which may be
nothing. Flags that the script refuses are refused in its own words, and so is a network whose
results would take the place of another's of the same name."""

import os
import re
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import NoReturn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
del sys.argv[0]  # the script's usage line names the script

from backbone.command import ending  # noqa: E402
from backbone.command.errors import Failure  # noqa: E402
from backbone.command.options import Workload  # noqa: E402

# Where a wrapper stores; what is in blocks/ and layers/ is of the network that is beside them.
STATS = ("*_stats*", "*_stats*/modes", "cpu/*_stats*", "cpu/*_stats*/modes")
FOLDERS = (*STATS, "memory_reports*", "model_structures*")
FILE_ID = re.compile(r'"file_id": "(\w+)"')
WEIGHTS_ID = re.compile(r'"weights": "([^"]+)"')


def check_free(workload: Workload) -> None:
    """Raise Failure where results of another network of this name are stored: of a user's own from
    another file, or of torchvision's; or those of other weights from a file of the same name."""
    name = workload.network_name
    weights_id = workload.weights_id
    for file in stored_records(name):
        text = file.read_text("utf-8", "replace")
        found, weights = FILE_ID.search(text), WEIGHTS_ID.search(text)
        if (found and found[1]) != workload.file_id:
            refuse(f"{file} is of another network that is called {name}")
        if not weights or not weights_id or weights[1] == weights_id:
            continue
        if stem_of(weights[1]) == stem_of(weights_id):
            refuse(f"{file} is of other weights, {weights[1]}")


def refuse(reason: str) -> NoReturn:
    """Raise Failure, for a reason, and say what to do."""
    raise Failure(f"{reason}; RESULTS=FOLDER stores this one's results elsewhere")


def stem_of(weights_id: str) -> str:
    """The part of a file's name that a folder is named by."""
    return Path(weights_id.rpartition(" ")[0]).stem


def stored_records(network: str) -> Iterator[Path]:
    """The stored records of networks of this name."""
    named = re.compile(rf"{network}_(cityscapes|pascal|\d+x[\dx]+)(_.*)?\.json")
    results = Path(os.environ.get("RESULTS") or ".")
    for folders in FOLDERS:
        for file in sorted(results.glob(f"{folders}/{network}_*.json")):
            if named.fullmatch(file.name):
                yield file


def main() -> None:
    module = import_module(sys.argv[0].removesuffix(".py").replace("/", "."))
    options = module.parse_options(sys.argv[1:])
    check_free(options.workload)
    print(options.workload.network_name, options.folder_suffix)


if __name__ == "__main__":
    ending.run(main)
