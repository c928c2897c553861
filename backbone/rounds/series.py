"""The series and questions of a wrapper's plan, one series per input."""

from collections.abc import Iterator, Sequence

from backbone.command.options import MEMORY_KEPT, STOCK
from backbone.measure.reference import StockPass
from backbone.rounds.plan import Planned
from backbone.rounds.questions import Question, Series
from backbone.statistics.looks import SAME


def make_series(planned: Sequence[Planned], precision: float) -> list[Series]:
    """A series of commands for each input. precision: largest half-width of ratios, in percent."""
    inputs: dict[str, list[Planned]] = {}
    for entry in planned:
        inputs.setdefault(entry.workload.dataset, []).append(entry)
    return [
        Series(
            name=dataset,
            commands=[entry.command for entry in alike],
            questions=list(questions_about(alike, precision)),
            least=alike[0].least,
            passes=alike[0].options.iterations,
            modes=[
                entry.command
                for entry in alike
                if entry.options.target == "model"
                and not is_stock(entry)
                and entry.workload == alike[0].workload
            ],
            stock=StockPass(alike[0].workload, alike[0].device, alike[0].options.threads),
        )
        for dataset, alike in inputs.items()
    ]


def is_stock(planned: Planned) -> bool:
    """Whether a command runs the stock network."""
    return planned.options.mode == STOCK and not planned.command.environment


def questions_about(planned: Sequence[Planned], precision: float) -> Iterator[Question]:
    """The questions about the commands of one input, of which the first is stock. For modes: each
    mode's verdict against stock, and its ratio to memory kept or, if memory cannot be kept, to
    stock. Otherwise: the ratio of memory kept to stock, or the time of stock."""
    stock, *others = [entry for entry in planned if entry.options.target == "model"]
    if stock.stale is not None:
        modes = [entry for entry in others if not is_stock(entry)]
        kept = [
            entry
            for entry in modes
            if entry.options.mode == MEMORY_KEPT and not entry.command.environment
        ]
        reference = [*kept, stock][0].command
        yield Question(stock.command)
        for mode in modes:
            if mode not in kept:
                yield Question(mode.command, stock.command, same=SAME)
                yield Question(mode.command, reference, precision)
    elif others:
        yield Question(stock.command)
        yield Question(others[0].command, stock.command, precision)
    else:
        yield Question(stock.command, precision=precision)
