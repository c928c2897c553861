"""One measurement at a time: on a machine, and in a folder of results. Standard library only.

Source: flock(2), whose locks belong to an open file, and end with the last process that has it.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep

from backbone.command import ending
from backbone.command.errors import Failure

# All checkouts and users of a machine share these. (The tests have a folder of their own.)
FOLDER = Path(os.environ.get("PROFILE_LOCKS", "/tmp"))
PATIENCE = 600  # seconds that a process may outlive its driver, as while it compiles


@contextlib.contextmanager
def machine_taken() -> Iterator[None]:
    """This process alone measures on this machine. Raises Failure if another one does."""
    with _opened_here("mobilenetv2-profile.lock") as file:
        if not take(file):
            raise Failure("another measurement is running on this machine; let it end first")
        yield


@contextlib.contextmanager
def earlier_processes_ended() -> Iterator[int]:
    """Wait for the processes of an earlier measurement whose driver was killed. Gives the open file
    of a lock, which the processes of this measurement are to inherit: the lock ends with the last
    of them. Raises Failure if one does not end."""
    with _opened_here("mobilenetv2-profile.processes.lock") as file:
        deadline = monotonic() + PATIENCE
        if not take(file):
            ending.say("waiting for a process of an earlier measurement to end")
            while not take(file):
                if monotonic() > deadline:
                    raise Failure(
                        "a process of an earlier measurement does not end; find it with "
                        f"'fuser {FOLDER}/mobilenetv2-profile.processes.lock', and end it"
                    )
                sleep(0.2)
        yield file


@contextlib.contextmanager
def folder_taken(folder: Path) -> Iterator[None]:
    """This process alone writes results in a folder, which is made for its lock and removed if it
    is left empty. Raises Failure if another one does, perhaps on another machine."""
    lock = folder / "lock"
    file = _take_in(folder, lock)
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)
        os.close(file)
        with contextlib.suppress(OSError):  # pending results are left in it
            folder.rmdir()


def take(file: int) -> bool:
    """Take the lock of an open file, and whether nobody else has it. A file system without locks
    gives none: what is measured is better stored than lost."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        ending.say(f"this file system does not support locks: {error.strerror}")
    return True


@contextlib.contextmanager
def _opened_here(name: str) -> Iterator[int]:
    """A lock's open file, which all users of this machine can open."""
    path = FOLDER / name
    with contextlib.suppress(FileExistsError):
        file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDONLY)
        os.fchmod(file, 0o644)  # whatever the umask
        os.close(file)
    file = os.open(path, os.O_RDONLY)
    try:
        yield file
    finally:
        os.close(file)


def _take_in(folder: Path, lock: Path) -> int:
    """The open file of a lock in a folder, taken. The process that had it before may be removing
    both. Raises Failure if another process has it."""
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        try:  # open for writing, which a lock on a network file system needs
            file = os.open(lock, os.O_CREAT | os.O_RDWR, 0o644)
        except FileNotFoundError:
            continue
        if not take(file):
            raise Failure(
                f"a measurement on another machine writes to {folder.parent}; "
                "store results elsewhere with RESULTS=FOLDER"
            )
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file), lock.stat()):
                return file
        os.close(file)
