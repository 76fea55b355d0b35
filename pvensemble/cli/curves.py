"""``pvensemble curves``: all metrics of all runs in long form."""

from __future__ import annotations

import argparse

from pvensemble.cli._output import add_csv, open_ensemble, write_text

HELP = "write all metrics in long form: run_index, step, metric, value"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("ensemble", metavar="X.pvens")
    add_csv(parser)


def run(args: argparse.Namespace) -> int:
    """Write the curves; to standard output unless a file is named."""
    from pvensemble.store.table import csv_text

    write_text(
        csv_text(long_form(open_ensemble(args.ensemble))), "-" if args.csv is None else args.csv
    )
    return 0


def long_form(ensemble) -> dict:
    """Return columns run_index, step, metric, value.

    There is a row for each run and step at which its group evaluated the metric; a value that is
    NaN, as after a divergence, becomes an empty cell.
    """
    import numpy as np

    columns: dict = {"run_index": [], "step": [], "metric": [], "value": []}
    rows = [(group, group.metric_rows()) for group in ensemble.groups]
    for metric in ensemble.metric_names:
        for group, metrics in rows:
            if metric in metrics:
                steps, values = metrics[metric]
                here = group.run_indices >= 0
                values = values[:, here]
                columns["run_index"].append(np.repeat(group.run_indices[here], len(steps)))
                columns["step"].append(np.tile(steps, values.shape[1]))
                columns["metric"].append(np.full(values.size, metric))
                columns["value"].append(values.T.ravel())
    return {name: np.concatenate(parts) if parts else [] for name, parts in columns.items()}
