"""The ranks of an MPI job as processes that train one ensemble together."""

from __future__ import annotations

import importlib.util
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from pvensemble.errors import ConfigError, PVEnsembleError, RankError
from pvensemble.schema import LOCK_FILE
from pvensemble.store import lock
from pvensemble.store.manifest import data_directory
from pvensemble.train.claims import claims
from pvensemble.train.cost import balanced
from pvensemble.train.executors.choice import usable_cores
from pvensemble.train.group_output import GroupOutput
from pvensemble.train.plan import Plan, Task, begin, join
from pvensemble.train.ranks import Ranks
from pvensemble.train.standing import Standing

LOOK_SECONDS = 0.05
"""Between looks whether the others have come: MPI's own waiting would take a whole core."""
NO_LOCKS = (
    "locks on this file system do not reach all nodes: groups are dealt out beforehand, and what a "
    "dead rank leaves waits for --resume"
)


class MpiRanks(Ranks):
    """This process as a rank of a communicator.

    Parameters
    ----------
    communicator
        From mpi4py.
    """

    def __init__(self, communicator) -> None:
        from mpi4py import MPI

        self._world = communicator
        self.rank, self.size = communicator.Get_rank(), communicator.Get_size()
        self.shared, self._locks = self.size > 1, True
        node = communicator.Split_type(MPI.COMM_TYPE_SHARED)
        self._local = node.Get_rank()
        # Ranks may be bound to cores each, to the same ones, or not at all.
        cores = usable_cores()
        self._n_cores = len(cores) // node.allgather(cores).count(cores)

    @contextmanager
    def agreement(self) -> Iterator[None]:
        """Raise a `RankError` on all ranks when anything of the user's is wrong on one."""
        error = None
        try:
            yield
        except PVEnsembleError as mistake:
            error = mistake
        self._meet()
        said = self._world.allgather(None if error is None else str(error))
        first = next((rank for rank, text in enumerate(said) if text is not None), None)
        if first is None:
            return
        where = f"rank {first}: " if None in said else ""
        raise RankError(f"{where}{said[first]}") from error

    def place(self, device: str, workers: int | None) -> tuple[str, int | None]:
        """Return a GPU of its own as far as there are, or its share of the node's cores."""
        n_devices = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if device == "auto":
            device = "cuda" if n_devices else "cpu"
        if device == "cuda" and n_devices:
            device = f"cuda:{self._local % n_devices}"
        if device == "cpu" and workers is None:
            workers = self._n_cores if self._n_cores > 1 else 0
        return device, workers

    def plan(self, task: Task) -> Plan:
        """Create or open the ensemble in rank 0; the others join."""
        n_groups = 0
        with self.agreement():
            if self.rank == 0:
                plan = begin(task, size=self.size)
                n_groups = plan.create_groups()
        n_groups = self._world.bcast(n_groups)
        with self.agreement():
            plan = join(task, n_groups)
        self._locks = self._locks_reach_all(task.path)
        if not self._locks:
            plan.notes.append(NO_LOCKS)
        return plan

    def claims(self, plan: Plan, standing: Standing | None) -> Iterator[list[GroupOutput]]:
        """Yield groups to train next: what nobody else has claimed yet.

        Ranks that train in step, because they are observed together, have one share for good.
        """
        if self._locks and plan.task.observer is None:
            yield from claims(plan, standing, self.size)
            return
        standing.refresh()
        costs = [standing.cost(group) for group in plan.groups]
        mine = self._world.bcast(balanced(costs, self.size))[self.rank]
        yield [plan.opener.open(plan.groups[number]) for number in mine]

    def part(self, plan: Plan, watch: Callable[[], None]) -> None:
        """Wait for all; then rank 0 writes what the ensemble has of its own."""
        self._meet(watch)
        if self.rank == 0:
            plan.writer.finish()
        self._meet()

    def abort(self, status: int) -> None:
        """End all ranks at once."""
        self._world.Abort(status)

    def _meet(self, watch: Callable[[], None] = lambda: None) -> None:
        """Wait until all ranks are here."""
        request = self._world.Ibarrier()
        while not request.Test():
            watch()
            time.sleep(LOOK_SECONDS)

    def _locks_reach_all(self, path: Path) -> bool:
        """Return whether rank 0's lock is one for every other rank; some mounts keep it local."""
        descriptor = os.open(data_directory(path) / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            good = self.rank != 0 or lock(descriptor, 0.0)
            self._meet()
            if self.rank != 0:
                try:
                    lock(descriptor, 0.0)
                    good = False
                except BlockingIOError:
                    pass
            return all(self._world.allgather(good))
        finally:
            os.close(descriptor)


def mpi_ranks(size: int) -> MpiRanks:
    """Return the ranks of a job of which the environment says that it has ``size`` tasks.

    MPI is initialized unless it is already, as it is in ``pvbatch --sym``.

    Raises
    ------
    ConfigError
        mpi4py is missing, or belongs to another MPI than what started the job.
    """
    if importlib.util.find_spec("mpi4py") is None:
        raise ConfigError(
            f"{size} tasks were started, and training over MPI ranks needs mpi4py: "
            "pip install 'pvensemble[mpi]', or apt-get install python3-mpi4py; or give "
            f"--join {size}, which needs no MPI"
        )
    from mpi4py import MPI

    if MPI.COMM_WORLD.Get_size() != size:
        raise ConfigError(
            f"{size} tasks were started, but mpi4py sees {MPI.COMM_WORLD.Get_size()}: start them "
            "with the mpiexec of its own MPI, or with srun --mpi=pmix (or pmi2); or give "
            f"--join {size}, which needs no MPI"
        )
    return MpiRanks(MPI.COMM_WORLD)
