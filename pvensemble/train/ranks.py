"""Processes that train one ensemble together: alone, joined by the file system, or MPI's ranks.

While they train they do not talk to each other: see :mod:`.claims`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from pvensemble.errors import ConfigError, StoreError
from pvensemble.schema import LOCK_FILE
from pvensemble.store import locked_file
from pvensemble.store.manifest import check_new_path, data_directory
from pvensemble.train.claims import claims
from pvensemble.train.plan import Plan, Task, begin, join
from pvensemble.train.standing import Standing
from pvensemble.train.steered_output import SteeredOutput

CREATION_SECONDS = 600.0
"""Creating all groups of an ensemble takes no longer."""


class Ranks:
    """One process that trains alone; what others do otherwise.

    Attributes
    ----------
    rank, size
        Number of this process, and of all.
    shared
        Whether other processes may train groups of the same ensemble.
    several
        What they are called.
    """

    rank, size, shared, several = 0, 1, False, "ranks"

    @property
    def name(self) -> str:
        """What this process is called in messages."""
        return f"rank {self.rank}"

    def agreement(self) -> AbstractContextManager:
        """Return a context in which an error of one process is an error of all."""
        return nullcontext()

    def place(self, device: str, workers: int | None) -> tuple[str, int | None]:
        """Return the device and the worker processes of this process; see `executors.choose`."""
        return device, workers

    def plan(self, task: Task) -> Plan:
        """Create or open the ensemble."""
        return begin(task)

    def claims(self, plan: Plan, standing: Standing | None) -> Iterator[list[SteeredOutput]]:
        """Yield groups to train next."""
        yield [plan.opener.open(group) for group in plan.groups]

    def part(self, plan: Plan, watch: Callable[[], None]) -> None:
        """Write what the ensemble has of its own, once this process is done.

        Parameters
        ----------
        watch
            Called often while it has to wait.
        """

    def abort(self, status: int) -> None:
        """End all processes that started together, at once."""


ALONE = Ranks()


class Joined(Ranks):
    """One of several processes that were started on their own and share a file system.

    Parameters
    ----------
    size
        How many there will be, about: the first one cuts the runs into groups for so many.
    """

    shared, several = True, "processes"

    def __init__(self, size: int) -> None:
        self.size = size

    @property
    def name(self) -> str:
        """What this process is called in messages."""
        return f"process {os.getpid()}"

    def plan(self, task: Task) -> Plan:
        """Create the ensemble unless another process has; one at a time may look and create."""
        if task.observer is not None:
            raise ConfigError(
                "--join: such processes train at their own pace, and in situ needs all in step; "
                "start them with mpiexec instead"
            )
        check_new_path(task.path)
        with self._alone(task.path):
            task.resume = True
            plan = begin(task, size=self.size, retry=False)
            n_groups = plan.create_groups()
        return join(task, n_groups)

    def claims(self, plan: Plan, standing: Standing | None) -> Iterator[list[SteeredOutput]]:
        """Yield groups to train next."""
        return claims(plan, standing, self.size)

    def part(self, plan: Plan, watch: Callable[[], None]) -> None:
        """Write the run table, in turn: the last process knows all."""
        with self._alone(plan.task.path):
            plan.writer.finish()

    @contextmanager
    def _alone(self, path) -> Iterator[None]:
        directory = data_directory(path)
        directory.mkdir(exist_ok=True)
        with locked_file(directory / LOCK_FILE, CREATION_SECONDS) as held:
            if not held:
                raise StoreError(
                    f"{directory}: its file system has no locks (flock), without which processes "
                    "cannot share an ensemble on their own; start them with mpiexec instead"
                )
            yield
