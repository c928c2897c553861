"""setup.py REQUIREMENTS NAME WRAPPER [ARGUMENT...]: create .venv in this checkout if it does not
exist, install the requirements in it, and start the wrapper again. Standard library only."""

import fcntl
import os
import re
import signal
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
requirements, name, *wrapper = sys.argv[1:]
sys.argv[0] = str(ROOT / name)  # messages begin with the wrapper's name

from check import has_nvidia_driver  # noqa: E402

from backbone.command import ending  # noqa: E402
from backbone.command.errors import Failure  # noqa: E402
from backbone.command.interrupts import Interrupted, interrupts_raised  # noqa: E402
from backbone.rounds import locks  # noqa: E402

VENV = ROOT / ".venv"
PYTHON = VENV / "bin/python"
UNFINISHED = ROOT / ".venv.unfinished"
LOCK = ROOT / ".venv.lock"
# PyTorch's CPU wheels; the default index has those for CUDA, which take several gigabytes.
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
PATIENCE = 5  # seconds to wait for the index to answer
OWN_INDEX = re.compile(r"[.](index-url|extra-index-url|no-index)=")


def main() -> None:
    with interrupts_raised(), locks.machine_taken(), LOCK.open("w") as lock:
        if not locks.take(lock.fileno()):
            ending.say("waiting for another machine to finish setting up .venv")
            fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            if UNFINISHED.exists() or not can_import():
                set_up(lock.fileno())
        except Interrupted as interrupt:
            what = f"interrupted by {signal.Signals(interrupt.number).name} while setting up .venv"
            ending.say(f"{what}; the next start will redo the set-up")
            raise
    os.execvp("sh", ["sh", *wrapper])


def set_up(lock: int) -> None:
    """Create .venv and install the requirements. lock: an open file that pip keeps open. Raises
    Failure if one of them fails."""
    if UNFINISHED.exists():
        ending.say("starting over with .venv, whose set-up was interrupted")
    is_new = UNFINISHED.exists() or not VENV.exists()
    UNFINISHED.touch()
    if is_new:
        ending.say("setting up: creating .venv")
        if not succeeds([sys.executable, "-m", "venv", "--clear", VENV], lock):
            raise Failure("python3 cannot create .venv")
    ending.say(f"setting up: installing {requirements} in .venv; this takes minutes")
    pip = [PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if not succeeds([*pip, *index_flags(), "-r", ROOT / requirements], lock):
        raise Failure(f"cannot install {requirements} in .venv; the next start tries again")
    if not can_import():
        raise Failure(f"the packages of {requirements} are installed but cannot be imported")
    UNFINISHED.unlink(missing_ok=True)


def index_flags() -> list[str]:
    """pip's flags for PyTorch without CUDA: on Linux without an NVIDIA driver, unless the user has
    configured an index or PyTorch's index does not answer."""
    if sys.platform != "linux" or has_nvidia_driver() or has_own_index():
        return []
    if not answers(f"{CPU_INDEX}/torch/"):
        ending.say(f"{CPU_INDEX} does not answer; installing PyTorch with CUDA, which is larger")
        return []
    return ["--extra-index-url", CPU_INDEX]


def has_own_index() -> bool:
    """Whether pip's configuration or environment names an index."""
    listed = subprocess.run([PYTHON, "-m", "pip", "config", "list"], capture_output=True, text=True)
    return bool(OWN_INDEX.search(listed.stdout))


def answers(url: str) -> bool:
    """Whether a URL answers within seconds, even if resolving its host name takes longer."""
    found = []

    def ask() -> None:
        try:
            with urllib.request.urlopen(
                urllib.request.Request(url, method="HEAD"), timeout=PATIENCE
            ):
                found.append(url)
        except OSError:
            pass

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(PATIENCE)
    return bool(found)


def can_import() -> bool:
    """Whether .venv has the requirements."""
    check = [PYTHON, ROOT / "shell/check.py", requirements]
    return PYTHON.exists() and subprocess.run(check, capture_output=True).returncode == 0


def succeeds(command: list[str | Path], lock: int) -> bool:
    """Run a command, with its stdout redirected to stderr, and return whether it succeeds. It ends
    when this process ends."""
    return subprocess.run(command, stdout=sys.stderr, pass_fds=[lock]).returncode == 0


if __name__ == "__main__":
    ending.run(main)
