"""``pvensemble merges``: the filters that were merged during training."""

from __future__ import annotations

import argparse

from pvensemble.cli._merges import add_output, show
from pvensemble.cli._output import open_ensemble

HELP = "list the filters that were merged during training, with accuracy before and after"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("ensemble", metavar="X.pvens")
    parser.add_argument("--runs", metavar="0-4,9", default="", help="of these runs (default: all)")
    add_output(parser)


def run(args: argparse.Namespace) -> int:
    """Print or write the events."""
    from pvensemble.numerics.runs import parse_runs

    ensemble = open_ensemble(args.ensemble)
    chosen = set(parse_runs(args.runs, ensemble.n_runs).tolist())
    events = [e for e in ensemble.merges() if not chosen or e.run in chosen]
    if not events and args.csv is None:
        reducible = any(group.reducible for group in ensemble.groups)
        why = "none were alike enough" if reducible else "`pvensemble train --reduce-filters` does"
        print(f"no filters were merged: {why}")
        return 0
    show(events, ensemble.run_table()["run_id"], args.csv)
    return 0
