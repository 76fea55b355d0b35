"""The groups of an ensemble that is to be trained: made, joined, and how far they are."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pvensemble.errors import StoreError
from pvensemble.store import Ensemble, EnsembleWriter
from pvensemble.store.files import VISIBLE_SECONDS
from pvensemble.train.config import RunSpec, TrainConfig
from pvensemble.train.cost import cut, seconds_per_step
from pvensemble.train.native.choice import EngineChoice
from pvensemble.train.observer import Observer
from pvensemble.train.opening import Opener
from pvensemble.train.preparation import (
    GROUP_SIZE,
    Members,
    known_runs,
    open_ensemble,
    stored_groups,
    training_engine,
)
from pvensemble.train.search import group_runs


@dataclass
class Task:
    """What :func:`~pvensemble.train.trainer.train` was asked for, checked and loaded."""

    config: TrainConfig
    path: Path
    specs: Sequence[RunSpec]
    data: dict
    data_dir: str | Path | None
    executor: object
    resume: bool = False
    observer: Observer | None = None


class Plan:
    """An ensemble that is open for training.

    Attributes
    ----------
    groups
        Its groups; those without a name are in the store once they are opened or created.
    notes
        What people should know before the training.
    """

    def __init__(
        self, task: Task, engine: EngineChoice, writer: EnsembleWriter, groups: list[Members]
    ) -> None:
        self.task, self.writer, self.groups = task, writer, groups
        self.notes: list[str] = []
        self._seen: list[str] = []
        self.opener = Opener(task.config, writer, task.data, task.data_dir, engine, task.observer)

    def create_groups(self) -> int:
        """Let others see all groups; the new ones get their names. Return how many there are."""
        self.groups = [self.opener.create(members) for members in self.groups]
        return len(self.writer.group_names)

    def update(self, ensemble: Ensemble) -> None:
        """Take up groups that other processes have added to the ensemble."""
        names = [group.name for group in ensemble.groups]
        if names != self._seen:
            self._seen = names
            known = known_runs(self.task.config, self.task.specs, ensemble, self.writer)
            self.groups = stored_groups(ensemble, known)


def begin(task: Task, *, size: int = 1, retry: bool = True) -> Plan:
    """Create the ensemble, or open it again.

    Parameters
    ----------
    size
        Processes that will train it: new runs are cut into groups for so many.
    retry
        Whether runs that failed are tried again.
    """
    engine = training_engine(task.config, task.path, task.resume, task.executor)
    seconds: dict[str, float] = {}
    if task.resume and task.path.exists():
        seconds = Ensemble.open(task.path).provenance.get("seconds_per_step", {})
    elif size > 1:
        seconds = seconds_per_step(task.config, task.specs, task.data, task.executor, engine)

    def groups_of(specs: Sequence[RunSpec]) -> list[list[RunSpec]]:
        if size > 1:
            return cut(specs, seconds, size=size, executor=task.executor)
        return group_runs(specs, GROUP_SIZE)

    writer, groups = open_ensemble(
        task.config,
        task.specs,
        task.path,
        task.resume,
        device=task.executor.description,
        engine=engine.name,
        seconds=seconds,
        cut=groups_of,
        retry=retry,
    )
    return Plan(task, engine, writer, groups)


def join(task: Task, n_groups: int) -> Plan:
    """Open an ensemble whose groups another process has created.

    Raises
    ------
    StoreError
        This process does not see that many groups after two minutes.
    """
    give_up = time.monotonic() + VISIBLE_SECONDS
    while True:
        there = task.path.exists()
        n_seen = len(Ensemble.open(task.path).groups) if there else 0
        if n_seen >= n_groups:
            break
        if time.monotonic() > give_up:
            raise StoreError(
                f"{task.path.absolute()}: another process has created {n_groups} groups, but this "
                f"one sees {n_seen}; the directory must be on a file system that all share"
            )
        time.sleep(0.1)
    engine = training_engine(task.config, task.path, True, task.executor)
    plan = Plan(task, engine, EnsembleWriter.open(task.path), [])
    plan.update(Ensemble.open(task.path))
    return plan
