"""Trains a share of a group's runs one run at a time, from stop to stop."""

from __future__ import annotations

from collections.abc import Iterator

from pvensemble.train.executors.device_data import DeviceData
from pvensemble.train.executors.events import (
    Control,
    Diverged,
    Event,
    Failed,
    Glance,
    Job,
    Report,
    Saved,
    SavedAll,
    Started,
)
from pvensemble.train.executors.one_run import OneRun
from pvensemble.train.failure import Guard


def train_share(job: Job, data: DeviceData, control: Control) -> Iterator[Event]:
    """Train the runs of ``job`` and yield what happens.

    When ``control.stop`` is set, the states of all runs that have not ended are the last event. A
    run that raises has failed and is left out from there on.
    """
    share = _Share(job, data, control)
    yield Started(job.group, job.positions)
    yield from share.build()
    for stop in job.schedule.halts:
        for run in [r for r in share.runs.values() if r.step <= stop]:
            yield from share.advance(run, stop)
            if control.stop and run.step < stop:
                return


class _Share:
    """The runs of a share that have not failed."""

    def __init__(self, job: Job, data: DeviceData, control: Control) -> None:
        self.runs: dict[int, OneRun] = {}
        self._job, self._data, self._control = job, data, control
        self._stops = frozenset(job.schedule.stops)
        self._answered = control.save
        self._guard = Guard()

    def build(self) -> Iterator[Event]:
        """Make the runs."""
        length = self._job.schedule.steps + 1
        for position in self._job.positions:
            self._control.begin(self._job.group, position)
            with self._guard:
                run = self.runs[position] = OneRun(self._job, position, self._data)
            if self._guard.reason:
                state = self._job.states.get(position)
                step = state.step if state else 0
                yield self._fail(position, step, length - step)
            elif run.diverged >= 0:  # its other steps will not be done
                self._control.done += length - run.step

    def advance(self, run: OneRun, stop: int) -> Iterator[Event]:
        """Bring a run to a halt and report it; return before the halt when told to."""
        self._control.begin(self._job.group, run.position)
        fine = run.diverged < 0
        arrived = False
        while not arrived:
            with self._guard:
                arrived = run.advance(stop, self._interrupted)
            if self._guard.reason:
                yield self._fail(run.position, run.step, self._job.schedule.steps - run.step)
                return
            if not arrived:
                self._control.done -= 1
                yield from self._save()
                if self._control.stop:
                    return
        if fine and run.diverged >= 0:
            self._control.done += self._job.schedule.steps - run.diverged
            yield Diverged(self._job.group, run.position, run.diverged, run.reason)
        with self._guard:
            metrics, tensors = run.report()
            merges = run.merge_filters()
            run.leave()
        if self._guard.reason:
            left = self._job.schedule.steps - stop if run.diverged < 0 else 0
            yield self._fail(run.position, stop, left)
        else:
            kind = Report if stop in self._stops else Glance
            yield kind(self._job.group, stop, (run.position,), metrics, tensors, merges)

    def _interrupted(self) -> bool:
        with self._guard.lifted():
            self._control.tick()
        self._control.done += 1
        return self._control.stop or self._control.save != self._answered

    def _save(self) -> Iterator[Event]:
        self._answered = self._control.save
        steps = self._job.schedule.steps
        states = [run.state() for run in self.runs.values() if run.step <= steps]
        yield Saved(self._job.group, states)
        yield SavedAll(self._answered)

    def _fail(self, position: int, step: int, left: int) -> Failed:
        """Forget a run that failed at a step with so many more to do."""
        self.runs.pop(position, None)
        self._control.done += left
        return Failed(self._job.group, position, step, self._guard.reason)
