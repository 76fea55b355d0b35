"""Creating an ensemble, joining one, and adding groups; several processes may do so at once."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from pvensemble import __version__
from pvensemble.errors import StoreError
from pvensemble.schema import INDEX_FILE, group_name
from pvensemble.store.derived import RunsFile, write_runs_csv, write_series
from pvensemble.store.ensemble import Ensemble, is_group
from pvensemble.store.files import create_file, sync_directory, unwritable
from pvensemble.store.group_header import group_header
from pvensemble.store.group_writer import GroupWriter
from pvensemble.store.journal import PATIENCE
from pvensemble.store.manifest import (
    Manifest,
    check_new_path,
    data_directory,
    encode_manifest,
    find_ensemble,
    read_manifest,
)
from pvensemble.store.networks import Reducible
from pvensemble.store.records import HyperParameter, LayerInfo, RunInfo, SessionInfo


class EnsembleWriter:
    """An ensemble on disk to which groups are added. See `create` and `open`."""

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path = path
        self.directory = data_directory(path)
        self.manifest = manifest
        self._open_groups: list[GroupWriter] = []
        self._runs_file = RunsFile(path)

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
            and hyper-parameters that it does not know are kept with the groups of this process.

        Raises
        ------
        StoreError
            It exists, its name is not possible, or the system refuses.
        """
        path = Path(path)
        check_new_path(path)
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
                f"{directory}: holds groups of an ensemble whose manifest {path.name} is missing; "
                "put the manifest back, or delete the directory"
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
                f"{path}: this ensemble exists; give another name, resume it, or delete it with "
                f"its directory {directory.name}"
            )
        writer = cls.open(path)
        writer.announce(manifest.sessions, manifest.hyper_parameters)
        return writer

    @classmethod
    def open(cls, path: str | os.PathLike) -> EnsembleWriter:
        """Open an ensemble to add to it.

        Raises
        ------
        StoreError, SchemaError, CorruptFileError
            As `Ensemble.open`.
        """
        return cls(*find_ensemble(path))

    def announce(
        self, sessions: Sequence[SessionInfo], hyper_parameters: Sequence[HyperParameter]
    ) -> None:
        """Say what groups to come refer to; what the manifest has not is kept with them."""
        self.manifest = replace(
            self.manifest,
            sessions=(*self.manifest.sessions, *sessions),
            hyper_parameters=(*self.manifest.hyper_parameters, *hyper_parameters),
        )

    @property
    def group_names(self) -> list[str]:
        """Names of the groups that have runs."""
        return [g.name for g in Ensemble.open(self.path).groups]

    def create_group(
        self,
        runs: Sequence[RunInfo],
        layers: Sequence[LayerInfo] = (),
        name: str | None = None,
        parameters: Mapping[str, Sequence[int]] | None = None,
        reducible: Sequence[Reducible] = (),
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
        parameters
            Shapes of all parameters and buffers by name, in the order in which `NETWORK` tensors
            hold them; None when there will be none.
        reducible
            Layers whose filters may be merged during training.

        Raises
        ------
        StoreError
            Something about the runs or layers is not possible, the name is taken, or the system
            refuses.
        """
        stored = read_manifest(self.path)
        header = group_header(
            runs, layers, parameters or {}, reducible, known=self.manifest, stored=stored
        )
        directory = self._claim(name)
        group = GroupWriter(directory, header=header, on_commit=self._runs_file.refresh)
        self._open_groups.append(group)
        return group

    def open_group(self, name: str, *, patience: float = PATIENCE) -> GroupWriter:
        """Open a group to go on writing it; what a killed writer left unfinished is removed.

        Parameters
        ----------
        patience
            Seconds to wait for another process that writes it.

        Raises
        ------
        GroupBusyError
            A live process writes it.
        StoreError
            There is no such group, or the system refuses.
        """
        directory = self.directory / name
        if not is_group(name) or not (directory / INDEX_FILE).is_file():
            raise StoreError(
                f"{self.path}: there is no group '{name}'; there are: {', '.join(self.group_names)}"
            )
        group = GroupWriter(directory, on_commit=self._runs_file.refresh, patience=patience)
        self._open_groups.append(group)
        return group

    def finish(self) -> None:
        """Write derived files durably (``runs.csv``, series of own groups) and release the groups.

        Raises
        ------
        StoreError
            The system refuses.
        """
        own = {group.name for group in self._open_groups}
        for group in self._open_groups:
            group.close()
        self._open_groups.clear()
        ensemble = Ensemble.open(self.path)
        for group in ensemble.groups:
            if group.name not in own:  # somebody else may be writing there
                continue
            for (layer, kind), steps in group.index.tensors.items():
                write_series(group.path, layer, kind, steps, sync=True)
        write_runs_csv(ensemble, sync=True)

    def __enter__(self) -> EnsembleWriter:
        return self

    def __exit__(self, *exception: object) -> None:
        self.finish()

    # -- private ------------------------------------------------------------------------------
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
                sync_directory(self.directory)
            except FileExistsError:
                if name is not None:
                    raise StoreError(
                        f"{directory}: this group exists; open it, or take another name"
                    ) from None
                number += 1
                continue
            except OSError as error:
                raise unwritable(directory, error, what="a group") from error
            return directory


def _has_groups(directory: Path) -> bool:
    return directory.is_dir() and any(
        (entry / INDEX_FILE).exists() for entry in directory.iterdir()
    )
