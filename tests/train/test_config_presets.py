"""The default preset shows what the paper shows, on data that everybody has."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch.nn import functional

from pvensemble.train.config import load_config
from pvensemble.train.data import batch_indices, load_data
from pvensemble.train.models import build_model
from pvensemble.train.search import sample_runs

P1_STEP = 100


@pytest.fixture(autouse=True)
def one_thread():
    """Operations this small only wait for each other on several threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def accuracy_at_p1(settings, data) -> float:
    """Train one run with plain PyTorch until step 100; return its validation accuracy."""
    network = build_model(
        settings.model, input_shape=data.input_shape, n_classes=10, seed=settings.seed
    )
    rate = settings.learning_rate
    groups = [
        {"params": [p], "lr": rate * (settings.bias_lr_multiplier if p.ndim == 1 else 1)}
        for p in network.parameters()
    ]
    optimizer = torch.optim.SGD(
        groups, lr=rate, momentum=settings.momentum, weight_decay=settings.weight_decay
    )
    for step in range(P1_STEP):
        batch = torch.from_numpy(
            batch_indices(settings.seed, len(data.train), settings.batch_size, step).copy()
        )
        optimizer.zero_grad()
        loss = functional.cross_entropy(network(data.train.images[batch]), data.train.labels[batch])
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        predicted = network(data.validation.images).argmax(1)
    return float((predicted == data.validation.labels).double().mean())


def test_early_accuracy_differs_between_the_corners_and_the_stripe():
    config = load_config("digits")
    data = load_data(config.data)
    runs = sample_runs(config)
    cyan, stripe = (accuracy_at_p1(runs[i].settings, data) for i in (0, 7 * 11 + 9))
    assert runs[7 * 11 + 9].params["momentum"] == 0.81
    assert cyan < 0.85 < 0.92 < stripe


@pytest.mark.slow
def test_early_accuracy_follows_the_effective_step_over_the_grid():
    config = load_config("digits")
    data = load_data(config.data)
    runs = sample_runs(config)
    p1 = np.array([accuracy_at_p1(run.settings, data) for run in runs])
    rate = np.array([run.params["learning_rate"] for run in runs])
    momentum = np.array([run.params["momentum"] for run in runs])
    together = spearmanr(p1, rate / (1 - momentum))[0]
    assert together > 0.75
    assert together > max(spearmanr(p1, rate)[0], spearmanr(p1, momentum)[0]) + 0.05
    # A stripe, not a corner: the largest effective steps are not the best.
    assert p1.max() > p1.reshape(11, 11)[-1, -1] + 0.01
