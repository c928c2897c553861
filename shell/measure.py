"""The driver of all wrappers: measure.py [--leave-out-failed] WRAPPER PLAN [ARGUMENT...]

Runs the commands of a wrapper's plan (format: backbone/rounds/plan.py), appends the user's
arguments to each, and stores the results in $RESULTS or in this checkout.

Timers take turns: in each round every command runs in a fresh child process, which sends its record
over a pipe (backbone/rounds/schedule.py). There are $ROUNDS rounds or, if that is not set, up to
20, until ratios are known within $PRECISION percent. Other scripts run once. If a command fails,
the measurement ends; with --leave-out-failed it continues without that command, unless the command
is the first of its input, with which the others are compared.

Only this process writes results. It writes each finished round to .pending/ in the results folder
and, after the last round, replaces all stored results together (rounds/pending.py). An interrupt
ends the children and keeps the finished rounds; if this process is killed, the children exit by
themselves. The next start continues with the next round, or completes a replacement.
"""

import os
import random
import signal
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import astuple, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
leaves_out = sys.argv[1] == "--leave-out-failed"
wrapper, lines, *arguments = sys.argv[2 if leaves_out else 1 :]
users = [argument for argument in arguments if argument != "--new"]
wants_new = "--new" in arguments
sys.argv[0] = str(ROOT / wrapper)  # messages begin with the wrapper's name

from backbone.command import ending  # noqa: E402
from backbone.command.errors import Failure, message_of  # noqa: E402
from backbone.command.interrupts import Interrupted, interrupts_raised  # noqa: E402
from backbone.command.options import TimerOptions  # noqa: E402
from backbone.rounds import locks, plan  # noqa: E402
from backbone.rounds.plan import Planned  # noqa: E402

if TYPE_CHECKING:
    from backbone.rounds.commands import Command
    from backbone.rounds.pending import Completed, Measurement, Pending
    from backbone.rounds.schedule import Round


def main() -> None:
    planned = plan.read_plan(lines.splitlines(), users, wrapper)
    from backbone.rounds.pending import Pending, complete_storing

    results = Path(ROOT, os.environ.get("RESULTS") or ".")
    pending = Pending(results, wrapper, users)
    with (
        interrupts_raised(),
        locks.machine_taken(),
        locks.folder_taken(pending.folder.parent),
        reporting_what_is_kept(pending),
        locks.earlier_processes_ended() as lock,  # an open file, which children inherit
    ):
        completed = complete_storing(results).get(pending.folder)
        plan.check_network(planned, results)  # another network's results may have the same name
        if isinstance(planned[0].options, TimerOptions):
            failed = run_rounds(planned, pending, lock, completed)
        else:
            failed = run_once(planned, pending, lock)
    show_stored(planned, results)
    if failed:
        raise Failure(f"some commands failed, and have no results: {'; '.join(failed)}")


def run_once(planned: Sequence[Planned], pending: "Pending", lock: int) -> list[str]:
    """Run commands one after the other, and store their output and files. Raises Failure if one
    fails, so the returned list of failed commands is always empty."""
    from backbone.rounds import process

    texts = {}
    pending.folder.mkdir(parents=True, exist_ok=True)
    record = pending.folder / "record.json"
    for item in planned:
        command = replace(item.command, words=[*item.command.words, "--json", str(record)])
        ending.say(command.name)
        texts[f"{item.file}.txt"] = process.run_once(command, locks=(lock,))
        texts[f"{item.file}.json"] = record.read_text("utf-8")
    pending.store(texts)
    return []


def run_rounds(
    planned: Sequence[Planned], pending: "Pending", lock: int, completed: "Completed | None"
) -> list[str]:
    """Run commands in rounds, continuing a pending measurement, and store their results. Returns
    the names of commands that failed and were left out; raises Failure if a required command fails.
    completed: a measurement of these commands whose storing this process has just completed, if
    any; under the same conditions it is not repeated."""
    from backbone.record import records
    from backbone.record.remarks import doubt_of_cut, remarks_on
    from backbone.record.text import format_rows
    from backbone.rounds import schedule, series
    from backbone.rounds.caches import empty_caches
    from backbone.rounds.conditions import conditions_of, hash_code
    from backbone.rounds.progress import Progress
    from backbone.statistics.looks import StopRule
    from backbone.statistics.ratios import cut_over_uncut

    rule = StopRule(int(os.environ["ROUNDS"]) if os.environ.get("ROUNDS") else None)
    conditions = conditions_of(planned, rule)
    if completed is not None and not wants_new:
        measurement = completed.measurement
        if measurement is not None and measurement.conditions == conditions:
            ending.say(f"completed storing the measurement started at {measurement.when}")
            return completed.failed
    commands = [item.command for item in planned]
    measurement, ended = resume(commands, pending, conditions)

    def keep(this_round: "Round") -> None:
        if hash_code(planned) != conditions["code"]:
            raise Failure("the code changed during this round; the round is dropped")
        pending.add(this_round, commands)

    all_series = series.make_series(planned, float(os.environ.get("PRECISION") or 10))
    with empty_caches() as variables, Progress([one.name for one in all_series], rule) as progress:
        outcome = schedule.run_rounds(
            *(all_series, rule, measurement.seed, progress),
            **{"need_all": not leaves_out, "ended": ended, "keep": keep, "locks": (lock,)},
            variables=variables,
        )
    if not outcome.is_complete:
        raise Failure(outcome.failed)
    texts = {}
    for item in planned:
        if item.command not in outcome.failures:
            record = outcome.record_of(item.command)
            texts[f"{item.file}.json"] = records.dumps(record)
            texts[f"{item.file}.txt"] = format_rows(record.rows)
            ratio = cut_over_uncut(record)
            if ratio and (doubt := doubt_of_cut(item.options.target, record, *astuple(ratio))):
                ending.say(f"{item.command.name}: {doubt}")
            for remark in remarks_on(record):
                ending.say(f"{item.command.name}: {remark}")
    failed = [command.name for command in outcome.failures]
    pending.store(texts, stale_files(planned, pending.results) - texts.keys(), failed)
    return failed


def resume(
    commands: Sequence["Command"], pending: "Pending", conditions: dict[str, str]
) -> tuple["Measurement", list["Round"]]:
    """The pending measurement with its rounds, or a new one without rounds if none is pending or
    the user asked for a new one. Raises Failure if a condition has changed."""
    from backbone.rounds.pending import Measurement

    measurement = None if wants_new or not pending.count_rounds() else pending.load()
    if measurement is None:
        started = datetime.now().isoformat(timespec="seconds")
        measurement = Measurement(started, random.randrange(10**9), conditions)
        pending.start(measurement)
        return measurement, []
    begun = f"the measurement started at {measurement.when}"
    if difference := measurement.difference_from(conditions):
        raise Failure(f"cannot continue {begun}: {difference}")
    ended = pending.rounds(commands)
    rounds = Counter(earlier.series for earlier in ended)
    done = [f"{f'{name} ' if len(rounds) > 1 else ''}round {rounds[name]}" for name in rounds]
    ending.say(f"continuing after {', '.join(done)} of {begun}")
    return measurement, ended


def stale_files(planned: Sequence[Planned], results: Path) -> set[str]:
    """The stored modes of the plan's networks and inputs, as paths in the results folder. The new
    set replaces all of them, including modes that failed or no longer exist."""
    return {
        str(file.relative_to(results))
        for item in planned
        if item.stale is not None
        for kind in ("json", "txt")
        for file in results.glob(f"{item.stale}*.{kind}")
    }


@contextmanager
def reporting_what_is_kept(pending: "Pending") -> Iterator[None]:
    """If the block fails or is interrupted, add to the message which results are kept."""
    try:
        yield
    except BrokenPipeError:  # messages have no reader
        raise
    except (Failure, OSError) as error:
        raise Failure(f"{message_of(error)}; {what_is_kept(pending)}") from error
    except Interrupted as interrupt:
        with suppress(OSError):  # the reader of stderr may have exited
            name = signal.Signals(interrupt.number).name
            ending.say(f"interrupted by {name}; {what_is_kept(pending)}")
        raise


def what_is_kept(pending: "Pending") -> str:
    """Which results are kept of a measurement that did not finish."""
    from backbone.record.titles import count
    from backbone.rounds.pending import discard

    if pending.is_stored:
        return "the new results are stored"
    if pending.is_being_stored:
        return "the stored results are partly replaced; run this command again to finish"
    if rounds := pending.count_rounds():
        return (
            f"stored results are unchanged; {count(rounds, 'round')} kept: run this command again "
            "under the same conditions to continue, or with --new to start over"
        )
    discard(pending.folder)
    return "stored results are unchanged"


def show_stored(planned: Sequence[Planned], results: Path) -> None:
    """Print a summary of the stored times, the results' folders, and what to do next."""
    if isinstance(planned[0].options, TimerOptions):
        print(summary_of(planned, results))
    folders = dict.fromkeys(results / Path(item.file).parent for item in planned)
    outer = [
        str(folder.relative_to(ROOT) if folder.is_relative_to(ROOT) else folder)
        for folder in folders
        if folder.parent not in folders
    ]
    print(f"Stored in {', '.join(outer)}")
    if wrapper.endswith("stats.sh") and not users:
        print("Next: 'sh modes.sh' finds what makes it faster")
    if results == ROOT or results.parent == ROOT / "devices":
        print("'python results.py --update' turns them into tables and pictures")


def summary_of(planned: Sequence[Planned], results: Path) -> str:
    """The summary of a plan's stored results."""
    from backbone.report import summary

    whole = [item for item in planned if item.options.target == "model"]
    if whole[0].stale is None:
        return summary.summarize_times([results / f"{item.file}.json" for item in whole])
    starts = [*dict.fromkeys(results / item.stale for item in whole)]
    if starts[0].parent.name == "scaling":
        return summary.summarize_scaling(starts[0].parent)
    return summary.summarize_modes(starts)


if __name__ == "__main__":
    ending.run(main)
