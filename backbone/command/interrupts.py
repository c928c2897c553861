"""Signals as exceptions, for a script that has processes of its own to end."""

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

    with signals_handled(interrupt):
        yield


@contextlib.contextmanager
def signals_handled(handle: Callable[[int], None]) -> Iterator[None]:
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
