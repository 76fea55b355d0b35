"""A worker process seen from the trainer: its start, what it sends, its end, and its successor."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path

from pvensemble.mpi_environment import outside_mpi
from pvensemble.train.executors.events import Event, Failed, Job, Report, RunState
from pvensemble.train.executors.shared import ControlPage, SharedData

MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(2**30),
    "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1),
    "MALLOC_TOP_PAD_": str(64 * 2**20),
}
"""glibc would give every freed activation back to the kernel and fault it in again."""


@dataclass(frozen=True)
class Setting:
    """What all workers of a training have in common."""

    page: ControlPage
    shared: Mapping[object, SharedData]
    vectorized: bool
    in_step: bool = False


@dataclass(frozen=True)
class Death:
    """A worker ended before its jobs did.

    Attributes
    ----------
    reason
        For people.
    mistake
        Whether it said so itself, in words meant for the user.
    """

    reason: str
    mistake: bool = False


@dataclass(frozen=True)
class Running:
    """A worker's process and the connection to it."""

    process: subprocess.Popen
    connection: Connection

    @property
    def alive(self) -> bool:
        """Whether the process is there."""
        return self.process.poll() is None

    def close(self) -> None:
        """End the process."""
        self.connection.close()
        self.process.stdin.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class WorkerProcess:
    """A process that trains its share of all jobs.

    Parameters
    ----------
    jobs
        Its share.
    idle
        A process that has done what it had to; None to start one.

    Attributes
    ----------
    idle
        Whether it has done its share.
    running
        Its process.
    progress
        Halts of all its jobs up to the last it has reported.
    reported
        Whether it has reported anything.
    """

    def __init__(
        self,
        number: int,
        device: str,
        jobs: Sequence[Job],
        setting: Setting,
        idle: Running | None = None,
    ) -> None:
        self.number, self._device, self._jobs, self._setting = number, device, jobs, setting
        self.progress, self.reported = 0, False
        self._last: dict[tuple[int, int], int] = {}
        self._ended: set[tuple[int, int]] = set()
        self._places: dict[int, tuple[int, dict[int, int]]] = {}
        self._last_halts: dict[int, int] = {}
        before = 0
        together = sorted({halt for job in jobs for halt in job.schedule.halts})
        for job in jobs:
            halts = together if setting.in_step else job.schedule.halts
            self._places[job.group] = before, {halt: i for i, halt in enumerate(halts)}
            before += 0 if setting.in_step else len(halts)
            self._last_halts[job.group] = job.schedule.halts[-1]
        if idle is not None and not idle.alive:
            idle.close()
            idle = None
        self._begin(jobs, idle or self._start())

    @property
    def connection(self) -> Connection:
        """The connection to the process."""
        return self.running.connection

    def _begin(self, jobs: Sequence[Job], running: Running) -> None:
        """Let a process do what is left to do of the jobs."""
        self.running, self.idle = running, False
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # receiving will say so
            self.connection.send((self._setting.shared, list(jobs)))

    def _start(self) -> Running:
        """Start a process."""
        page, shared = self._setting.page, self._setting.shared
        ours, theirs = socket.socketpair()
        connection = Connection(ours.detach())
        fds = [theirs.fileno(), page.fd, *(s.fd for s in shared.values())]
        numbers = self.number, len(page.workers), fds[0], page.fd
        command = [sys.executable, "-m", __package__ + ".worker", *map(str, numbers)]
        modes = self._setting.vectorized, self._setting.in_step
        command += [self._device, *(str(int(mode)) for mode in modes)]
        with _signals_blocked():
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                pass_fds=fds,
                env=_environment(self._device),
                start_new_session=True,  # a Ctrl-C in the terminal reaches the trainer alone
            )
        theirs.close()
        return Running(process, connection)

    def receive(self) -> Event | Death | None:
        """Return the worker's next event, None when it has done all its jobs."""
        try:
            event = self.connection.recv()
        except (EOFError, OSError, pickle.UnpicklingError):
            return Death(self._end())
        if isinstance(event, tuple):
            _, reason, mistake = event
            return Death(reason, mistake)
        if isinstance(event, Report):
            self.reported = True
            before, places = self._places[event.group]
            self.progress = max(self.progress, before + places[event.stop])
            for position in event.positions:
                self._last[event.group, position] = event.stop
                if event.stop == self._last_halts[event.group]:
                    self._ended.add((event.group, position))
        elif isinstance(event, Failed):
            self._ended.add((event.group, event.position))
        self.idle = event is None
        return event

    def blame(self, reason: str) -> list[Failed]:
        """Return the runs that the process was at when it died; they end with it."""
        _, group, position = self._setting.page.workers[self.number].tolist()
        runs = [
            (job.group, p)
            for job in self._jobs
            if job.group == group
            for p in job.positions
            if position in (p, -1) and (group, p) not in self._ended
        ]
        self._ended.update(runs)
        return [Failed(group, p, self._last.get((group, p), 0), reason) for group, p in runs]

    def succeed(self, recall: Callable[[int], dict[int, RunState]]) -> bool:
        """Start a new process for what is left to do; return whether anything is.

        Parameters
        ----------
        recall
            See :class:`~pvensemble.train.executors.events.Control`; runs without such a state go
            on from where the first process began.
        """
        self.close()
        left, done = [], 0
        for job in self._jobs:
            length = job.schedule.steps + 1
            first = {p: job.states[p].step if p in job.states else 0 for p in job.positions}
            positions = [p for p in job.positions if (job.group, p) not in self._ended]
            states = {**job.states, **(recall(job.group) if positions else {})}
            states = {p: states[p] for p in positions if p in states}
            steps = {p: states[p].step if p in states else 0 for p in positions}
            done += sum(steps.get(p, length) - first[p] for p in job.positions)
            if positions:
                left.append(replace(job, positions=tuple(positions), states=states))
        self._setting.page.reset(self.number, done)
        self.reported = False
        if left:
            self._begin(left, self._start())
        return bool(left)

    def close(self) -> None:
        """End the process."""
        self.running.close()

    def name(self) -> str:
        """Return what the worker is called in messages, with the runs of its share."""
        positions = sorted({p for job in self._jobs for p in job.positions})
        shown = ", ".join(map(str, positions[:6])) + (" …" if len(positions) > 6 else "")
        groups = ", ".join(str(job.group) for job in self._jobs[:6])
        return (
            f"training worker {self.number} (process {self.running.process.pid}; runs {shown} of "
            f"group {groups})"
        )

    def _end(self) -> str:
        """Return how the process ended."""
        try:
            status = self.running.process.wait(5)
        except subprocess.TimeoutExpired:
            return "worker closed its connection"
        if status >= 0:
            return f"worker ended with status {status}"
        hint = " (out of memory?)" if status == -9 else ""
        return f"worker ended with signal {-status}{hint}"


@contextlib.contextmanager
def _signals_blocked() -> Iterator[None]:
    """Let a process that is started here never get what asks the trainer to end.

    A batch system sends it to every process of a job, and the trainer needs its workers to keep
    their states; they end when it does.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGUSR1})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _environment(device: str) -> dict[str, str]:
    """Return the environment of a worker."""
    paths = [p for p in sys.path if p]
    package = str(Path(__file__).resolve().parents[3])
    environment = {**outside_mpi(os.environ), **MEMORY}
    environment["PYTHONPATH"] = os.pathsep.join(dict.fromkeys([package, *paths]))
    if device == "cpu":
        environment["OMP_NUM_THREADS"] = environment["MKL_NUM_THREADS"] = "1"
    return environment
