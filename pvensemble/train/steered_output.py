"""A group that can be changed while no run of it is at work: between two runs of the executor."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from pvensemble import schema
from pvensemble.store import Acknowledgement
from pvensemble.train.checkpoint import network_of
from pvensemble.train.executors.events import Job
from pvensemble.train.group_output import GroupOutput


class SteeredOutput(GroupOutput):
    """Writes what the runs of one group report, and what becomes of requests."""

    @property
    def next_step(self) -> int:
        """First step that no run of the group has measured."""
        steps = [min(s.step, self.job.schedule.steps) for s in self.job.states.values()]
        return max(self._assembly.reached, *steps, 0)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Keep the group open for writing within a ``with``, also before its runs start."""
        closed, held = self._background is None, self._held
        if closed:
            self.start((), tell=False)
        try:
            yield
        finally:
            if closed:
                self.close(release=not held)

    def stop_runs(self, positions: Sequence[int], reason: str) -> dict[int, int]:
        """End runs; return the steps at which they are, by position."""
        steps = {p: self.job.states[p].step if p in self.job.states else 0 for p in positions}
        for position in self.job.states.keys() & steps.keys():
            network = network_of(self.job.states[position], self.job.parameters)
            if network is not None:
                self._assembly.keep_network(position, network)
        self._changed = True
        self.write_checkpoint()
        for position, step in steps.items():
            self._set([position], schema.PRUNED, step, reason)
        self._background.flush()
        self._drop(positions, repeat=True)
        self._set_positions()
        self._commit_all(tell=False)
        return steps

    def change(self, job: Job, images: np.ndarray | None) -> None:
        """Go on with a job that records something else.

        Parameters
        ----------
        images
            As of the class, for the kinds that are recorded now.
        """
        self.job = job
        self._assembly.change(job.earlier[-1], job.schedule.stops)
        if self._watch:
            self._watch.change(job)
        self._changed = True
        self._background.max_pending = self._most_pending()
        if self._images is None and not self.writer.has_images:
            self._images = images

    def acknowledge(self, said: Acknowledgement) -> None:
        """Store what became of a request; it is durable on return, unless the disk is full."""
        self._background.acknowledge(said)
        self._background.flush()
