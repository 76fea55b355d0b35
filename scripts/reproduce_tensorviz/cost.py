"""The observation on the time that a training step of a reduced network takes."""

from __future__ import annotations

import time

import numpy as np
import torch
from reproduction.finding import Finding, Statistic, judge
from torch import nn
from torch.nn import functional

from pvensemble.train.config import ModelConfig
from pvensemble.train.models import build_model
from reproduce_tensorviz.study import LAYERS, Reduction

BATCH, ROUNDS, STEPS = 100, 15, 4
SAME = 0.05
"""Relative difference that we call none."""


def time_of_a_step(study: Reduction) -> Finding:
    """Observation 9: steps of both networks by PyTorch, in turn."""
    found, ratios = [], []
    whole = {layer: int(n[0, 0]) for layer, n in study.n_filters.items()}
    for threshold in study.thresholds():
        runs = study.runs_at(threshold)
        left = {layer: round(float(n[runs, -1].mean())) for layer, n in study.n_filters.items()}
        ratio = timed(network(left), network(whole))
        ratios.append(float(np.median(ratio)))
        filters = " and ".join(str(left[layer]) for layer in LAYERS)
        found.append(
            Statistic(
                f"r >= {threshold:g} ({filters} filters): time of a step, of the original's",
                *(float(q) for q in np.percentile(ratio, (50, 25, 75))),
            )
        )
    change = max(abs(ratio - 1) for ratio in ratios)
    return Finding(
        "9",
        "holds when a training step of the reduced network takes as long as one of the original "
        "within 5 %, on this machine; partly within 15 %",
        tuple(found),
        judge(change <= SAME, change <= 0.15),
        f"a step of the reduced networks takes {min(ratios):.0%} to {max(ratios):.0%} of the time",
    )


def network(filters: dict[str, int]) -> nn.Module:
    """Return the poster's network with so many filters."""
    model = ModelConfig("tensorviz", {**filters, "fc1": 1024})
    return build_model(model, input_shape=(1, 28, 28), n_classes=10, seed=0).train()


def timed(model: nn.Module, other: nn.Module) -> np.ndarray:
    """Return the ratio of the times of a step, (ROUNDS,), one after the other."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(BATCH, 1, 28, 28, generator=generator)
    labels = torch.randint(0, 10, (BATCH,), generator=generator)
    ratios = []
    for _ in range(ROUNDS + 1):
        ratios.append(seconds(model, images, labels) / seconds(other, images, labels))
    return np.array(ratios[1:])  # the first one is for warming up


def seconds(model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> float:
    """Return the time of some steps."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    begin = time.perf_counter()
    for _ in range(STEPS):
        optimizer.zero_grad()
        functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
    return time.perf_counter() - begin
