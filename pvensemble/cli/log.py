"""``pvensemble log``: what was asked of a training, and what became of it."""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from typing import TYPE_CHECKING

from pvensemble.cli._output import open_ensemble

if TYPE_CHECKING:
    from pvensemble.store.log import LogEntry

HELP = "show what was asked of a training, what became of it, and how runs ended"
LOOK_SECONDS = 0.5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("ensemble", metavar="X.pvens")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--follow", action="store_true", help="go on with what happens next")


def run(args: argparse.Namespace) -> int:
    """Print the log; with ``--follow``, until interrupted."""
    from pvensemble.store.log import ensemble_log

    ensemble = open_ensemble(args.ensemble)
    shown: Counter[LogEntry] = Counter()
    while True:
        for entry, n in (Counter(entries := ensemble_log(ensemble)) - shown).items():
            for _ in range(n):
                print(_json(entry) if args.json else _line(entry), flush=True)
        shown = Counter(entries)
        if not args.follow:
            return 0
        time.sleep(LOOK_SECONDS)
        ensemble.refresh()


def _json(entry: LogEntry) -> str:
    return json.dumps(vars(entry))


def _line(entry: LogEntry) -> str:
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(entry.time))
    number = f"#{entry.request}" if entry.request else ""
    return f"{when}  {entry.event:<8}  {number:>4}  {entry.group:<5}  {entry.text}"
