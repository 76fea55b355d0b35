"""What a stack of runs measures at a stop: on the device, then as a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from pvensemble import schema
from pvensemble.train.executors.evaluation import evaluate
from pvensemble.train.executors.events import Glance, Job, Report
from pvensemble.train.executors.stack import Stack
from pvensemble.train.probing import Measured
from pvensemble.train.recording import as_recorded

IMAGES = 8192
"""Images of all runs together in one evaluation pass on a GPU."""


@torch.no_grad()
def measure(stack: Stack, stop: int) -> dict[str, Tensor]:
    """Return all that the schedule asks for at ``stop``; nothing waits for the device.

    The tensors are new: training may go on at once.
    """
    job, data = stack.job, stack.data
    schedule = job.schedule
    recorded, evaluated = stop in schedule.recorded, stop in schedule.evaluated
    shown = stop in schedule.measured
    if job.layers_at(stop) is not stack.layers:
        stack.observe(job.layers_at(stop))
    probing = stack.probing if shown and stack.probing else None
    on_gpu = data.device.type != "cpu"
    chunk = max(8, IMAGES // len(stack.positions)) if on_gpu else 64
    measured: dict[str, Tensor] = {}
    probed: Measured = {}
    if evaluated or probing:
        split = data.validation
        size = len(split) if job.evaluate_size is None else job.evaluate_size
        loss, accuracy, probed = evaluate(
            stack.forward,
            split.images,
            split.labels,
            size=size if evaluated else 0,
            probing=probing,
            chunk=chunk,
        )
        if evaluated:
            measured[schema.VALIDATION_LOSS] = loss
            measured[schema.VALIDATION_ACCURACY] = accuracy
    if stop in schedule.tested and len(data.test):
        loss, accuracy, _ = evaluate(
            stack.forward, data.test.images, data.test.labels, size=len(data.test), chunk=chunk
        )
        measured[schema.TEST_LOSS] = loss
        measured[schema.TEST_ACCURACY] = accuracy
    if recorded:
        for name, parameter in stack.parameters.items():
            measured[schema.WEIGHT_NORM + name] = _norms(parameter)
            measured[schema.GRADIENT_NORM + name] = _norms(stack.gradients[name])
        measured[schema.SCHEDULED_RATE] = stack.rates(stop, stop)[0]
    for layer in stack.layers if shown else ():
        for kind in layer.kinds:
            measured[f"{layer.name}/{kind}"] = _tensor(stack, layer, kind, probed)
    if stop in schedule.networks:
        measured["/".join(schema.NETWORK)] = stack.network()
    return measured


def _norms(stacked: Tensor) -> Tensor:
    return torch.linalg.vector_norm(stacked.flatten(1), dim=1)


def _tensor(stack: Stack, layer, kind: str, probed: Measured) -> Tensor:
    """Return a recorded tensor of all runs, (n_runs, *shape)."""
    if kind in schema.PROBED_KINDS:
        return probed[layer.name, kind]
    if kind == schema.WEIGHT:
        return stack.weight(layer.weight).clone()
    gradient = stack.gradients.get(layer.weight)
    if gradient is None:
        return torch.zeros_like(stack.weight(layer.weight))
    alive = stack.alive.view(-1, *[1] * (gradient.ndim - 1))
    return torch.where(alive, gradient, 0.0)


def stop_report(
    job: Job,
    positions: Sequence[int],
    stop: int,
    arrays: Mapping[str, np.ndarray],
    rows: np.ndarray,
    ended: Mapping[int, int],
) -> Report:
    """Return the report of a halt.

    Parameters
    ----------
    arrays
        What :func:`measure` returned, on the host.
    rows
        (n_steps, n_runs, 2): training loss and accuracy since the last stop.
    ended
        Step at which each run diverged, or -1: nothing is measured of it from there on.
    """
    steps = np.arange(stop + 1 - len(rows), stop + 1)
    metrics = {
        schema.TRAIN_LOSS: (steps, rows[:, :, 0]),
        schema.TRAIN_ACCURACY: (steps, rows[:, :, 1]),
    }
    dead = np.array([0 <= ended[p] <= stop for p in positions])
    tensors = {}
    for name, values in arrays.items():
        layer, _, kind = name.rpartition("/")
        if layer:
            dtype = "float32" if (layer, kind) == schema.NETWORK else job.dtype
            tensors[layer, kind] = as_recorded(values, dtype)
        elif name not in ("loss", "right"):
            lasting = name.startswith(schema.WEIGHT_NORM)
            row = values.astype(np.float64) if lasting else np.where(dead, np.nan, values)
            metrics[name] = (np.array([stop]), row[None])
    kind = Report if stop in job.schedule.stops else Glance
    return kind(job.group, stop, tuple(positions), metrics, tensors)
