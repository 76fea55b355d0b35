"""The MPI ranks that train and run pipelines together.

Pipelines are collective: all ranks execute the same ones at the same steps, in the same order. The
first rank holds the run table, so each tells it what its own groups have shown; tensors stay where
they are.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

from pvensemble.errors import PipelineError

LOOK_SECONDS = 0.005
"""Between looks whether the others have come: MPI's own waiting would take a whole core."""
ALONE_SECONDS = 30.0
"""A rank whose pipeline failed waits so long for others, which may wait for it in the pipeline."""


class Alone:
    """The only rank."""

    rank, size = 0, 1

    def gathered(self, mine: Any) -> list:
        """Return what each rank has, in the order of the ranks."""
        return [mine]

    def agreed(self, failure: str | None) -> str | None:
        """Return the first failure of any rank."""
        return failure


class World(Alone):
    """One rank of several.

    Parameters
    ----------
    communicator
        From mpi4py.
    clock
        Seconds.
    """

    def __init__(self, communicator: Any, clock: Callable[[], float] = time.monotonic) -> None:
        self._world, self._now = communicator, clock
        self.rank, self.size = communicator.Get_rank(), communicator.Get_size()

    def gathered(self, mine: Any) -> list:
        """Return what each rank has, in the order of the ranks; all ranks must call it."""
        self._meet(None)
        return self._world.allgather(mine)

    def agreed(self, failure: str | None) -> str | None:
        """Return the first failure of any rank; all ranks must call it.

        Raises
        ------
        PipelineError
            This rank has failed and the others do not come: they wait for it in the pipeline.
        """
        self._meet(failure)
        failures = enumerate(self._world.allgather(failure))
        return next((f"rank {rank}: {text}" for rank, text in failures if text is not None), None)

    def _meet(self, failure: str | None) -> None:
        """Wait until all ranks are here."""
        begin = self._now()
        request = self._world.Ibarrier()
        while not request.Test():
            if failure is not None and self._now() - begin > ALONE_SECONDS:
                raise PipelineError(
                    f"a pipeline failed on rank {self.rank} alone, and the other ranks wait for "
                    f"it: {failure}"
                )
            time.sleep(LOOK_SECONDS)


def all_ranks() -> Alone:
    """Return this process among those of an MPI job that train together."""
    mpi = sys.modules.get("mpi4py.MPI")  # imported where there are several
    if mpi is None or mpi.COMM_WORLD.Get_size() == 1:
        return Alone()
    return World(mpi.COMM_WORLD)
