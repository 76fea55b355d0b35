"""The run table: what every view of runs shows, one row a run."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence

import numpy as np

from pvensemble import schema
from pvensemble.errors import CorruptFileError
from pvensemble.store.group import Group
from pvensemble.store.records import HyperParameter, fits


def run_table(
    groups: Sequence[Group], hyper_parameters: Sequence[HyperParameter], n_runs: int
) -> dict[str, np.ndarray]:
    """Return the columns of the run table, each (n_runs,), rows in the order of ``run_index``.

    See `Ensemble.run_table` for their order and types.
    """
    order: list = [None] * n_runs
    for group in groups:
        for position, index in enumerate(group.run_indices.tolist()):
            if index >= 0:
                order[index] = group, position
    runs = [g.index.runs[i] for g, i in order]
    states = [g.index.states[i] for g, i in order]
    text = {"run_id": [r.run_id for r in runs], "session": [r.session for r in runs]}
    table = {
        schema.RUN_INDEX: np.arange(n_runs, dtype=np.int64),
        schema.RUN_ID: text_column(text["run_id"]),
        schema.SESSION: text_column(text["session"]),
    }
    for parameter in hyper_parameters:
        values = [r.params.get(parameter.name) for r in runs]
        for (group, _), run, value in zip(order, runs, values):
            if not fits(value, parameter):
                raise CorruptFileError(
                    f"{group.path}: run '{run.run_id}': hyper-parameter '{parameter.name}' is "
                    f"{value!r}, but it is declared as {parameter.type}; the ensemble was not "
                    "written by pvensemble, make it again"
                )
        table[parameter.name] = parameter_column(values, parameter.type)
    table[schema.SEED] = np.array([r.seed for r in runs], np.int64)
    table[schema.STATE] = text_column([s.state for s in states])
    table[schema.REASON] = text_column([s.reason for s in states])
    table[schema.LAST_STEP] = np.array([g.index.last_step_of(i) for g, i in order], np.int64)
    return table


def text_column(values: Sequence[str]) -> np.ndarray:
    """Return texts as a numpy array of texts, at least one character wide."""
    return np.array(values, dtype=str) if len(values) else np.empty(0, "U1")


def parameter_column(values: Sequence, kind: str) -> np.ndarray:
    """Return a hyper-parameter's values as a column.

    Returns
    -------
    ndarray
        float64 with NaN where a run does not have it; int64 or uint8 for whole numbers and bools
        that all runs have; texts with ``""`` where absent.
    """
    if kind == "categorical":
        return text_column(["" if v is None else str(v) for v in values])
    if kind in ("int", "bool") and all(isinstance(v, int) for v in values):
        return np.array(values, np.uint8 if kind == "bool" else np.int64)
    return np.array([math.nan if v is None else float(v) for v in values], np.float64)


def cell_text(value: object) -> str:
    """Return a cell of a CSV file: NaN is empty, floats have all their digits."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        if math.isnan(value):
            return ""
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    return str(value)


def csv_text(columns: Mapping[str, Sequence]) -> str:
    """Return a table as CSV (RFC 4180 quoting, lines end in a line feed)."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*([cell_text(v) for v in column] for column in columns.values())))
    return stream.getvalue()
