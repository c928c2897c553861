"""Signals that would end a script: raised as exceptions, or held until something is done."""

import contextlib
import signal
from collections.abc import Callable, Iterator

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)  # signals that end a script


class Interrupted(BaseException):
    """A signal has come that ends the script; `number` is its."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextlib.contextmanager
def interrupts_raised() -> Iterator[None]:
    """A signal that would end the process raises Interrupted inside, once, so that what is open is
    closed."""

    def interrupt(number: int) -> None:
        for each in ENDING:  # of a second signal that has come already, SIG_IGN would complain
            signal.signal(each, lambda *_: None)
        raise Interrupted(number)

    with _signals_handled(interrupt):
        yield


@contextlib.contextmanager
def signals_held() -> Iterator[None]:
    """A signal that would end the process does so after what is inside. (A mask would not do: it is
    of this thread alone, and torch has others.)"""
    came: list[int] = []
    try:
        with _signals_handled(came.append):
            yield
    finally:
        for number in came:
            signal.raise_signal(number)


@contextlib.contextmanager
def _signals_handled(handle: Callable[[int], None]) -> Iterator[None]:
    """A signal that would end the process calls `handle` with its number instead, while what is
    inside runs. Signals that are ignored, as after &, stay so."""
    handlers = {number: signal.getsignal(number) for number in ENDING}
    for number, handler in handlers.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, lambda number, _: handle(number))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
