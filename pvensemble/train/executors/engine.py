"""Trains one job with the engine that fits it; the arithmetic all engines agree on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from pvensemble.train.executors.device_data import DeviceData
from pvensemble.train.executors.events import Control, Event, Job, Message
from pvensemble.train.executors.sequential import train_share


def train_job(job: Job, data: DeviceData, control: Control, *, vectorized: bool) -> Iterator[Event]:
    """Train the runs of a job; a model that cannot be vectorized is trained one run at a time."""
    with gpu_arithmetic(data.device, job.settings[0].precision):
        yield from job_events(job, data, control, vectorized=vectorized)


def job_events(
    job: Job, data: DeviceData, control: Control, *, vectorized: bool
) -> Iterator[Event]:
    """Do what :func:`train_job` does, in the arithmetic that the caller has set."""
    if vectorized:
        from pvensemble.train.executors.vectorized import obstacle, train_stack

        reason = obstacle(job, data)
        if not reason:
            yield from train_stack(job, data, control)
            return
        name = job.settings[0].model.name
        yield Message(f"model {name!r} trains one run at a time: {reason}")
    yield from train_share(job, data, control)


@contextmanager
def worker_arithmetic(device: torch.device) -> Iterator[None]:
    """Compute as every worker does; undone afterwards.

    On a CPU: one thread, so that results do not depend on the number of cores, and denormals
    flushed, because the momentum of a dying filter would cost ten times its update.
    """
    if device.type != "cpu":
        yield
        return
    for kind in (np.float32, np.float64):
        np.finfo(kind)  # examines subnormals at its first use, and warns when they are flushed
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.set_flush_denormal(False)


@contextmanager
def gpu_arithmetic(device: torch.device, precision: str) -> Iterator[None]:
    """Use TF32 on a GPU where the configuration says so and nowhere else; undone afterwards."""
    if device.type != "cuda":
        yield
        return
    cudnn = torch.backends.cudnn
    before = torch.get_float32_matmul_precision(), cudnn.allow_tf32, cudnn.benchmark
    tf32 = precision == "tf32"
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    cudnn.allow_tf32, cudnn.benchmark = tf32, True
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        cudnn.allow_tf32, cudnn.benchmark = before[1:]
