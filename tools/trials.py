"""Trials of compare.py itself: how often, and how narrowly, it tells the truth.

A program for people, not a test. It compares two commands so many times, the same thing twice if
only one is given, and stores what comes out in tools/trials.json, which METHOD.md's table is made
of, or in another file.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from datetime import date
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from backbone.command import ending, flags
from backbone.command.errors import Failure
from backbone.command.files import ROOT, check_writable, write_whole
from backbone.command.interrupts import interrupts_raised, signals_held
from backbone.record import trials
from backbone.record.trials import Trial, Trials


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        ending.PROGRAM, description=__doc__.splitlines()[0], allow_abbrev=False
    )
    parser.add_argument("commands", nargs="+", metavar="COMMAND", help="as compare.py takes it")
    parser.add_argument("--title", required=True, help="in the table; one of the same is replaced")
    parser.add_argument("--trials", type=flags.positive, default=1, help="how many (default: 1)")
    least_two = partial(flags.whole_number, least=2)
    parser.add_argument("--rounds", type=least_two, default=15, help="of each (default: 15)")
    parser.add_argument("--file", type=Path, default=trials.FILE, help="that they are stored in")
    arguments = parser.parse_args()
    if len(arguments.commands) > 2:
        parser.error("a trial is of two commands, or of one twice")
    return arguments


def main() -> None:
    arguments = parse_arguments()
    check_writable(arguments.file)
    first, second = arguments.commands[0], arguments.commands[-1]
    found = []
    for number in range(1, arguments.trials + 1):
        found.append(compare(first, second, arguments.rounds))
        series = Trials(
            title=arguments.title,
            commands=[first, second],
            rounds=arguments.rounds,
            date=str(date.today()),
            trials=found,
        )
        write_whole(arguments.file, trials.with_series(series, arguments.file))
        last = found[-1]
        print(f"{number}: {last.speed_up:.3f} ({last.low:.3f} to {last.high:.3f})", flush=True)


def compare(first: str, second: str, rounds: int) -> Trial:
    """One trial. Raises Failure where compare.py fails."""
    with interrupts_raised(), tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "comparison.json")
        status = run_compare("--rounds", str(rounds), "--json", str(file), first, second)
        if status != 0:
            raise Failure("compare.py has failed; what was found before it is stored")
        _, compared = json.loads(file.read_text())
    return Trial(speed_up=compared["speed_up"], low=compared["low"], high=compared["high"])


def run_compare(*words: str) -> int:
    """Run compare.py, and give its exit status. What ends this ends compare.py first, which ends
    its own processes."""
    command = [sys.executable, "compare.py", *words]
    process = None
    try:
        with signals_held():  # until it is known what is to be ended
            process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
        return process.wait()
    finally:
        if process is not None:
            process.terminate()  # nothing, if it has ended
            process.wait()


if __name__ == "__main__":
    ending.run(main)
