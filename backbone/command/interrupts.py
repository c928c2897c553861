"""Terminating signals: raised as exceptions, or deferred until a block of code has finished."""

import contextlib
import signal
from collections.abc import Callable, Iterator

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)  # signals that end a script


class Interrupted(BaseException):
    """A terminating signal has arrived; `number` is the signal's number."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextlib.contextmanager
def interrupts_raised() -> Iterator[None]:
    """Raise Interrupted, once, when a terminating signal arrives, so that open resources are
    closed."""

    def interrupt(number: int) -> None:
        for further in ENDING:  # SIG_IGN would report a second signal as lost
            signal.signal(further, lambda *_: None)
        raise Interrupted(number)

    with _signals_handled(interrupt):
        yield


@contextlib.contextmanager
def signals_held() -> Iterator[None]:
    """Defer terminating signals until the block has finished. (A signal mask would not do: it holds
    for one thread, and torch has others.)"""
    came: list[int] = []
    try:
        with _signals_handled(came.append):
            yield
    finally:
        for number in came:
            signal.raise_signal(number)


@contextlib.contextmanager
def _signals_handled(handle: Callable[[int], None]) -> Iterator[None]:
    """While the block runs, terminating signals call `handle` with their number. Signals that are
    ignored, as in a background job, stay ignored."""
    handlers = {number: signal.getsignal(number) for number in ENDING}
    for number, handler in handlers.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, lambda number, _: handle(number))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
