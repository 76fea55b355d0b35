"""Ensembles made from tables of others: one row is one run."""

from __future__ import annotations

import csv
import hashlib
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from pvensemble.errors import DataError, did_you_mean
from pvensemble.schema import COMPLETE
from pvensemble.store.records import HyperParameter, RunInfo, SessionInfo
from pvensemble.store.writer import EnsembleWriter


def import_csv(
    path: str | os.PathLike,
    out: str | os.PathLike,
    *,
    parameters: Sequence[str],
    metrics: Mapping[str, str] | Sequence[str],
    scale: float = 1.0,
    id_column: str | None = None,
    name: str | None = None,
) -> EnsembleWriter:
    """Make an ensemble of a CSV table with a header line: one group, metrics at step 0.

    Parameters
    ----------
    path
        The table.
    out
        ``X.pvens``, which must not exist.
    parameters
        Columns that become hyper-parameters: float or int when all cells are numbers, else
        categorical. Empty cells mean that a run does not have it.
    metrics
        Columns that become metrics; a mapping gives metric names for columns.
    scale
        Metrics are multiplied by it: 0.01 for percentages.
    id_column
        Column of the run ids; without it they are hashes of the row's hyper-parameters and number.
    name
        The ensemble's name; that of the table when omitted.

    Returns
    -------
    EnsembleWriter
        Finished; its ``path`` is the new ensemble.

    Raises
    ------
    DataError
        The table cannot be read, lacks a column or a cell, or a metric is no number.
    StoreError
        The ensemble cannot be written.
    """
    path = Path(path)
    metrics = dict(metrics) if isinstance(metrics, Mapping) else {m: m for m in metrics}
    columns, n_rows = _read(path)
    wanted = [*parameters, *metrics, *([id_column] if id_column else [])]
    for column in wanted:
        if column not in columns:
            raise DataError(f"{path}: no column '{column}'{did_you_mean(column, columns)}")
    if not math.isfinite(scale):
        raise DataError(f"scale of the metrics: got {scale}, expected a finite number")
    typed = {column: _typed(columns[column], column, path) for column in parameters}
    hyper_parameters = [
        HyperParameter(n, kind, "categorical" if kind == "categorical" else "linear")
        for n, (kind, _) in typed.items()
    ]
    rows = zip(*(values for _, values in typed.values())) if typed else ((),) * n_rows
    ids = columns[id_column] if id_column else _ids(columns, parameters, n_rows)
    runs = [
        RunInfo(run_id, dict(zip(typed, row)), 0, "imported", index)
        for index, (run_id, row) in enumerate(zip(ids, rows))
    ]
    values = {
        metric: ([0], scale * _numbers(columns[column], column, path)[None, :])
        for column, metric in metrics.items()
    }
    writer = EnsembleWriter.create(
        out,
        name=name or path.stem,
        sessions=[SessionInfo("imported")],
        hyper_parameters=hyper_parameters,
        provenance={"imported_from": path.name, "sha256": _sha256(path)},
    )
    with writer, writer.create_group(runs) as group:
        group.commit(0, {}, values)
        group.set_states(range(len(runs)), COMPLETE, step=0)
    return writer


def _read(path: Path) -> tuple[dict[str, list[str]], int]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            header, *rows = list(csv.reader(stream)) or [[]]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: the table cannot be read: {error}") from error
    if not rows:
        raise DataError(f"{path}: the table has no rows; expected a header line and a line a run")
    for number, row in enumerate(rows, start=2):
        if len(row) != len(header):
            raise DataError(
                f"{path}, line {number}: {len(row)} cells; expected {len(header)} like the header"
            )
    twice = [name for name in header if header.count(name) > 1]
    if twice:
        raise DataError(f"{path}: two columns are called '{twice[0]}'; rename one of them")
    return {name: list(column) for name, column in zip(header, zip(*rows))}, len(rows)


def _typed(cells: Sequence[str], column: str, path: Path) -> tuple[str, list]:
    """Return the type of a column and its values; empty cells are None."""
    for kind, convert in (("int", _whole), ("float", float)):
        try:
            values = [convert(cell) if cell else None for cell in cells]
        except ValueError:
            continue
        for value in values:
            if value is not None and not math.isfinite(value):
                raise DataError(
                    f"{path}, column '{column}': got {value}, expected finite numbers; leave cells "
                    "empty where a run does not have the hyper-parameter"
                )
        return kind, values
    return "categorical", [cell or None for cell in cells]


def _whole(cell: str) -> int:
    """Return a whole number that 64 bits hold."""
    value = int(cell)
    if not -(2**63) <= value < 2**63:
        raise ValueError(cell)
    return value


def _numbers(cells: Sequence[str], column: str, path: Path) -> np.ndarray:
    try:
        return np.array([float(cell) if cell else math.nan for cell in cells])
    except ValueError as error:
        raise DataError(f"{path}, column '{column}': a metric is no number: {error}") from error


def _ids(columns: Mapping[str, Sequence[str]], parameters: Sequence[str], n: int) -> list[str]:
    rows = zip(*(columns[p] for p in parameters), range(n))
    return [hashlib.sha256(repr(row).encode()).hexdigest()[:12] for row in rows]


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
