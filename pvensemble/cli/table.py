"""``pvensemble table``: the run table with performance measures."""

from __future__ import annotations

import argparse

from pvensemble.cli._output import add_csv, aligned, open_ensemble, write_text

HELP = "show the run table with the measures P1, P2, P3 of each run"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("ensemble", metavar="X.pvens")
    parser.add_argument(
        "--p1", metavar="STEP", type=int, help="step of P1 (default: the last evaluated one)"
    )
    parser.add_argument(
        "--interval",
        metavar=("A", "B"),
        type=int,
        nargs=2,
        help="closed interval of steps of P2 and P3 (default: all)",
    )
    add_csv(parser)


def run(args: argparse.Namespace) -> int:
    """Print or write the table."""
    from pvensemble.store.table import csv_text

    columns = table_with_measures(open_ensemble(args.ensemble), args.p1, args.interval)
    if args.csv is not None:
        write_text(csv_text(columns), args.csv)
    else:
        print(aligned(columns), end="")
    return 0


def table_with_measures(ensemble, p1_step: int | None, interval: list | None) -> dict:
    """Return the run table and, when there is an accuracy, the measures of each run."""
    from pvensemble import schema
    from pvensemble.numerics.performance import broken_runs, performance_table

    columns = ensemble.run_table()
    metric = ensemble.accuracy_metric
    if metric is None:
        require_none(ensemble, p1_step, interval)
        return columns
    curve = ensemble.curve(metric)
    measures = performance_table(
        curve.steps,
        curve.values,
        p1_step=p1_step,
        interval=None if interval is None else (interval[0], interval[1]),
        broken=broken_runs(columns[schema.STATE]),
    )
    return {**columns, **measures}


def require_none(ensemble, p1_step: int | None, interval: list | None) -> None:
    """Raise when measures were asked for although there is no accuracy."""
    from pvensemble.errors import NotRecordedError
    from pvensemble.schema import ACCURACY_METRICS

    if p1_step is not None or interval is not None:
        have = ", ".join(ensemble.metric_names) or "none"
        raise NotRecordedError(
            f"{ensemble.path}: no measures, because no accuracy is recorded; expected one of "
            f"{', '.join(ACCURACY_METRICS)}, the metrics are: {have}"
        )
