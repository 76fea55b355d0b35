"""Trains in this very process: one GPU, or a test."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch

from pvensemble.train.config import DataConfig
from pvensemble.train.executors.device_data import DeviceData
from pvensemble.train.executors.engine import worker_arithmetic
from pvensemble.train.executors.events import Control, Event, Job
from pvensemble.train.executors.job_list import train_jobs


class InProcess:
    """Executor without processes of its own.

    Parameters
    ----------
    data
        Data sets by their configuration.
    vectorized
        Train all runs of a group in one step, where the model allows it.
    """

    width = 1

    def __init__(self, data: Mapping, device: str = "cpu", *, vectorized: bool = False) -> None:
        self._data, self.device, self.vectorized = data, torch.device(device), vectorized
        self.one_run_on_cpu = self.device.type == "cpu" and not vectorized
        self.description = f"{'vectorized' if vectorized else 'sequential'} on {device}"

    def close(self) -> None:
        """There is nothing to give back."""

    def run(self, jobs: list[Job], control: Control) -> Iterator[Event]:
        """Train the runs of all jobs."""

        def load(config: DataConfig) -> DeviceData:
            return DeviceData(self._data[config], self.device)

        with worker_arithmetic(self.device):
            yield from train_jobs(jobs, load, control, vectorized=self.vectorized)
