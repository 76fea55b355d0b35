"""``pvensemble steer``: ask a running training for something."""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING

from pvensemble.cli._output import open_ensemble
from pvensemble.errors import ConfigError, SteeringError

if TYPE_CHECKING:
    from pvensemble.store.steering import Request

HELP = "stop runs of a running training, change what it records, or add runs"
PATIENCE = 600.0
"""Seconds that ``--wait`` waits for when nobody says."""
LOOK_SECONDS = 0.2
NOT_YET = 3
"""Exit status when nothing was acknowledged in time."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.epilog = (
        "The training looks once a second; `pvensemble log X.pvens` tells what became of a request."
    )
    parser.add_argument("ensemble", metavar="X.pvens")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    stop = actions.add_parser("stop", help="end runs, e.g. stop 3,5-7")
    stop.add_argument("runs", metavar="RUNS", help="run indices, e.g. 3,5-7")
    stop.add_argument("--reason", default="", help="a line for the run table")
    record = actions.add_parser("record", help="change what is recorded, e.g. record --every 50")
    record.add_argument("--every", type=int, metavar="N", help="every N steps")
    record.add_argument("--layers", metavar="NAMES", help="e.g. conv1,conv2; convolutions; all")
    record.add_argument("--kinds", metavar="KINDS", help="e.g. weight,correlation")
    add = actions.add_parser("add", help="add runs, e.g. add learning_rate=0.01,0.02 momentum=0.9")
    add.add_argument("settings", nargs="+", metavar="KEY=VALUES", help="their grid is added")
    for action in (stop, record, add):
        action.add_argument(
            "--wait",
            nargs="?",
            type=float,
            const=PATIENCE,
            metavar="SECONDS",
            help=f"wait until it is acknowledged (default: {PATIENCE:g} seconds)",
        )


def run(args: argparse.Namespace) -> int:
    """Write the request; return 0, 2 when it was refused, 3 when nobody answered in time."""
    from pvensemble.store.log import has_ended, is_training, send_request

    ensemble = open_ensemble(args.ensemble)
    request = _request(args, ensemble)
    if request.action == "add":
        _check_settings(request, ensemble)
    request = send_request(ensemble, request)
    print(f"request {request.number}: {request.text}", flush=True)
    if all(map(has_ended, ensemble.groups)):
        print("every run has ended: `pvensemble train --resume` will look at it", file=sys.stderr)
    elif not is_training(ensemble):
        print("no process on this machine trains it now; the next one will look", file=sys.stderr)
    return 0 if args.wait is None else _wait(ensemble, request, args.wait)


def _request(args: argparse.Namespace, ensemble) -> Request:
    from pvensemble.numerics.runs import parse_runs
    from pvensemble.store import steering
    from pvensemble.store.steering_text import parse_names, parse_settings

    if args.action == "stop":
        runs = parse_runs(args.runs, ensemble.n_runs).tolist()
        return steering.stop_request(runs, args.reason)
    if args.action == "record":
        layers, kinds = (
            None if text is None else parse_names(text) for text in (args.layers, args.kinds)
        )
        return steering.record_request(args.every, layers, kinds)
    return steering.add_request(parse_settings(" ".join(args.settings)))


def _check_settings(request: Request, ensemble) -> None:
    """Raise for settings that the training would refuse."""
    from pvensemble.train.added import added_specs
    from pvensemble.train.config import read_config

    stored = ensemble.provenance
    if "config_text" not in stored:
        return
    known = {run.run_id for group in ensemble.groups for run in group.runs}
    try:
        config = read_config(stored["config_text"], str(ensemble.path), stored["overrides"])
        added_specs(config, request, known)
    except ConfigError as error:
        raise SteeringError(str(error).replace("request 0", "add", 1)) from error


def _wait(ensemble, request: Request, patience: float) -> int:
    from pvensemble.store.log import ensemble_log, is_answered

    give_up = time.monotonic() + patience
    while not is_answered(ensemble, request):
        if time.monotonic() > give_up:
            print(f"request {request.number}: nobody answered yet", file=sys.stderr)
            return NOT_YET
        time.sleep(LOOK_SECONDS)
        ensemble.refresh()
    answers = [e for e in ensemble_log(ensemble) if e.request == request.number and e.group]
    for answer in answers:
        print(f"{answer.group}: {answer.event}: {answer.text}")
    return 2 if all(answer.event == "refused" for answer in answers) else 0
