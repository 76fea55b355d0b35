"""Trains in this very process: one GPU, or a test."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch

from pvensemble.train.executors.device_data import DeviceData
from pvensemble.train.executors.engine import train_job, worker_arithmetic
from pvensemble.train.executors.events import Control, Event, Job, SavedAll


class InProcess:
    """Executor without processes of its own.

    Parameters
    ----------
    data
        Data sets by their configuration.
    vectorized
        Train all runs of a group in one step, where the model allows it.
    """

    def __init__(self, data: Mapping, device: str = "cpu", *, vectorized: bool = False) -> None:
        self._data, self._device, self._vectorized = data, torch.device(device), vectorized
        self.one_run_on_cpu = self._device.type == "cpu" and not vectorized
        self.description = f"{'vectorized' if vectorized else 'sequential'} on {device}"

    def run(self, jobs: list[Job], control: Control) -> Iterator[Event]:
        """Train the runs of all jobs, one job after the other."""
        loaded: dict = {}
        asked = control.save
        with worker_arithmetic(self._device):
            for job in jobs:
                if job.data not in loaded:
                    loaded = {job.data: DeviceData(self._data[job.data], self._device)}
                yield from train_job(job, loaded[job.data], control, vectorized=self._vectorized)
                if control.stop:
                    return
                if control.save != asked:  # asked for between two jobs
                    asked = control.save
                    yield SavedAll(asked)
        yield SavedAll(control.save)
