"""Files for people and stock ParaView: derived from the indexes, and written anew at any time."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from pvensemble.errors import StoreError
from pvensemble.schema import RUNS_FILE, SERIES_SUFFIX, step_file, tensor_name
from pvensemble.store.ensemble import Ensemble
from pvensemble.store.files import unwritable, write_file
from pvensemble.store.table import csv_text

SHARE = 0.005
"""Share of the time that refreshing ``runs.csv`` at commits may take."""


def series_text(layer: str, kind: str, steps: Iterable[int]) -> bytes:
    """Return the content of the ``.vtkhdf.series`` file of one layer and kind: time is the step."""
    name = tensor_name(layer, kind)
    files = [{"name": f"{name}/{step_file(s)}", "time": s} for s in sorted(steps)]
    return json.dumps({"file-series-version": "1.0", "files": files}, indent=1).encode()


def write_series(
    directory: Path, layer: str, kind: str, steps: Iterable[int], *, sync: bool = False
) -> None:
    """Write the series file of one layer and kind into the group's directory.

    Raises
    ------
    StoreError
        The system refuses.
    """
    path = directory / (tensor_name(layer, kind) + SERIES_SUFFIX)
    try:
        write_file(path, series_text(layer, kind, steps), sync=sync)
    except OSError as error:
        raise unwritable(path, error, what="a series file") from error


def runs_csv(ensemble: Ensemble) -> str:
    """Return the run table with the last value of each metric as CSV."""
    columns = ensemble.run_table()
    for metric in ensemble.metric_names:
        columns[f"final {metric}"] = final_values(ensemble.curve(metric).values)
    return csv_text(columns)


def write_runs_csv(ensemble: Ensemble, *, sync: bool = False) -> None:
    """Write ``runs.csv``.

    Raises
    ------
    StoreError
        The system refuses.
    """
    path = ensemble.directory / RUNS_FILE
    try:
        write_file(path, runs_csv(ensemble).encode(), sync=sync)
    except OSError as error:
        raise unwritable(path, error, what="the run table") from error


def final_values(values: np.ndarray) -> np.ndarray:
    """Return the last measured value of each run, (n_runs,); NaN when there is none.

    Parameters
    ----------
    values
        (n_runs, n_steps), NaN where not measured.
    """
    measured = ~np.isnan(values)
    last = values.shape[1] - 1 - np.argmax(measured[:, ::-1], axis=1)
    return np.where(measured.any(axis=1), values[np.arange(len(values)), last], np.nan)


class RunsFile:
    """Keeps ``runs.csv`` fresh while groups are written, at a small share of the time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._due = 0.0
        self._reader: Ensemble | None = None

    def refresh(self) -> None:
        """Write the table, unless that was done a moment ago or is being done."""
        if not self._lock.acquire(blocking=False):
            return
        try:
            begin = time.monotonic()
            if begin < self._due:
                return
            with contextlib.suppress(StoreError, OSError):  # the end of the writing does it again
                if self._reader is None:
                    self._reader = Ensemble.open(self._path)
                self._reader.refresh()
                write_runs_csv(self._reader)
            end = time.monotonic()
            self._due = end + (end - begin) / SHARE
        finally:
            self._lock.release()
