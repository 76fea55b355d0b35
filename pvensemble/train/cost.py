"""What groups of runs cost: measured seconds a step, fair shares, and how finely to cut them."""

from __future__ import annotations

import hashlib
import heapq
import math
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch

from pvensemble.train.config import RunSpec, TrainConfig
from pvensemble.train.executors.device_data import DeviceData
from pvensemble.train.executors.engine import train_job, worker_arithmetic
from pvensemble.train.executors.events import Control
from pvensemble.train.preparation import GROUP_SIZE, make_job
from pvensemble.train.recording import Schedule
from pvensemble.train.search import group_key, group_runs

WARM_UP, STEPS = 3, 8
"""Steps of a measurement that do not count, and that do."""
GROUPS_PER_RANK = 3
"""On a CPU: so many groups of equal cost let a slower rank do one less than the others."""


def shape_id(spec: RunSpec) -> str:
    """Return what names the group of a run in the provenance: all runs of it cost the same."""
    return hashlib.sha256(group_key(spec.settings).encode()).hexdigest()[:12]


def seconds_per_step(
    config: TrainConfig, specs: Sequence[RunSpec], data: Mapping, executor, engine
) -> dict[str, float]:
    """Return the seconds of one step of one run, by :func:`shape_id`, measured by a few steps.

    Nothing is measured where all runs have one shape: they cost the same.
    """
    firsts = [members[0] for members in group_runs(specs)]
    if len(firsts) < 2:
        return {}
    device = torch.device(executor.device)
    measured = {}
    with worker_arithmetic(device):
        for spec in firsts:
            job = make_job(config, [spec], 0, data, engine)
            measured[shape_id(spec)] = _seconds(job, DeviceData(data[job.data], device), executor)
    known = [s for s in measured.values() if not math.isnan(s)]
    usual = statistics.median(known) if known else 1.0
    return {shape: usual if math.isnan(s) else s for shape, s in measured.items()}


def _seconds(job, data: DeviceData, executor) -> float:
    """Return the median time of a step, NaN when the run does not get so far."""
    steps = job.schedule.steps
    job = replace(job, layers=(), reducible=(), schedule=Schedule(steps, (), (), (steps,)))
    watch = _Stopwatch(data.device)
    for _ in train_job(job, data, watch, vectorized=executor.vectorized):
        pass
    ticks = watch.ticks[WARM_UP:] if len(watch.ticks) > WARM_UP + 1 else watch.ticks
    taken = [b - a for a, b in zip(ticks, ticks[1:])]
    return statistics.median(taken) if taken else math.nan


class _Stopwatch(Control):
    """Notes when each step begins, and stops after a few."""

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self._device = device
        self.ticks: list[float] = []

    def tick(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        self.ticks.append(time.perf_counter())
        self.stop = len(self.ticks) > WARM_UP + STEPS


def cost(specs: Sequence[RunSpec], seconds: Mapping[str, float]) -> float:
    """Return what runs of one shape cost, in seconds where they were measured."""
    return len(specs) * (specs[0].settings.steps + 1) * seconds.get(shape_id(specs[0]), 1.0)


def cut(
    specs: Sequence[RunSpec], seconds: Mapping[str, float], *, size: int, executor
) -> list[list[RunSpec]]:
    """Return groups, of falling cost, of which ``size`` ranks can have equal shares.

    On a CPU they are small, three a rank, but not smaller than a rank has workers. On a GPU a
    group is one batch, the larger the better: one a rank, or two where shapes differ.
    """
    shapes = group_runs(specs)
    width = 1 if executor.vectorized else executor.width
    wanted = size * ((1 if len(shapes) == 1 else 2) if executor.vectorized else GROUPS_PER_RANK)
    target = sum(cost(members, seconds) for members in shapes) / wanted
    groups: list[list[RunSpec]] = []
    for members in shapes:
        n_parts = round(cost(members, seconds) / target)
        n_parts = max(1, min(n_parts, len(members) // width), -(-len(members) // GROUP_SIZE))
        edges = [len(members) * i // n_parts for i in range(n_parts + 1)]
        groups += [members[a:b] for a, b in zip(edges, edges[1:])]
    return sorted(groups, key=lambda members: -cost(members, seconds))


def balanced(costs: Sequence[float], size: int) -> list[list[int]]:
    """Deal things of known cost out to ``size`` ranks: longest first, each to the least laden.

    Returns
    -------
    list of list of int
        Indices for each rank, ascending. The costliest share is at most 4/3 of the best possible.
    """
    shares: list[list[int]] = [[] for _ in range(size)]
    load = [(0.0, rank) for rank in range(size)]
    for index in sorted(range(len(costs)), key=lambda i: -costs[i]):
        least, rank = load[0]
        shares[rank].append(index)
        heapq.heapreplace(load, (least + costs[index], rank))
    return [sorted(share) for share in shares]
