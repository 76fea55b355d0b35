"""Trains all runs of a group in one step, on any device.

Nothing in the loop waits for the device: losses stay there until a stop, and what a stop measured
comes to the host while the next steps run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache

import numpy as np
import torch

from pvensemble.train.executors.device_data import DeviceData
from pvensemble.train.executors.events import (
    Control,
    Diverged,
    Event,
    Job,
    Message,
    RunState,
    Saved,
    SavedAll,
    Started,
    divergence,
)
from pvensemble.train.executors.outbox import Outbox
from pvensemble.train.executors.sequential import train_share
from pvensemble.train.executors.stack import Stack, obstacle
from pvensemble.train.executors.stack_report import measure, stop_report
from pvensemble.train.failure import Guard

__all__ = ["obstacle", "train_stack"]


def train_stack(job: Job, data: DeviceData, control: Control) -> Iterator[Event]:
    """Train the runs of ``job`` together; halves where the device's memory is too small.

    When a stack raises, its runs train one at a time, so that only those fail that must.
    """
    left = _lockstep(job)
    guard = Guard()
    while left:
        positions = left.pop(0)
        control.begin(job.group, -1)
        done = control.done
        with guard:
            try:
                yield from _train_together(job, positions, data, control, guard)
            except torch.OutOfMemoryError:
                if len(positions) == 1:
                    raise
                torch.cuda.empty_cache()
                half = len(positions) // 2
                left[:0] = [positions[:half], positions[half:]]
                yield Message(f"{len(positions)} runs do not fit the memory: {half} train together")
        if guard.reason:
            control.done = done
            yield Message(f"{len(positions)} runs train one at a time: {guard.reason}")
            yield from train_share(replace(job, positions=positions), data, control)
        if control.stop:
            return


def _lockstep(job: Job) -> list[tuple[int, ...]]:
    """Return the positions that are at the same step, by step."""
    by_step: dict[int, list[int]] = {}
    for position in job.positions:
        step = job.states[position].step if position in job.states else 0
        by_step.setdefault(step, []).append(position)
    return [tuple(positions) for _, positions in sorted(by_step.items())]


def _padded(rows: Sequence[np.ndarray]) -> np.ndarray:
    """Return rows (n, 2) of several runs as (n_steps, n_runs, 2), NaN where a run has fewer."""
    padded = np.full((max(len(r) for r in rows), len(rows), 2), np.nan)
    for i, own in enumerate(rows):
        padded[: len(own), i] = own
    return padded


def _train_together(
    job: Job, positions: Sequence[int], data: DeviceData, control: Control, guard: Guard
) -> Iterator[Event]:
    segment = _Segment(job, positions, data)
    answered = control.save
    yield Started(job.group, tuple(positions))
    waiting: list = []  # reports on their way to the host
    for stop in [s for s in job.schedule.halts if s >= segment.step]:
        segment.open(stop)
        while not segment.at_stop:
            with guard.lifted():
                control.tick()
            if control.stop or control.save != answered:
                while waiting:
                    yield from waiting.pop(0)()
                answered = control.save
                yield from segment.save()
                yield SavedAll(answered)
                if control.stop:
                    return
            segment.measure()
            control.done += len(positions)
        waiting.append(segment.report())
        segment.leave()
        if len(waiting) > 1:
            yield from waiting.pop(0)()
    for report in waiting:
        yield from report()


class _Segment:
    """A stack of runs on its way from one stop to the next."""

    def __init__(self, job: Job, positions: Sequence[int], data: DeviceData) -> None:
        self.job, self.positions = job, tuple(positions)
        self.stack = Stack(job, positions, data)
        self.step = 0
        self._outbox = Outbox(data.device)
        self._nothing = np.zeros((0, len(positions), 2))
        self._before = lambda: self._nothing  # rows since the last stop, once they are on the host
        self.ended = dict.fromkeys(positions, -1)  # step at which a run diverged
        states = [job.states[p] for p in positions if p in job.states]
        if states:
            self.step = states[0].step
            self.stack.restore(states)
            padded = _padded([s.rows for s in states])
            self._before = lambda: padded
            self.ended = {s.position: s.diverged for s in states}

    def open(self, stop: int) -> None:
        """Prepare the steps up to ``stop``: batches, learning rates, room for the losses."""
        self._first, self._stop = self.step, stop
        self._orders = self.stack.orders(self.step, stop)
        self._rates = self.stack.rates(self.step, stop)
        shape = (stop - self.step + 1, len(self.positions))
        self._losses = torch.full(shape, float("nan"), device=self._rates.device)
        self._right = self._losses.clone()
        self.at_stop = False

    def measure(self) -> None:
        """Do one step: loss and gradient, and the update unless it is the stop."""
        i = self.step - self._first
        self._losses[i], self._right[i] = self.stack.backward(self._orders[i])
        if self.step == self._stop:
            self.at_stop = True
        else:
            self.stack.update(self._rates[i], self.step)
            self.step += 1

    def report(self) -> Callable[[], Iterator[Event]]:
        """Begin to hand over the halt; return what completes it to events."""
        stop, before = self._stop, self._before
        take = cache(self._outbox.put({**measure(self.stack, stop), **self._losses_so_far()}))
        rows = cache(lambda: self._rows(take(), before()))
        is_stop = stop in self.job.schedule.stops
        self._before = (lambda: self._nothing) if is_stop else rows

        def complete() -> Iterator[Event]:
            yield from self._mask(rows(), stop)
            yield stop_report(self.job, self.positions, stop, take(), rows(), self.ended)

        return complete

    def leave(self) -> None:
        """Do the update that leaves the stop, unless training has ended."""
        if self._stop < self.job.schedule.steps:
            self.stack.update(self._rates[-1], self._stop)
        self.step = self._stop + 1

    def save(self) -> Iterator[Event]:
        """Yield the runs that diverged since the last stop, and the states of all runs."""
        before = self._before()
        rows = self._rows(self._outbox.put(self._losses_so_far())(), before)
        rows = rows[: len(before) + self.step - self._first]
        yield from self._mask(rows, self.step - 1)
        held = {name: t.cpu().numpy() for name, t in self.stack.held().items()}
        states = []
        for i, position in enumerate(self.positions):
            arrays = {name: np.array(values[i]) for name, values in held.items()}
            ended = self.ended[position]
            states.append(RunState(position, self.step, ended, rows[:, i].copy(), arrays))
        yield Saved(self.job.group, states)

    def _losses_so_far(self) -> dict[str, torch.Tensor]:
        return {"loss": self._losses.clone(), "right": self._right.clone()}

    def _rows(self, arrays: dict[str, np.ndarray], before: np.ndarray) -> np.ndarray:
        """Return training loss and accuracy since the last stop, (n_steps, n_runs, 2)."""
        accuracy = arrays["right"] / self.job.settings[0].batch_size
        rows = np.stack([arrays["loss"], accuracy], axis=2).astype(np.float64)
        return np.concatenate([before, rows])

    def _mask(self, rows: np.ndarray, last: int) -> Iterator[Event]:
        """Yield runs that diverged up to step ``last``; blank what follows their divergence."""
        first = last + 1 - len(rows)
        for i, position in enumerate(self.positions):
            bad = np.flatnonzero(~np.isfinite(rows[:, i, 0]))
            if self.ended[position] < 0 and len(bad):
                step = self.ended[position] = first + int(bad[0])
                reason = divergence(rows[bad[0], i, 0], step)
                yield Diverged(self.job.group, position, step, reason)
            if self.ended[position] >= 0:
                rows[max(0, self.ended[position] + 1 - first) :, i] = np.nan
