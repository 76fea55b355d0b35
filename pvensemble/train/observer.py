"""Somebody who looks at a training from within its process while it goes on.

The observer sees each halt of a group once all its runs have passed it, in order, and may take as
long as it likes: in this process nothing else happens meanwhile. What it sees beyond what is stored
(halts between the stops, tensors at steps that are not recorded) is in no file and no checkpoint.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from pvensemble.train.assembly import Assembly, Stop, stand_still
from pvensemble.train.executors.events import Glance, Job
from pvensemble.train.recording import Schedule


@dataclass(frozen=True)
class ObservedGroup:
    """A group as the training begins or goes on, is added or changed.

    Attributes
    ----------
    name
        Of the group in the store, where its runs and layers stand.
    halts
        Steps at which it will be seen, ascending.
    recorded
        Those of them at which its tensors are stored.
    """

    name: str
    halts: tuple[int, ...]
    recorded: frozenset[int]


class Observer(Protocol):
    """What :func:`pvensemble.train.trainer.train` asks and tells.

    Tensors and metrics must not be written to.
    """

    def wishes(self, steps: int) -> tuple[Collection[int], Collection[int]]:
        """Return the steps up to ``steps`` at which to see metrics, and those for tensors."""

    def begin(self, path: Path, groups: Sequence[ObservedGroup]) -> None:
        """The groups are in the store; training begins."""

    def changed(self, group: ObservedGroup) -> None:
        """A group that is in the store is new, or is recorded otherwise from now on.

        No run of it is at work; the observer must not wait for anybody.
        """

    def stop(self, group: str, step: int, stop: Stop, following: int | None) -> None:
        """All runs of a group have passed a step; ``following`` is its next one, None at the end.

        The metrics may begin before the last step that was seen.
        """

    def states(
        self, group: str, positions: Sequence[int], state: str, step: int, reason: str
    ) -> None:
        """Runs of a group are in a state from a step on."""

    def end(self) -> None:
        """Training has ended, or was interrupted."""


def observed(job: Job, observer: Observer | None) -> Job:
    """Return the job with the halts that an observer wishes, whatever it had of them."""
    if observer is None:
        return job
    seen, tensors = observer.wishes(job.schedule.steps)
    tensors = tuple(sorted({*tensors} - {*job.schedule.recorded}))
    seen = tuple(sorted({*seen} - {*job.schedule.stops}))
    return replace(job, schedule=replace(job.schedule, observed=seen, observed_tensors=tensors))


class GroupWatch:
    """Puts together what runs of a group show between the stops, and tells the observer in order.

    Parameters
    ----------
    n_runs
        Of the group.
    schedule
        Its ``halts`` are what is seen.
    gone
        Positions of runs of which nothing more comes.
    since
        First step that all others have still to pass.
    kept
        Tensors of runs that were stopped, by position, always the newest.
    """

    def __init__(
        self,
        observer: Observer,
        n_runs: int,
        schedule: Schedule,
        gone: Collection[int],
        since: int,
        kept: Mapping[int, Mapping],
    ) -> None:
        self._observer, self._kept = observer, kept
        self._glances = Assembly(n_runs, [s for s in _between(schedule) if s >= since])
        self._ready: dict[int, Stop] = {}
        for position in gone:
            self.drop(position)

    @property
    def left(self) -> tuple[int, ...]:
        """Halts that the observer was not told of, except for the stops that are to come."""
        return tuple(sorted({*self._ready, *self._glances.left}))

    def change(self, job: Job) -> None:
        """Go on with a job whose halts are others from a step on that no run has passed."""
        self._glances.change(job.earlier[-1], _between(job.schedule))

    def glance(self, group: str, event: Glance, next_stop: int | None) -> None:
        """Put in what runs have shown."""
        self._take(self._glances.add(event))
        self.tell(group, next_stop)

    def drop(self, position: int) -> None:
        """Wait for a run no more; to be followed by :meth:`tell`."""
        self._take(self._glances.drop(position))

    def _take(self, complete: Iterable[tuple[int, Stop]]) -> None:
        """Take what all runs have shown; those that were stopped stand still."""
        for step, stop in complete:
            for position, last in self._kept.items():
                stand_still(stop, position, last)
            self._ready[step] = stop

    def stop(self, step: int, stop: Stop) -> None:
        """All runs have passed a stop; to be followed by :meth:`tell`."""
        self._ready[step] = stop

    def tell(self, group: str, next_stop: int | None) -> None:
        """Tell the observer what all runs have passed, given the first stop they have not."""
        to_come = [*self._glances.left[:1], *([] if next_stop is None else [next_stop])]
        limit = min(to_come, default=None)
        ready = sorted(s for s in self._ready if limit is None or s < limit)
        for step, following in zip(ready, [*ready[1:], limit]):
            self._observer.stop(group, step, self._ready.pop(step), following)

    def states(
        self, group: str, positions: Sequence[int], state: str, step: int, reason: str
    ) -> None:
        """Runs are in a state from a step on."""
        self._observer.states(group, positions, state, step, reason)


def _between(schedule: Schedule) -> list[int]:
    """Return the halts between the stops."""
    return sorted({*schedule.halts} - {*schedule.stops})
