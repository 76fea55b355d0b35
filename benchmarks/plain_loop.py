"""The loop that a tutorial writes, on the networks and data of a preset; any device.

NCHW, ``torch.optim.SGD``, ``loss.backward()``: what training with pvensemble is compared with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch.nn import functional

from pvensemble.train.config import load_config
from pvensemble.train.data import DataSets, Split, load_data
from pvensemble.train.models import build_model
from pvensemble.train.schedules import lr_at
from pvensemble.train.search import sample_runs


def runs_of(preset: str, overrides: Sequence[str] = ()) -> tuple:
    """Return the configuration of a preset, and its runs."""
    config = load_config(preset, overrides)
    return config, sample_runs(config)


def data_of(preset: str, directory: str | None, settings) -> DataSets:
    """Return the data of a preset; without a directory random images of their shape."""
    if directory:
        return load_data(settings.data, directory)
    shape = (3, 32, 32) if "cifar" in preset else (1, 28, 28)
    torch.manual_seed(0)
    split = Split(torch.randn(6000, *shape), torch.randint(0, 10, (6000,)))
    return DataSets(split, split, split, 10, "random")


def plain_step(settings, data: DataSets, device: torch.device) -> Callable[[], None]:
    """Return a step of the plain loop, of one run."""
    s = settings
    model = build_model(s.model, input_shape=data.input_shape, n_classes=10, seed=s.seed)
    model.to(device)
    named = list(model.named_parameters())
    groups = [
        {"params": [p for n, p in named if not n.endswith("bias")], "factor": 1.0},
        {"params": [p for n, p in named if n.endswith("bias")], "factor": s.bias_lr_multiplier},
    ]
    optimizer = torch.optim.SGD(
        groups, lr=s.learning_rate, momentum=s.momentum, weight_decay=s.weight_decay
    )
    images, labels = data.train.images.to(device), data.train.labels.to(device)
    losses: list[float] = []

    def step() -> None:
        for group in optimizer.param_groups:
            group["lr"] = lr_at(s, len(losses)) * group["factor"]
        batch = torch.randint(0, len(labels), (s.batch_size,), device=device)
        optimizer.zero_grad()
        logits = model(images[batch])
        loss = functional.cross_entropy(logits, labels[batch])
        loss.backward()
        optimizer.step()
        losses.append(loss.item())

    return step
