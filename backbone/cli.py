"""Flags that the scripts share, and errors that end a script in one line."""

import argparse
import contextlib
import io
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = Path(sys.argv[0]).resolve()
PROGRAM = str(SCRIPT.relative_to(ROOT)) if SCRIPT.is_relative_to(ROOT) else SCRIPT.name

DATASETS = {  # image sizes of semantic segmentation, (C, H, W)
    "cityscapes": (3, 1024, 2048),
    "pascal": (3, 500, 334),
}

OUT_OF_MEMORY = (  # how torch, oneDNN and cuDNN put it; "overflow" is a size beyond 64 bits
    "out of memory",
    "can't allocate memory",
    "could not create a memory object",
    "bad_alloc",
    "alloc_failed",
    "overflow",
    "unable to find an engine",
    "unable to find a valid cudnn algorithm",
)


class Failure(Exception):
    """Something foreseen went wrong; the message says what, and what to do."""


def whole_number(least: int, most: int = 2**63 - 1) -> Callable[[str], int]:
    """A flag's type: a whole number from `least` to `most`, which unsaid is what torch can take."""

    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = least - 1
        if number < least:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least} up")
        if number > most:
            raise argparse.ArgumentTypeError(f"{text!r} is more than {most}")
        return number

    return parse


def parser(description: str) -> argparse.ArgumentParser:
    """The flags that every measuring script has."""
    flags = argparse.ArgumentParser(
        prog=PROGRAM,
        description=description,
        allow_abbrev=False,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    flags.add_argument(
        "--i", "--input", dest="dataset", choices=DATASETS, default="cityscapes", help="image size"
    )
    flags.add_argument(
        "--s",
        "--batch-size",
        dest="batch_size",
        type=whole_number(1),
        default=1,
        help="images in a pass",
    )
    return flags


def timer_parser(description: str) -> argparse.ArgumentParser:
    """The flags that both timers have."""
    flags = parser(description)
    target = flags.add_mutually_exclusive_group()
    target.add_argument(
        "--target",
        choices=("model", "block", "layer"),
        default="model",
        help="time the whole network, its stages, or its stages and operations",
    )
    target.add_argument(
        "--w",
        dest="target",
        type=_target_by_old_name,
        default=argparse.SUPPRESS,
        metavar="{yes,no}",
        help="older spelling: yes is --target model, no is --target layer",
    )
    flags.add_argument("--iterations", type=whole_number(1), default=300, help="timed passes")
    flags.add_argument("--warmup", type=whole_number(0), default=25, help="passes before them")
    flags.add_argument("--json", metavar="FILE", help="also write every sample, as a pyperf suite")
    return flags


def _target_by_old_name(text: str) -> str:
    targets = {"yes": "model", "no": "layer", "False": "layer"}
    if text not in targets:
        raise argparse.ArgumentTypeError(f"{text!r} is neither yes nor no")
    return targets[text]


@contextlib.contextmanager
def importing() -> Iterator[None]:
    """Ctrl-C ends the process at once: a library that is being imported may swallow a
    KeyboardInterrupt, or make an error of its own of it."""
    heeded = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if heeded:
        signal.signal(signal.SIGINT, lambda *_: os._exit(130))
    try:
        yield
    finally:
        if heeded:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def run(main: Callable[[], None]) -> None:
    """Run a script's main() and leave the process as its users expect.

    Exit status 1 and one line on stderr for what can be foreseen, 130 for Ctrl-C, 141 (as a shell
    reports SIGPIPE) where the reader of stdout has gone. main() imports what is heavy, so that a
    wrong flag is answered at once, and a library that is missing in one line.
    """
    sys.stdout = sys.stdout or io.StringIO()  # None where the caller has closed it
    sys.stderr = sys.stderr or io.StringIO()
    try:
        main()
        sys.stdout.flush()
        return
    except KeyboardInterrupt:
        status = 130
    except BrokenPipeError:
        status = 141
    except Failure as failure:
        status = _complain(str(failure))
    except ImportError as error:
        status = _complain(f"{error}; pip install -r requirements.txt installs what is needed")
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        status = _complain(f"cannot go on: {error.strerror or error}{where}")
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, MemoryError) or any(w in str(error).lower() for w in OUT_OF_MEMORY):
            status = _complain("out of memory; a smaller batch (--s) needs less")
        elif str(error).startswith(("CUDA ", "cuDNN ")):
            message = str(error).splitlines()[0]
            status = _complain(f"{message}; does this torch fit the GPU and its driver?")
        else:
            raise
    # What is left in stdout's buffer can't be written: its flush at exit must not fail once more.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.exit(status)


def _complain(message: str) -> int:
    print(f"{PROGRAM}: {message.splitlines()[0]}", file=sys.stderr)
    return 1
