"""One group while it trains: from reports of runs to commits of the store."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import replace

import numpy as np

from pvensemble import schema
from pvensemble.errors import CorruptFileError
from pvensemble.store import BackgroundWriter, GroupWriter
from pvensemble.train.assembly import Assembly, Stop
from pvensemble.train.checkpoint import pack, states_of, unpack
from pvensemble.train.executors.events import (
    Diverged,
    Failed,
    Glance,
    Job,
    Report,
    RunState,
    Saved,
)
from pvensemble.train.observer import GroupWatch, ObservedGroup, Observer
from pvensemble.train.stored_runs import newest_tensors

PENDING_BYTES = 2**30
"""Memory that recorded steps may take while they wait for the disk."""
_ENDED = (schema.COMPLETE, schema.PRUNED, schema.DIVERGED, schema.FAILED)
METRICS_SECONDS = 2.0
"""Metrics of steps without tensors wait for a commit at most this long."""


class GroupOutput:
    """Writes what the runs of one group report.

    Parameters
    ----------
    job
        The whole group; its ``positions`` and ``states`` are set to what is left to train.
    writer
        The group in the store, new or opened again.
    reopen
        Opens the group again.
    images
        What `schema.PROBE_IMAGES` are; they go with the first recorded step.
    replaced
        Positions of runs that failed and are tried again in another group.
    observer
        Who sees each stop of the group.
    hold
        Keep the group from now on, so that no other process takes it. Otherwise it is released
        until the first run starts: there may be more groups than a process can hold files open.
    """

    def __init__(
        self,
        job: Job,
        writer: GroupWriter,
        reopen: Callable[[str], GroupWriter],
        images: np.ndarray | None = None,
        replaced: Collection[int] = (),
        observer: Observer | None = None,
        *,
        hold: bool = False,
    ) -> None:
        self.job, self.writer, self._reopen, self._held = job, writer, reopen, hold
        if not writer.parameters:  # a group of an earlier release that did not store networks
            job.schedule = replace(job.schedule, networks=())
        self._images = None if writer.has_images else images
        self._images_at: int | None = None
        self._replaced = frozenset(replaced)
        self.states = list(writer.states)
        self.bytes_written = self.n_merged = 0
        self._background: BackgroundWriter | None = None
        self._skipped: list[tuple[int, str]] = []
        self._metrics: dict[str, list] = {}
        self._held_since: float | None = None
        self._saved: dict[int, RunState] = {}
        self._step = 0
        self._changed = False
        self._begun: set[int] = set()
        self._watch: GroupWatch | None = None
        self._assembly = Assembly(len(job.settings), job.schedule.stops, job.earlier)
        checkpoint = writer.read_checkpoint()
        if self._all_stored():
            self._assembly.finish()
        elif checkpoint is not None:
            try:
                job.states = unpack(checkpoint.arrays, checkpoint.meta, self._assembly)
            except CorruptFileError as error:
                raise CorruptFileError(f"{writer.path}: {error}") from error
        self._complete: list[tuple[int, Stop]] = []
        self._drop([p for p, s in enumerate(self.states) if s == schema.FAILED])
        self._drop([p for p, s in enumerate(self.states) if s == schema.PRUNED], repeat=True)
        self._set_positions()
        self._watch = self._watched_by(observer) if observer else None
        if not hold:
            writer.close()

    def _watched_by(self, observer: Observer) -> GroupWatch:
        """Return what tells the observer; it does not see again what runs have passed already."""
        n_runs, schedule = len(self.states), self.job.schedule
        gone = {*range(n_runs)} - {*self.job.positions}
        since = max((state.step for state in self.job.states.values()), default=0)
        return GroupWatch(observer, n_runs, schedule, gone, since, self._assembly.kept)

    @property
    def observed(self) -> ObservedGroup:
        """What an observer has to know before training begins or goes on."""
        complete = {step for step, _ in self._complete}
        halts = sorted({*self._watch.left, *self._assembly.left, *complete})
        recorded = frozenset(self.job.schedule.recorded)
        return ObservedGroup(self.writer.name, tuple(halts), recorded)

    @property
    def done(self) -> bool:
        """Whether the group is complete."""
        return self._assembly.done and not self._complete

    @property
    def own_states(self) -> list[str]:
        """States of the runs that are not tried again in another group."""
        return [s for p, s in enumerate(self.states) if p not in self._replaced]

    @property
    def done_steps(self) -> int:
        """Run-steps that need not be done any more."""
        length = self.job.schedule.steps + 1
        steps = {p: s.step for p, s in self.job.states.items()}
        left = sum(length - steps.get(p, 0) for p in self.job.positions)
        return length * len(self.job.settings) - left

    @property
    def skipped(self) -> list[tuple[int, str]]:
        """Recorded steps whose tensors were not stored, and why."""
        return self._skipped + (self._background.skipped if self._background else [])

    def start(self, positions: tuple[int, ...], *, tell: bool = True) -> None:
        """Note that runs began; without any, store what a killed trainer left complete.

        The observer is told of what is complete, unless ``tell`` is False: then later.
        """
        if self._background is None:
            if not self._held:
                self.writer, self._held = self._reopen(self.writer.name), True
            self._background = BackgroundWriter(self.writer, max_pending=self._most_pending())
        self._begun.update(positions)
        self._set([p for p in positions if self.states[p] == schema.WAITING], schema.RUNNING, 0)
        self._commit_all(tell=tell)
        if tell:
            self._tell()

    def diverge(self, event: Diverged) -> None:
        """Note that a run's loss was not finite."""
        self._set([event.position], schema.DIVERGED, event.step, event.reason)

    def fail(self, event: Failed) -> None:
        """Note that nothing more comes of a run; commit the stops that waited for it alone."""
        self._set([event.position], schema.FAILED, event.step, event.reason)
        self._drop([event.position])
        self._commit_all()

    def report(self, event: Report) -> None:
        """Put in a report; commit the stops that it completes."""
        self._changed = True
        self._complete += self._assembly.add(event)
        self._commit_all()

    def glance(self, event: Glance) -> None:
        """Show what runs have shown between two stops."""
        if self._watch:
            self._watch.glance(self.writer.name, event, self._next_stop())

    def _next_stop(self) -> int | None:
        """Return the first stop that is not committed; None when all are."""
        waiting = [step for step, _ in self._complete[:1]]
        return min([*waiting, *self._assembly.left[:1]], default=None)

    def _commit_all(self, *, tell: bool = True) -> None:
        while self._complete:
            step, stop = self._complete.pop(0)
            self._commit(step, stop)
            if self._watch:
                self._watch.stop(step, stop)
            if tell:
                self._tell()

    def _tell(self) -> None:
        """Tell the observer of the halts that all runs have passed."""
        if self._watch:
            self._watch.tell(self.writer.name, self._next_stop())

    def recall(self) -> dict[int, RunState]:
        """Return the states of the newest checkpoint, by position."""
        if self._background is None:
            return dict(self.job.states)
        self._background.flush()
        checkpoint = self.writer.read_checkpoint()
        return states_of(checkpoint.arrays, checkpoint.meta) if checkpoint else {}

    def save(self, event: Saved) -> None:
        """Keep states of runs for the next checkpoint."""
        self._saved.update({state.position: state for state in event.states})

    def write_checkpoint(self) -> None:
        """Write a checkpoint of the states kept since the last one, if anything has changed."""
        if self._background is None or self.done or not (self._saved or self._changed):
            return
        self.flush_metrics(force=True)
        waiting = set(self.job.positions) - self._begun  # of a group that others have begun
        kept = {p: state for p, state in self.job.states.items() if p in waiting}
        arrays, meta = pack(list({**kept, **self._saved}.values()), self._assembly)
        self._saved, self._changed = {}, False
        self._background.write_checkpoint(self._step, arrays, meta)

    def flush_metrics(self, *, force: bool = False) -> None:
        """Commit metrics that wait for a recorded step when they have waited long enough."""
        if self._metrics and (force or time.monotonic() - self._held_since > METRICS_SECONDS):
            self._background.submit(self._step, {}, self._take_metrics())

    def close(self, *, release: bool = True) -> None:
        """Store what waits and release the group.

        Raises
        ------
        StoreError
            Something could not be stored.
        """
        try:
            if self._background is not None:
                self.flush_metrics(force=True)
                self._background.close()
        finally:
            self._skipped, self._background = self.skipped, None
            self.job.positions = () if self.done else self.job.positions
            if release:
                self.writer.close()
                self._held = False

    def hold(self) -> None:
        """After the executor was stopped: let the job be what is left to train."""
        self.job.states = {**self.job.states, **self.recall()}
        self._begun.clear()
        self._set_positions()

    # -- private -------------------------------------------------------------------------------

    def _drop(self, positions: Collection[int], *, repeat: bool = False) -> None:
        """Wait for runs no more; with ``repeat``, their tensors stay as they were last."""
        known = repeat and positions and not self._assembly.done
        last = newest_tensors(self.writer.path, positions) if known else {}
        for position in positions:
            self._changed = True
            self._saved.pop(position, None)
            self._complete += self._assembly.drop(position, last.get(position))
            if self._watch:
                self._watch.drop(position)

    def _set_positions(self) -> None:
        gone = self._assembly.gone
        left = (p for p in range(len(self.job.settings)) if p not in gone)
        self.job.positions = tuple(p for p in left if self._assembly.next_stop(p) is not None)
        active = set(self.job.positions)
        self.job.states = {p: state for p, state in self.job.states.items() if p in active}

    def _most_pending(self) -> int:
        """Return how many recorded steps may wait for the disk."""
        values = [np.prod(x.tensor_shape(k)) for x in self.job.layers for k in x.kinds]
        n_bytes = 4 * len(self.job.settings) * int(sum(values))
        return min(64, max(2, PENDING_BYTES // max(1, n_bytes)))

    def _all_stored(self) -> bool:
        """Tell whether the group had ended before; its last commit comes before the states."""
        ended = all(s in _ENDED for s in self.states)
        last = self.writer.metric_steps.get(schema.TRAIN_LOSS, -1)
        return ended and last == self.job.schedule.steps

    def _set(self, positions: list[int], state: str, step: int, reason: str = "") -> None:
        if positions:
            for position in positions:
                self.states[position] = state
            self._background.set_states(positions, state, step=step, reason=reason)
            if self._watch:
                self._watch.states(self.writer.name, positions, state, step, reason)

    def _commit(self, step: int, stop: Stop) -> None:
        self._step = step
        for name, rows in stop.metrics.items():
            self._metrics.setdefault(name, []).append(rows)
        self._held_since = self._held_since or time.monotonic()
        last = step == self.job.schedule.steps
        if stop.merges:
            self._background.add_merges(stop.merges)
            self.n_merged += sum(e.n_filters[0] - e.n_filters[1] for e in stop.merges)
        if stop.tensors and step in self.job.schedule.recorded:  # others are for the observer alone
            if last:
                self._background.flush()  # the last step is never the one that is skipped
            tensors = {**stop.tensors, **self._first_images(step)}
            if self._background.submit(step, tensors, self._take_metrics()):
                self.bytes_written += sum(t.nbytes for t in tensors.values())
        self.flush_metrics(force=last)
        if last:
            ended = [p for p, s in enumerate(self.states) if s not in _ENDED]
            self._set(ended, schema.COMPLETE, step)

    def _first_images(self, step: int) -> dict[tuple[str, str], np.ndarray]:
        """Return the probe images until a step with them is stored or waits to be."""
        skipped = {s for s, _ in self.skipped}
        if self._images is None or (self._images_at is not None and self._images_at not in skipped):
            return {}
        self._images_at = step
        return {schema.PROBE_IMAGES: self._images}

    def _take_metrics(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        taken = {
            name: tuple(np.concatenate(part) for part in zip(*rows))
            for name, rows in self._metrics.items()
        }
        self._metrics, self._held_since = {}, None
        return taken
