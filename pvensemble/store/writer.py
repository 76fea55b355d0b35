"""Creating an ensemble, joining one, and adding groups; several processes may do so at once."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from pvensemble import __version__
from pvensemble.errors import CorruptFileError, StoreError
from pvensemble.schema import FIXED_COLUMNS, INDEX_FILE, RUNS_FILE, group_name
from pvensemble.store.ensemble import Ensemble, is_group
from pvensemble.store.files import create_file, sync_directory, unwritable, write_file
from pvensemble.store.group_index import GROUP_VERSION
from pvensemble.store.group_writer import GroupWriter, attempt
from pvensemble.store.manifest import (
    Manifest,
    check_new_path,
    data_directory,
    encode_manifest,
    manifest_path,
    read_manifest,
)
from pvensemble.store.records import (
    HyperParameter,
    LayerInfo,
    RunInfo,
    SessionInfo,
    check_name,
    hyper_parameter_to_json,
    infer_hyper_parameter,
    layer_to_json,
    runs_to_json,
    session_to_json,
)
from pvensemble.store.series import write_series
from pvensemble.store.table import csv_text

DERIVED_SHARE = 0.02
"""Share of the time that refreshing derived tables at commits may take."""


class EnsembleWriter:
    """An ensemble on disk to which groups are added. See `create` and `open`."""

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path = path
        self.directory = data_directory(path)
        self.manifest = manifest
        self._open_groups: list[GroupWriter] = []
        self._derived_lock = threading.Lock()
        self._derived_due = 0.0
        self._reader: Ensemble | None = None

    @classmethod
    def create(
        cls,
        path: str | os.PathLike,
        *,
        name: str | None = None,
        sessions: Sequence[SessionInfo] = (),
        hyper_parameters: Sequence[HyperParameter] = (),
        provenance: Mapping | None = None,
        exist_ok: bool = False,
    ) -> EnsembleWriter:
        """Create an ensemble.

        Parameters
        ----------
        path
            ``X.pvens``; the data go to ``X.pvens.d`` beside it.
        name
            For people; the file's name when omitted.
        provenance
            How it comes to be, anything that JSON can hold: ``versions``, ``config`` …
        exist_ok
            Join the ensemble when it exists, as several processes that record into one do. Sessions
            and hyper-parameters that it does not know are then kept with the groups of this process.

        Raises
        ------
        StoreError
            It exists, its name is not possible, or the system refuses.
        """
        path = Path(path)
        check_new_path(path)
        for parameter in hyper_parameters:
            _check_parameter_name(parameter.name)
        provenance = dict(provenance or {})
        provenance["versions"] = {"pvensemble": __version__, **provenance.get("versions", {})}
        manifest = Manifest(
            path.stem if name is None else str(name),
            tuple(sessions),
            tuple(hyper_parameters),
            provenance,
        )
        data = encode_manifest(manifest)
        directory = data_directory(path)
        if not path.exists() and _has_groups(directory):
            raise StoreError(
                f"{directory}: holds groups of an ensemble whose manifest {path.name} is missing; put the "
                "manifest back, or delete the directory"
            )
        try:
            directory.mkdir(exist_ok=True)
            created = create_file(path, data)
        except OSError as error:
            raise unwritable(path, error, what="the ensemble") from error
        if created:
            return cls(path, manifest)
        if not exist_ok:
            raise StoreError(
                f"{path}: this ensemble exists; give another name, resume it, or delete it with its "
                f"directory {directory.name}"
            )
        writer = cls.open(path)
        writer.manifest = Manifest(
            writer.manifest.name,
            writer.manifest.sessions + manifest.sessions,
            writer.manifest.hyper_parameters + manifest.hyper_parameters,
            writer.manifest.provenance,
            writer.manifest.schema_version,
        )
        return writer

    @classmethod
    def open(cls, path: str | os.PathLike) -> EnsembleWriter:
        """Open an ensemble to add to it.

        Raises
        ------
        StoreError, SchemaError, CorruptFileError
            As `Ensemble.open`.
        """
        path = manifest_path(path)
        writer = cls(path, read_manifest(path))
        if not writer.directory.is_dir():
            raise CorruptFileError(
                f"{writer.directory}: the data directory of the ensemble is missing; copy or move it "
                f"together with {path.name}"
            )
        return writer

    @property
    def group_names(self) -> list[str]:
        """Names of the groups that have runs."""
        return [g.name for g in Ensemble.open(self.path).groups]

    def create_group(
        self, runs: Sequence[RunInfo], layers: Sequence[LayerInfo] = (), name: str | None = None
    ) -> GroupWriter:
        """Add a group.

        Parameters
        ----------
        runs
            At least one; run ids are distinct.
        layers
            Layers of the network, each with the kinds that will be recorded.
        name
            ``g`` and digits; None takes the next free one, whoever else is adding groups.

        Raises
        ------
        StoreError
            Something about the runs or layers is not possible, the name is taken, or the system
            refuses.
        """
        runs, layers = list(runs), list(layers)
        header = self._header(runs, layers)
        directory = self._claim(name)
        header["name"] = directory.name
        group = GroupWriter(directory, header=header, on_commit=self._derive)
        self._open_groups.append(group)
        return group

    def open_group(self, name: str) -> GroupWriter:
        """Open a group to go on writing it; what a killed writer left unfinished is removed.

        Raises
        ------
        StoreError
            There is no such group, or a live process writes it.
        """
        directory = self.directory / name
        if not is_group(name) or not (directory / INDEX_FILE).is_file():
            raise StoreError(
                f"{self.path}: there is no group '{name}'; there are: {', '.join(self.group_names)}"
            )
        group = GroupWriter(directory, on_commit=self._derive)
        self._open_groups.append(group)
        return group

    def finish(self) -> None:
        """Write all derived files (``runs.csv``, series) durably and release the groups.

        Raises
        ------
        StoreError
            The system refuses.
        """
        for group in self._open_groups:
            group.close()
        self._open_groups.clear()
        ensemble = Ensemble.open(self.path)
        for group in ensemble.groups:
            for (layer, kind), steps in group.index.tensors.items():
                write_series(group.path, layer, kind, steps, sync=True)
        write_runs_csv(ensemble, sync=True)

    def __enter__(self) -> EnsembleWriter:
        return self

    def __exit__(self, *exception: object) -> None:
        self.finish()

    # -- private ------------------------------------------------------------------------------
    def _header(self, runs: list[RunInfo], layers: list[LayerInfo]) -> dict:
        if not runs:
            raise StoreError(f"{self.path}: a group without runs; expected at least one")
        ids = [run.run_id for run in runs]
        if len(set(ids)) != len(ids):
            twice = next(i for i in ids if ids.count(i) > 1)
            raise StoreError(
                f"{self.path}: run id '{twice}' occurs twice in one group; ids are distinct"
            )
        for run in runs:
            if not -(2**63) <= run.seed < 2**63:
                raise StoreError(
                    f"{self.path}: run '{run.run_id}': seed {run.seed} needs more than 64 bits"
                )
        for layer in layers:
            check_name(layer.name, "the name of a layer")
            for kind in layer.kinds:
                if "." in check_name(kind, f"layer '{layer.name}': a kind"):
                    raise StoreError(f"layer '{layer.name}': kind '{kind}' holds a '.'")
        names = [layer.name for layer in layers]
        if len(set(names)) != len(names):
            raise StoreError(f"{self.path}: two layers have the same name; got {names}")
        stored = read_manifest(self.path)
        return {
            "type": "group",
            "version": GROUP_VERSION,
            "attempt": attempt(),
            "sessions": [session_to_json(s) for s in self._new_sessions(runs, stored)],
            "hyper_parameters": [
                hyper_parameter_to_json(p) for p in self._new_parameters(runs, stored)
            ],
            "layers": [layer_to_json(layer) for layer in layers],
            "runs": runs_to_json(runs),
        }

    def _new_sessions(self, runs: list[RunInfo], stored: Manifest) -> list[SessionInfo]:
        known = {s.name: s for s in reversed(self.manifest.sessions)}
        have = {s.name for s in stored.sessions}
        used = dict.fromkeys(run.session for run in runs)
        return [known.get(n) or SessionInfo(n) for n in used if n not in have]

    def _new_parameters(self, runs: list[RunInfo], stored: Manifest) -> list[HyperParameter]:
        known = {p.name: p for p in reversed(self.manifest.hyper_parameters)}
        have = {p.name for p in stored.hyper_parameters}
        used = dict.fromkeys(name for run in runs for name in run.params)
        for name in used:
            _check_parameter_name(name)
        return [
            known.get(n) or infer_hyper_parameter(n, [r.params.get(n) for r in runs])
            for n in used
            if n not in have
        ]

    def _claim(self, name: str | None) -> Path:
        """Make the directory of a new group; `mkdir` decides between processes."""
        if name is not None and not is_group(name):
            raise StoreError(
                f"{self.path}: group name '{name}'; expected 'g' and digits, like 'g000'"
            )
        number = 0
        while True:
            directory = self.directory / (name or group_name(number))
            try:
                directory.mkdir()
            except FileExistsError:
                if name is not None:
                    raise StoreError(
                        f"{directory}: this group exists; open it, or take another name"
                    ) from None
                number += 1
                continue
            except OSError as error:
                raise unwritable(directory, error, what="a group") from error
            with contextlib.suppress(OSError):
                sync_directory(self.directory)
            return directory

    def _derive(self) -> None:
        """Refresh ``runs.csv`` unless that would take a noticeable share of the time."""
        if not self._derived_lock.acquire(blocking=False):
            return
        try:
            begin = time.monotonic()
            if begin < self._derived_due:
                return
            with contextlib.suppress(StoreError, OSError):  # derived; `finish` writes it again
                if self._reader is None:
                    self._reader = Ensemble.open(self.path)
                self._reader.refresh()
                write_runs_csv(self._reader)
            end = time.monotonic()
            self._derived_due = end + (end - begin) / DERIVED_SHARE
        finally:
            self._derived_lock.release()


def write_runs_csv(ensemble: Ensemble, *, sync: bool = False) -> None:
    """Write the run table and the last value of each metric for people to read.

    Raises
    ------
    StoreError
        The system refuses.
    """
    columns = ensemble.run_table()
    for metric in ensemble.metric_names:
        columns[f"final {metric}"] = final_values(ensemble.curve(metric).values)
    path = ensemble.directory / RUNS_FILE
    try:
        write_file(path, csv_text(columns).encode(), sync=sync)
    except OSError as error:
        raise unwritable(path, error, what="the run table") from error


def final_values(values: np.ndarray) -> np.ndarray:
    """Return the last measured value of each run, (n_runs,); NaN when there is none.

    Parameters
    ----------
    values
        (n_steps, n_runs), NaN where not measured.
    """
    measured = ~np.isnan(values)
    last = len(values) - 1 - np.argmax(measured[::-1], axis=0)
    return np.where(measured.any(axis=0), values[last, np.arange(values.shape[1])], np.nan)


def _has_groups(directory: Path) -> bool:
    return directory.is_dir() and any(
        (directory / n / INDEX_FILE).exists() for n in os.listdir(directory)
    )


def _check_parameter_name(name: str) -> None:
    check_name(name, "the name of a hyper-parameter")
    if name in FIXED_COLUMNS:
        raise StoreError(
            f"hyper-parameter '{name}': that is the name of a column of every run table; "
            f"taken are {', '.join(FIXED_COLUMNS)}"
        )
