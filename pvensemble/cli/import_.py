"""``pvensemble import``: an ensemble from a table that others made."""

from __future__ import annotations

import argparse

HELP = "make an ensemble of a CSV table: one row is one run"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("source", metavar="TABLE.csv", help="a table with a header line")
    parser.add_argument("-o", "--output", metavar="X.pvens", required=True, help="the new ensemble")
    parser.add_argument(
        "--parameters", required=True, help="columns that are hyper-parameters: a,b,c"
    )
    parser.add_argument(
        "--metrics",
        required=True,
        help="columns that are metrics: a,b or name=column (accuracy=cifar10_test)",
    )
    parser.add_argument(
        "--scale", type=float, default=1.0, help="metrics are multiplied by it; 0.01 for percent"
    )
    parser.add_argument("--id", metavar="COLUMN", help="column of the run ids")
    parser.add_argument("--name", help="the ensemble's name; that of the table when omitted")


def run(args: argparse.Namespace) -> int:
    """Import a table."""
    from pvensemble.store import Ensemble
    from pvensemble.store.importers import import_csv

    pairs = [text.rpartition("=") for text in args.metrics.split(",")]
    writer = import_csv(
        args.source,
        args.output,
        parameters=args.parameters.split(","),
        metrics={column: name or column for name, _, column in pairs},
        scale=args.scale,
        id_column=args.id,
        name=args.name,
    )
    print(f"{writer.path}: {Ensemble.open(writer.path).n_runs} runs")
    return 0
