"""Opening groups: from their runs to a job and an output, new, resumed, or added later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from pvensemble.store import EnsembleWriter
from pvensemble.store.journal import PATIENCE
from pvensemble.train.changes import changed_job, changed_record
from pvensemble.train.config import RecordConfig, RunSpec, SessionConfig, TrainConfig
from pvensemble.train.executors.events import Job
from pvensemble.train.native.choice import EngineChoice
from pvensemble.train.observer import Observer, observed
from pvensemble.train.preparation import (
    GROUP_SIZE,
    Members,
    create_group,
    load_all_data,
    make_job,
    shown_images,
)
from pvensemble.train.provenance import hyper_parameters, session_infos
from pvensemble.train.search import group_runs
from pvensemble.train.steered_output import SteeredOutput

GLANCE = 0.05
"""Seconds to wait for who only looks whether a group is written."""


class Opener:
    """Opens the groups of one training.

    Parameters
    ----------
    data
        Data sets by their configuration, those that the executor trains on: what added runs need
        beside them is put in.
    data_dir
        Where data sets lie.
    observer
        Who sees each stop of the groups.

    Attributes
    ----------
    hold
        Whether groups are kept from the moment they are opened, because other processes would
        take them.
    """

    hold = False

    def __init__(
        self,
        config: TrainConfig,
        writer: EnsembleWriter,
        data: dict,
        data_dir: str | Path | None,
        engine: EngineChoice,
        observer: Observer | None = None,
    ) -> None:
        self.config, self.writer, self.observer = config, writer, observer
        self._data, self._data_dir, self._engine = data, data_dir, engine
        self._specs: list[Sequence[RunSpec]] = []
        self._records: list[RecordConfig] = []

    def open(self, members: Members) -> SteeredOutput:
        """Return the output of a group; what was changed of its recording holds.

        Raises
        ------
        GroupBusyError
            Another process writes it.
        """
        number = len(self._specs)
        patience = GLANCE if self.hold else PATIENCE
        name = members.name
        writer = None if name is None else self.writer.open_group(name, patience=patience)
        job = make_job(self.config, members.specs, number, self._data, self._engine)
        writer = writer or create_group(self.writer, job, members.specs)
        self._specs.append(members.specs)
        self._records.append(self.config.record)
        for said in writer.acknowledged:
            if said.recording:
                wanted, record = self._wanted(number, said.recording, f"request {said.request}")
                job, self._records[number] = changed_job(job, wanted, said.step), record
        images = shown_images(self._config(number), job, self._data)
        return SteeredOutput(
            observed(job, self.observer),
            writer,
            self.writer.open_group,
            images,
            members.replaced,
            self.observer,
            hold=self.hold,
        )

    def create(self, members: Members) -> Members:
        """Return members of a group that is in the store, which is created unless it has a name."""
        if members.name is not None:
            return members
        job = make_job(self.config, members.specs, 0, self._data, self._engine)
        with create_group(self.writer, job, members.specs) as group:
            return replace(members, name=group.name)

    def add(self, specs: Sequence[RunSpec]) -> list[SteeredOutput]:
        """Return the outputs of new groups for runs that the ensemble does not have.

        Raises
        ------
        ConfigError, DataError
            Before anything is written.
        StoreError
            The ensemble cannot take them.
        """
        self._data.update(load_all_data(self.config, specs, self._data_dir))
        groups = group_runs(specs, GROUP_SIZE)
        for members in groups:
            make_job(self.config, members, 0, self._data, self._engine)
        added = [self.open(Members(members)) for members in groups]
        for output in added:
            self._tell(output)
        return added

    def announce(self, session: SessionConfig) -> None:
        """Let the groups that are added next belong to a session."""
        extended = replace(self.config, sessions=(*self.config.sessions, session))
        self.writer.announce(session_infos(extended), hyper_parameters(extended))

    def wanted(self, output: SteeredOutput, recording: Mapping, where: str) -> Job:
        """Return the job that a group would have if it had been recorded so from the beginning.

        Raises
        ------
        ConfigError
            It cannot be recorded so; the message begins with ``where``.
        """
        return self._wanted(output.job.group, recording, where)[0]

    def change(self, output: SteeredOutput, recording: Mapping, step: int, where: str) -> None:
        """Change what is recorded of a group from a step on."""
        number = output.job.group
        wanted, record = self._wanted(number, recording, where)
        self._records[number] = record
        job = observed(changed_job(output.job, wanted, step), self.observer)
        output.change(job, shown_images(self._config(number), job, self._data))
        self._tell(output)

    def _tell(self, output: SteeredOutput) -> None:
        """Tell the observer of a group that is new, or is recorded otherwise."""
        if self.observer is not None:
            self.observer.changed(output.observed)

    def _wanted(self, number: int, recording: Mapping, where: str) -> tuple[Job, RecordConfig]:
        record = changed_record(self._records[number], recording, where)
        config = replace(self.config, record=record)
        return make_job(config, self._specs[number], number, self._data, self._engine), record

    def _config(self, number: int) -> TrainConfig:
        return replace(self.config, record=self._records[number])
