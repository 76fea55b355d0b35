"""``pvensemble dynamics``: how the weights of a layer move, in numbers."""

from __future__ import annotations

import argparse

from pvensemble.cli._output import add_csv, aligned, open_ensemble, write_text
from pvensemble.cli._tensors import chosen_place

HELP = "tell how a layer's weights move: norm exponent, random walk, sign flips, update rule"
QUANTITIES = ("growth", "norm", "quadrature")
SHOWN = (
    "run_index",
    "norm_exponent",
    "motion",
    "msd_exponent",
    "increment_correlation",
    "path_ratio",
    "never_flipped",
    "residual_of_weights",
)
"""Columns for people; ``--csv`` has all, ``--run I`` tells all of one run."""
MAX_BYTES = 2**30
"""For the weights of the runs that are looked at together."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("ensemble", metavar="X.pvens")
    parser.add_argument("--layer", metavar="L", help="layer (default: the last one recorded)")
    parser.add_argument("--run", metavar="I", default="", help="runs like 0-4,9 (default: all)")
    parser.add_argument(
        "--quantity",
        choices=QUANTITIES,
        default=QUANTITIES[0],
        help="what norm_exponent is of: norm - start, norm, or sqrt(norm^2 - start^2)",
    )
    parser.add_argument(
        "--interval",
        metavar=("A", "B"),
        nargs=2,
        type=int,
        help="first and last step of the fit of norm_exponent (default: all)",
    )
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="the configuration it was trained with, needed for the update rule of own models",
    )
    add_csv(parser)


def run(args: argparse.Namespace) -> int:
    """Print a table of the runs, or what is to say about one, or write CSV."""
    ensemble = open_ensemble(args.ensemble)
    layer, _ = chosen_place(ensemble, "weight", args.layer, None)
    columns = dynamics_table(ensemble, layer, args)
    if args.csv is not None:
        from pvensemble.store.table import csv_text

        write_text(csv_text(columns), args.csv)
    elif len(columns["run_index"]) == 1:
        print(f"{layer} of run {columns['run_index'][0]}")
        for name, column in columns.items():
            print(f"  {name:<21} {_text(column[0])}".rstrip())
    else:
        print(aligned({name: columns[name] for name in SHOWN}), end="")
    return 0


def _text(value) -> str:
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, float):
        return "" if value != value else f"{value:.6g}"  # NaN
    return str(value)


def dynamics_table(ensemble, layer: str, args: argparse.Namespace) -> dict:
    """Return the columns of all chosen runs whose weights are recorded."""
    import numpy as np

    from pvensemble.errors import NotRecordedError
    from pvensemble.numerics.runs import parse_runs

    table = ensemble.run_table()
    chosen = parse_runs(args.run, ensemble.n_runs) if args.run else np.arange(ensemble.n_runs)
    rules = _Rules(ensemble, args.config)
    rows = []
    for group in ensemble.groups:
        if (layer, "weight") in group.index.tensors:
            members = np.flatnonzero(np.isin(group.run_indices, chosen))
            rows += _group_rows(group, layer, members, table, rules, args)
    if not rows:
        raise NotRecordedError(f"{ensemble.path}: of the chosen runs no weights are recorded")
    rows.sort(key=lambda row: row["run_index"])
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def _group_rows(group, layer: str, members, table: dict, rules, args) -> list[dict]:
    """Return the rows of some runs of a group, so many at a time as memory allows."""
    import numpy as np

    steps = group.recorded_steps(layer, "weight")
    size = int(np.prod(group.tensor_shape(layer, "weight", steps[0])))
    together = max(1, MAX_BYTES // (4 * size * len(steps)))
    rows = []
    for first in range(0, len(members), together):
        some = members[first : first + together]
        paths = np.empty((len(some), len(steps), size), np.float32)
        checks = [rules.check(group.runs[k].run_id) for k in some]
        has_gradients = (layer, "gradient") in group.index.tensors
        gradient_steps = set(group.recorded_steps(layer, "gradient")) if has_gradients else set()
        is_checked = any(not isinstance(check, str) for check in checks)
        for place, step in enumerate(steps):
            paths[:, place] = group.filters(layer, "weight", step)[some].reshape(len(some), -1)
            beside = {step - 1, step + 1} & gradient_steps
            if is_checked and step in gradient_steps and beside:
                gradients = group.filters(layer, "gradient", step)[some].reshape(len(some), -1)
                for path, check, gradient in zip(paths, checks, gradients):
                    if not isinstance(check, str):
                        check.add(step, path[place], gradient)
        for k, path, check in zip(some, paths, checks):
            rows.append(_row(int(group.run_indices[k]), np.array(steps), path, check, table, args))
    return rows


def _row(run: int, steps, path, check, table: dict, args) -> dict:
    """Return what is to say about one run."""
    import numpy as np

    from pvensemble.numerics.diagnostics import WeightChanges
    from pvensemble.numerics.norms import fit_power_law, quantity_of
    from pvensemble.numerics.trajectories import motion
    from pvensemble.schema import BROKEN, PRUNED

    if table["state"][run] in (*BROKEN, PRUNED):  # from there on the tensors only repeat
        upto = int(np.searchsorted(steps, table["last_step"][run], side="right"))
        steps, path = steps[:upto], path[:upto]
    changes = WeightChanges()
    for weights in path:
        changes.add(weights[None])
    norms = np.array(changes.norms).reshape(1, -1)
    fit = fit_power_law(steps, quantity_of(norms, args.quantity), args.interval)
    moves = motion(path, steps)
    residual = _residual(check)
    return {
        "run_index": run,
        "run_id": str(table["run_id"][run]),
        "state": str(table["state"][run]),
        "recorded_steps": len(steps),
        "norm_exponent": fit.exponent[0],
        "norm_exponent_low": fit.low[0],
        "norm_exponent_high": fit.high[0],
        "motion": moves.kind,
        "msd_exponent": moves.exponent,
        "msd_exponent_low": moves.low,
        "msd_exponent_high": moves.high,
        "increment_correlation": moves.increment_correlation,
        "increment_band": moves.band,
        "path_ratio": moves.path_ratio,
        "flips_per_weight": changes.flips_per_weight()[0] if len(path) else np.nan,
        "never_flipped": changes.never_flipped()[0] if len(path) else np.nan,
        **residual,
        "verdict": moves.sentence(),
    }


def _residual(check) -> dict:
    """Return the columns of the update rule: numbers, or why there are none."""
    nan = float("nan")
    note = check if isinstance(check, str) else ""
    if not note and check.n_updates == 0:
        note = "no two consecutive steps with weights and gradients (record.every=1)"
    there = not note
    return {
        "updates_checked": check.n_updates if there else 0,
        "residual_largest": float(check.largest) if there else nan,
        "residual_of_weights": float(check.of_weights) if there else nan,
        "residual_of_update": float(check.of_update) if there else nan,
        "update_rule": note or "checked",
    }


class _Rules:
    """How each run of an ensemble was updated, where that is known."""

    def __init__(self, ensemble, config: str | None) -> None:
        from pvensemble.errors import ConfigError

        self._specs, self._why = {}, ""
        try:
            from pvensemble.train.stored_runs import stored_runs

            self._specs = stored_runs(ensemble, config)
        except ModuleNotFoundError as error:
            self._why = f"needs {error.name}"
        except ConfigError as error:
            if config is not None:
                raise
            self._why = f"not known: {error}"

    def check(self, run_id: str):
        """Return an UpdateCheck for a run, or the reason why there is none."""
        from pvensemble.numerics.update_rule import UpdateCheck

        if run_id not in self._specs:
            return self._why or "not known of this run"
        from pvensemble.train.schedules import lr_at

        s = self._specs[run_id].settings
        if s.optimizer != "sgd":
            return f"does not apply to {s.optimizer}"
        if s.reduce.threshold is not None:
            return "does not apply where filters are merged"
        return UpdateCheck(
            lambda step: lr_at(s, step),
            momentum=s.momentum,
            weight_decay=s.weight_decay,
            nesterov=s.nesterov,
        )
