"""Locks: one measurement at a time per machine and per results folder. Standard library only.

Source: flock(2). A lock belongs to an open file and ends with the last process that has it open.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep

from backbone.command import ending
from backbone.command.errors import Failure

# Shared by all checkouts and users of a machine. (Tests use their own folder.)
FOLDER = Path(os.environ.get("PROFILE_LOCKS", "/tmp"))
PATIENCE = 600  # seconds that a process may outlive its driver, for example while it compiles


@contextlib.contextmanager
def machine_taken() -> Iterator[None]:
    """Lock the machine for this process's measurement. Raises Failure if it is taken."""
    with _opened_here("mobilenetv2-profile.lock") as file:
        if not take(file):
            raise Failure("another measurement is running on this machine; wait for it to finish")
        yield


@contextlib.contextmanager
def earlier_processes_ended() -> Iterator[int]:
    """Wait for processes of an earlier measurement whose driver was killed. Yields the open file of
    a lock, which the processes of this measurement inherit: it ends with the last of them. Raises
    Failure if an earlier process does not exit."""
    with _opened_here("mobilenetv2-profile.processes.lock") as file:
        deadline = monotonic() + PATIENCE
        if not take(file):
            ending.say("waiting for a process of an earlier measurement to exit")
            while not take(file):
                if monotonic() > deadline:
                    raise Failure(
                        "a process of an earlier measurement does not exit; find it with "
                        f"'fuser {FOLDER}/mobilenetv2-profile.processes.lock' and kill it"
                    )
                sleep(0.2)
        yield file


@contextlib.contextmanager
def folder_taken(folder: Path) -> Iterator[None]:
    """Lock a results folder for this process. The folder is created if necessary, and removed if it
    is left empty. Raises Failure if it is taken, perhaps by another machine."""
    lock = folder / "lock"
    file = _take_in(folder, lock)
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)
        os.close(file)
        with contextlib.suppress(OSError):  # it still has pending results
            folder.rmdir()


def take(file: int) -> bool:
    """Try to lock an open file; False if it is taken. On a file system without locks, continue
    without one, with a line on stderr: better to store results than to lose them."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        ending.say(f"this file system does not support locks: {error.strerror}")
    return True


@contextlib.contextmanager
def _opened_here(name: str) -> Iterator[int]:
    """The open file of a lock that all users of this machine can open."""
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
    """Lock a file in a folder and return it open. (The previous owner may be removing both.) Raises
    Failure if another process holds the lock."""
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        try:  # locks on network file systems need it open for writing
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
