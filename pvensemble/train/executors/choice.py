"""Which executor trains on which device."""

from __future__ import annotations

import os
from collections.abc import Mapping

import torch

from pvensemble.errors import ConfigError
from pvensemble.train.executors.in_process import InProcess


def choose(device: str, workers: int | None, data: Mapping):
    """Return the executor for a device.

    Parameters
    ----------
    device
        ``cpu``, ``cuda``, ``cuda:N`` or ``auto`` (CUDA where there is one).
    workers
        Processes on the CPU, None for one a core; 0 trains in this process.
    data
        Data sets by their configuration.

    Raises
    ------
    ConfigError
        For a device that this machine or this torch does not have.
    """
    kind = device.partition(":")[0]
    if kind not in ("cpu", "cuda", "auto"):
        raise ConfigError(f"device: got {device!r}, allowed: cpu, cuda, cuda:N, auto")
    if device == "auto":
        device = kind = "cuda" if torch.cuda.is_available() else "cpu"
    if kind == "cuda":
        return _cuda(device, data)
    if workers is not None and workers < 0:
        raise ConfigError(f"workers: got {workers}, allowed: 0 (in this process) or more")
    if workers == 0:
        return InProcess(data)
    from pvensemble.train.executors.pool import Pool

    return Pool(data, ["cpu"] * (workers or len(usable_cores())))


def _cuda(device: str, data: Mapping):
    n_devices = torch.cuda.device_count() if torch.cuda.is_available() else 0
    index = device.partition(":")[2]
    if not n_devices or (index and not (index.isdigit() and int(index) < n_devices)):
        has = f"{n_devices} CUDA devices" if n_devices else "no CUDA device that torch can use"
        raise ConfigError(f"device: got {device!r}, but this machine has {has}; use cpu")
    if index or n_devices == 1:
        return InProcess(data, device, vectorized=True)
    from pvensemble.train.executors.pool import Pool

    return Pool(data, [f"cuda:{i}" for i in range(n_devices)], vectorized=True)


def usable_cores() -> set[int]:
    """Return the cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))
