"""Worker processes that train: one a core on a CPU, one a device with several GPUs.

Each worker owns a fixed share of every job and goes through the jobs in order, without waiting for
the others; the trainer reads from a worker only while it is not far ahead of the slowest, which
bounds what the trainer has to hold.
"""

from __future__ import annotations

import os
import pickle
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from pathlib import Path

from pvensemble.errors import ConfigError, TrainingError
from pvensemble.train.executors.events import Control, Event, Job, Report, SavedAll, Tick
from pvensemble.train.executors.shared import ControlPage, SharedData, share

TICK_SECONDS = 0.1
AHEAD = 8
"""Stops that a worker may be ahead of the slowest."""
MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(2**30),
    "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1),
    "MALLOC_TOP_PAD_": str(64 * 2**20),
}
"""glibc would give every freed activation back to the kernel and fault it in again."""


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
        self._data, self._devices, self._vectorized = data, list(devices), vectorized
        kind = "vectorized" if vectorized else "sequential"
        self.description = f"{kind} on {len(devices)} x {devices[0].partition(':')[0]}"

    def run(self, jobs: list[Job], control: Control) -> Iterator[Event]:
        """Train the runs of all jobs.

        Raises
        ------
        TrainingError
            A worker died or failed; the message names it and what it was training.
        """
        shares = deal(jobs, len(self._devices), whole=self._vectorized)
        devices = [d for d, s in zip(self._devices, shares) if s]
        shares = [s for s in shares if s]
        needed = {job.data for job in jobs}
        shared = {config: share(self._data[config]) for config in needed}
        page = ControlPage(len(shares))
        workers: list[_Worker] = []
        try:
            for number, (device, portion) in enumerate(zip(devices, shares)):
                fds = [page.fd, *(s.fd for s in shared.values())]
                arguments = [str(number), str(len(shares)), str(page.fd), device]
                workers.append(_Worker(number, arguments, fds, portion, shared, self._vectorized))
            yield from self._events(workers, page, control)
        finally:
            for worker in workers:
                worker.close()
            for fd in (page.fd, *(s.fd for s in shared.values())):
                os.close(fd)

    def _events(
        self, workers: list[_Worker], page: ControlPage, control: Control
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


class _Worker:
    """A worker process, seen from the trainer."""

    def __init__(
        self,
        number: int,
        arguments: list[str],
        fds: list[int],
        jobs: list[Job],
        shared: Mapping[object, SharedData],
        vectorized: bool,
    ) -> None:
        self.number, self._jobs, self._shared = number, jobs, shared
        ours, theirs = socket.socketpair()
        self.connection = Connection(ours.detach())
        number_, n_workers, page_fd, device = arguments
        fd = theirs.fileno()
        command = [sys.executable, "-m", __package__ + ".worker"]
        command += [number_, n_workers, str(fd), page_fd, device, str(int(vectorized))]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            pass_fds=[fd, *fds],
            env=_environment(device),
            start_new_session=True,  # a Ctrl-C in the terminal reaches the trainer alone
        )
        theirs.close()
        self._places: dict[int, tuple[int, dict[int, int]]] = {}
        before = 0
        for job in jobs:
            stops = job.schedule.stops
            self._places[job.group] = before, {stop: i for i, stop in enumerate(stops)}
            before += len(stops)
        self.progress = 0
        try:
            self.connection.send((shared, jobs))
        except (BrokenPipeError, ConnectionResetError):
            raise self._dead() from None

    def receive(self) -> Event | None:
        """Return the worker's next event, None when it has done all its jobs."""
        try:
            event = self.connection.recv()
        except (EOFError, ConnectionResetError, pickle.UnpicklingError):
            raise self._dead() from None
        if isinstance(event, tuple):
            _, kind, text, mistake = event
            if mistake:
                raise ConfigError(text)
            raise TrainingError(f"{self._name()} failed: {kind}: {text}")
        if isinstance(event, Report):
            before, places = self._places[event.group]
            self.progress = before + places[event.stop]
        return event

    def close(self) -> None:
        """End the process."""
        self.connection.close()
        self.process.stdin.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _name(self) -> str:
        positions = sorted({p for job in self._jobs for p in job.positions})
        shown = ", ".join(map(str, positions[:6])) + (" …" if len(positions) > 6 else "")
        groups = ", ".join(str(job.group) for job in self._jobs[:6])
        return (
            f"training worker {self.number} (process {self.process.pid}; runs {shown} of "
            f"group {groups})"
        )

    def _dead(self) -> TrainingError:
        try:
            status = self.process.wait(5)
        except subprocess.TimeoutExpired:
            status = None
        how = f"was killed by signal {-status}" if status and status < 0 else f"ended ({status})"
        hint = " (out of memory?)" if status == -9 else ""
        return TrainingError(
            f"{self._name()} {how}{hint}; what was recorded is safe, and resuming goes on from "
            "the last checkpoint"
        )


def _environment(device: str) -> dict[str, str]:
    """Return the environment of a worker."""
    paths = [p for p in sys.path if p]
    package = str(Path(__file__).resolve().parents[3])
    environment = {**os.environ, **MEMORY}
    environment["PYTHONPATH"] = os.pathsep.join(dict.fromkeys([package, *paths]))
    if device == "cpu":
        environment["OMP_NUM_THREADS"] = environment["MKL_NUM_THREADS"] = "1"
    return environment


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
