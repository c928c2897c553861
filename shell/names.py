"""For wrappers: names.py SCRIPT FLAG... prints what the files of such a run are named by, which is
the network, and what a folder's name says of the conditions, such as _keep-memory, which may be
nothing. Flags that the script refuses are refused in its own words."""

import sys
from importlib import import_module
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
del sys.argv[0]  # the script's usage line names the script

from backbone.command import ending  # noqa: E402


def main() -> None:
    module = import_module(sys.argv[0].removesuffix(".py").replace("/", "."))
    options = module.parse_options(sys.argv[1:])
    print(options.workload.network_name, options.folder_suffix)


if __name__ == "__main__":
    ending.run(main)
