"""All jobs of one process: one after the other, or in step.

An observer sees all groups at one step, so none may be far ahead of the others. In step, always the
group that is furthest behind goes on, until its next event.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache

from pvensemble.train.config import DataConfig
from pvensemble.train.executors.device_data import DeviceData
from pvensemble.train.executors.engine import gpu_arithmetic, job_events, train_job
from pvensemble.train.executors.events import Control, Event, Job, Report, SavedAll

Load = Callable[[DataConfig], DeviceData]


def train_jobs(
    jobs: Sequence[Job], load: Load, control: Control, *, vectorized: bool
) -> Iterator[Event]:
    """Train the runs of all jobs.

    Parameters
    ----------
    load
        Brings a data set to the device.
    """
    in_step = control.in_step and len(jobs) > 1
    train = _in_step if in_step else _one_by_one
    yield from train(jobs, load, control, vectorized)
    if in_step or not control.stop:
        yield SavedAll(control.save)


def _one_by_one(
    jobs: Sequence[Job], load: Load, control: Control, vectorized: bool
) -> Iterator[Event]:
    """Train one job after the other, with one data set in memory."""
    loaded: dict = {}
    asked = control.save
    for job in jobs:
        if job.data not in loaded:
            loaded = {job.data: load(job.data)}
        yield from train_job(job, loaded[job.data], control, vectorized=vectorized)
        control.tick()
        if control.stop:
            return
        if control.save != asked:  # asked for between two jobs
            asked = control.save
            yield SavedAll(asked)


def _in_step(
    jobs: Sequence[Job], load: Load, control: Control, vectorized: bool
) -> Iterator[Event]:
    """Let all jobs advance together; a request for states is answered once all have sent theirs."""
    load = cache(load)
    under_way = {job.group: _UnderWay(job, load(job.data), control, vectorized) for job in jobs}
    answered = control.save
    for each in under_way.values():
        yield from each.begin()
    while under_way:
        group = min(under_way, key=lambda g: under_way[g].step)
        event = under_way[group].next()
        if event is None:
            del under_way[group]
        elif not isinstance(event, SavedAll):
            yield event
        oldest = min((u.answered for u in under_way.values()), default=control.save)
        if oldest > answered:
            answered = oldest
            yield SavedAll(answered)


class _UnderWay:
    """A job that is being trained.

    Attributes
    ----------
    step
        The last halt that any of its runs has reported.
    answered
        The newest request for states that it has answered.
    """

    def __init__(self, job: Job, data: DeviceData, control: Control, vectorized: bool) -> None:
        self.step, self.answered = -1, control.save
        self._job, self._device, self._control = job, data.device, control
        self._vectorized = vectorized
        self._events = job_events(job, data, control, vectorized=vectorized)

    def begin(self) -> Iterator[Event]:
        """Take the first event; what was asked for before, there is nothing to save."""
        self.answered = self._control.save
        event = self.next()
        if event is not None:
            yield event

    def next(self) -> Event | None:
        """Go on to the next event; None when there are no more."""
        if self._vectorized:
            self._control.begin(self._job.group, -1)
        with gpu_arithmetic(self._device, self._job.settings[0].precision):
            event = next(self._events, None)
        if isinstance(event, Report):
            self.step = event.stop
        elif isinstance(event, SavedAll):
            self.answered = event.request
        return event
