"""Trials of compare.py: how often it is right, and how narrow its intervals are.

A program for people, not a test. It compares two commands several times, or a single command with
itself, and adds the results to tools/trials.json, the source of METHOD.md's table.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from datetime import date
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from backbone.command import ending, flag_types
from backbone.command.errors import Failure
from backbone.command.files import ROOT, check_writable, write_whole
from backbone.command.interrupts import interrupts_raised, signals_held
from backbone.record import tools
from backbone.record.tools import Trial
from backbone.statistics.looks import StopRule


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        ending.PROGRAM, description=__doc__.splitlines()[0], allow_abbrev=False
    )
    parser.add_argument(
        "commands", nargs="+", metavar="COMMAND", help="a command as for compare.py"
    )
    parser.add_argument("--title", required=True, help="in the table")
    parser.add_argument(
        "--trials", type=flag_types.positive, default=1, help="number of trials (default: 1)"
    )
    least_two = partial(flag_types.whole_number, least=2)
    parser.add_argument(
        "--rounds", type=least_two, help="rounds of each trial (default: compare.py's rule)"
    )
    parser.add_argument(
        "--file", type=Path, default=tools.TRIALS, help="file to which results are added"
    )
    arguments = parser.parse_args()
    if len(arguments.commands) > 2:
        parser.error("a trial takes one or two commands")
    return arguments


def main() -> None:
    arguments = parse_arguments()
    check_writable(arguments.file)
    for number in range(1, arguments.trials + 1):
        trial = compare(arguments)
        write_whole(arguments.file, tools.dumps([*tools.load(Trial, arguments.file), trial]))
        print(
            f"{number}: {trial.speed_up:.3f} ({trial.low:.3f} to {trial.high:.3f}), "
            f"{trial.verdict}, {trial.rounds} rounds, {trial.seconds:.0f} s",
            flush=True,
        )


def compare(arguments: argparse.Namespace) -> Trial:
    """Run a trial. Raises Failure if compare.py fails."""
    commands = [arguments.commands[0], arguments.commands[-1]]
    rounds = [] if arguments.rounds is None else ["--rounds", str(arguments.rounds)]
    with interrupts_raised(), tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "comparison.json")
        begun = time.monotonic()
        if run_compare(*rounds, "--json", str(file), *commands) != 0:
            raise Failure("compare.py failed; the results of earlier trials are stored")
        seconds = time.monotonic() - begun
        _, compared = json.loads(file.read_text())
    return Trial(
        title=arguments.title,
        speed_up=compared["speed_up"],
        low=compared["low"],
        high=compared["high"],
        verdict=compared["verdict"],
        rounds=compared["rounds"],
        rule=StopRule(arguments.rounds).name,
        seconds=round(seconds, 1),
        date=str(date.today()),
    )


def run_compare(*words: str) -> int:
    """Run compare.py and return its exit status. A signal that ends this process first ends
    compare.py, which ends its own processes."""
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
