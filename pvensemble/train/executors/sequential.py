"""Trains a share of a group's runs one run at a time, from stop to stop."""

from __future__ import annotations

from collections.abc import Iterator

from pvensemble.train.executors.device_data import DeviceData
from pvensemble.train.executors.events import (
    Control,
    Diverged,
    Event,
    Job,
    Report,
    Saved,
    SavedAll,
    Started,
)
from pvensemble.train.executors.one_run import OneRun


def train_share(job: Job, data: DeviceData, control: Control) -> Iterator[Event]:
    """Train the runs of ``job`` and yield what happens.

    When ``control.stop`` is set, the states of all runs that have not ended are the last event.
    """
    runs = [OneRun(job, position, data) for position in job.positions]
    answered = control.save
    yield Started(job.group, job.positions)

    def interrupted() -> bool:
        control.tick()
        control.done += 1
        return control.stop or control.save != answered

    for stop in job.schedule.stops:
        for run in runs:
            if run.step > stop:
                continue
            fine = run.diverged < 0
            while not run.advance(stop, interrupted):
                control.done -= 1
                answered = control.save
                yield Saved(job.group, [r.state() for r in runs if r.step <= job.schedule.steps])
                yield SavedAll(answered)
                if control.stop:
                    return
            if fine and run.diverged >= 0:
                control.done += job.schedule.steps - run.diverged
                yield Diverged(job.group, run.position, run.diverged, run.reason)
            metrics, tensors = run.report()
            run.leave()
            yield Report(job.group, stop, (run.position,), metrics, tensors)
