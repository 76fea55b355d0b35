"""Worker processes that train: one a core on a CPU, one a device with several GPUs.

Each worker owns a fixed share of every job and goes through the jobs in order or in step, without
waiting for the others; the trainer reads from a worker only while it is not far ahead of the
slowest, which bounds what the trainer has to hold. When a worker dies, the run that it was at has
failed, and a new process goes on with the others of its share. Workers live until the pool is
closed: a training that is steered, or claims groups one after the other, does not start them anew.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from multiprocessing.connection import wait

from pvensemble.errors import ConfigError, TrainingError
from pvensemble.train.executors.events import Control, Event, Job, SavedAll, Tick
from pvensemble.train.executors.shared import ControlPage, share
from pvensemble.train.executors.workers import Death, Running, Setting, WorkerProcess

TICK_SECONDS = 0.1
AHEAD = 8
"""Halts that a worker may be ahead of the slowest."""


class Pool:
    """Executor with a worker process for each of ``devices``.

    Parameters
    ----------
    data
        Data sets by their configuration.
    devices
        Device of each worker; every worker on a CPU computes with one thread.
    vectorized
        A worker takes whole jobs and trains them in one step; else every job is dealt out, run by
        run.
    """

    def __init__(self, data: Mapping, devices: Sequence[str], *, vectorized: bool = False) -> None:
        self._data, self._devices, self.vectorized = data, list(devices), vectorized
        self.device, self.width = self._devices[0], len(self._devices)
        kind = "vectorized" if vectorized else "sequential"
        self.one_run_on_cpu = not vectorized
        self.description = f"{kind} on {len(devices)} x {devices[0].partition(':')[0]}"
        self._setting: Setting | None = None
        self._idle: dict[int, Running] = {}

    def run(self, jobs: list[Job], control: Control) -> Iterator[Event]:
        """Train the runs of all jobs; workers that have done theirs wait for the next call.

        Raises
        ------
        TrainingError
            A worker died before it was at any run; the message names it.
        """
        shares = deal(jobs, len(self._devices), whole=self.vectorized)
        setting = self._prepare({job.data for job in jobs}, control)
        workers: list[WorkerProcess] = []
        try:
            for number, (device, portion) in enumerate(zip(self._devices, shares)):
                if portion:
                    idle = self._idle.pop(number, None)
                    workers.append(WorkerProcess(number, device, portion, setting, idle))
            yield from self._events(workers, setting.page, control)
        finally:
            for worker in workers:
                if worker.idle:
                    self._idle[worker.number] = worker.running
                else:
                    worker.close()

    def _prepare(self, configs: set, control: Control) -> Setting:
        """Return what workers share; start anew when that lacks a data set."""
        setting = self._setting
        if setting and (setting.in_step != control.in_step or not configs <= {*setting.shared}):
            self.close()
        if self._setting is None:
            shared = {config: share(self._data[config]) for config in configs}
            page = ControlPage(len(self._devices))
            self._setting = Setting(page, shared, self.vectorized, control.in_step)
        page = self._setting.page
        for number in range(len(self._devices)):
            page.reset(number, 0)
        page.publish(control)  # before a waiting worker looks: it was told to stop
        return self._setting

    def close(self) -> None:
        """End the workers that wait, and give back what they share."""
        for running in self._idle.values():
            running.close()
        self._idle = {}
        if self._setting is not None:
            for fd in (self._setting.page.fd, *(s.fd for s in self._setting.shared.values())):
                os.close(fd)
            self._setting = None

    def __del__(self) -> None:
        self.close()

    def _events(
        self, workers: list[WorkerProcess], page: ControlPage, control: Control
    ) -> Iterator[Event]:
        active = list(workers)
        answers: dict[int, int] = {}
        answered = control.save
        while active:
            control.tick()
            page.publish(control)
            slowest = min(w.progress for w in active)
            reading = [w for w in active if w.progress <= slowest + AHEAD]
            ready = wait([w.connection for w in reading], TICK_SECONDS)
            if not ready:
                yield Tick()
            for worker in [w for w in reading if w.connection in ready]:
                event = worker.receive()
                if event is None:
                    active.remove(worker)
                elif isinstance(event, Death):
                    yield from _bury(worker, event)
                    if not worker.succeed(control.recall):
                        active.remove(worker)
                elif isinstance(event, SavedAll):
                    answers[worker.number] = event.request
                else:
                    yield event
            oldest = min((answers.get(w.number, answered) for w in active), default=control.save)
            if oldest > answered:
                answered = oldest
                yield SavedAll(oldest)
        page.publish(control)
        if control.stop:
            yield SavedAll(control.save)


def _bury(worker: WorkerProcess, death: Death) -> Iterator[Event]:
    """Yield which runs a worker's death ends; raise when it died of something else."""
    failed = worker.blame(death.reason)
    if not (failed or worker.reported):
        if death.mistake:
            raise ConfigError(death.reason)
        raise TrainingError(
            f"{worker.name()}: {death.reason}; what was recorded is safe, and resuming goes on "
            "from the last checkpoint"
        )
    yield from failed


def deal(jobs: Sequence[Job], n_workers: int, *, whole: bool) -> list[list[Job]]:
    """Deal the runs of all jobs out to workers, or whole jobs.

    Every worker gets the jobs in order; the dealing goes on from job to job, so that many small
    groups keep all workers busy.
    """
    shares: list[list[Job]] = [[] for _ in range(n_workers)]
    turn = 0
    for job in jobs:
        if whole:
            shares[turn % n_workers].append(job)
            turn += 1
            continue
        portions: list[list[int]] = [[] for _ in range(n_workers)]
        for position in job.positions:
            portions[turn % n_workers].append(position)
            turn += 1
        for worker, portion in enumerate(portions):
            if portion:
                states = {p: job.states[p] for p in portion if p in job.states}
                part = replace(job, positions=tuple(portion), states=states)
                shares[worker].append(part)
    return shares
