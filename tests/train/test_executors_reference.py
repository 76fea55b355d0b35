"""Both executors against a plain PyTorch loop with torch.optim, step by step."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional
from training_cases import tiny_config

from pvensemble import schema
from pvensemble.train.data import batch_indices, load_data
from pvensemble.train.executors import InProcess
from pvensemble.train.executors.events import Control, Report
from pvensemble.train.models import build_model
from pvensemble.train.preparation import make_job
from pvensemble.train.schedules import lr_at
from pvensemble.train.search import sample_runs

OPTIMIZERS = {
    "sgd": ["train.optimizer=sgd"],
    "nesterov": ["train.optimizer=sgd", "train.nesterov=true"],
    "adam": ["train.optimizer=adam", "train.beta1=0.8", "train.beta2=0.99"],
    "rmsprop": ["train.optimizer=rmsprop", "train.alpha=0.9", "train.eps=1e-4"],
}
STEPS = 10


def reference(settings, data) -> list[dict]:
    """Train one run as the PyTorch tutorials do; return what each step measured."""
    model = build_model(
        settings.model,
        input_shape=data.input_shape,
        n_classes=data.n_classes,
        seed=settings.seed,
    )
    biases = [p for n, p in model.named_parameters() if n.endswith("bias")]
    others = [p for n, p in model.named_parameters() if not n.endswith("bias")]
    groups = [{"params": others}, {"params": biases}]
    common = {"lr": 1.0, "weight_decay": settings.weight_decay}
    if settings.optimizer == "sgd":
        optimizer = torch.optim.SGD(
            groups, momentum=settings.momentum, nesterov=settings.nesterov, **common
        )
    elif settings.optimizer == "adam":
        optimizer = torch.optim.Adam(groups, betas=settings.betas, eps=settings.eps, **common)
    else:
        optimizer = torch.optim.RMSprop(
            groups, alpha=settings.alpha, eps=settings.eps, momentum=settings.momentum, **common
        )
    steps = []
    for step in range(STEPS + 1):
        indices = batch_indices(settings.seed, len(data.train), settings.batch_size, step).copy()
        optimizer.zero_grad()
        logits = model(data.train.images[indices])
        loss = functional.cross_entropy(logits, data.train.labels[indices])
        loss.backward()
        right = (logits.argmax(1) == data.train.labels[indices]).double().mean()
        named = dict(model.named_parameters())
        steps.append(
            {
                "loss": loss.item(),
                "accuracy": right.item(),
                "weight": {n: p.detach().numpy().copy() for n, p in named.items()},
                "gradient": {n: p.grad.numpy().copy() for n, p in named.items()},
            }
        )
        optimizer.param_groups[0]["lr"] = lr_at(settings, step)
        optimizer.param_groups[1]["lr"] = lr_at(settings, step) * settings.bias_lr_multiplier
        optimizer.step()
    return steps


def ensemble(config, data, *, vectorized: bool) -> tuple[list, dict[int, list[Report]]]:
    """Train all runs; return their settings and each run's reports, one a step."""
    specs = sample_runs(config)
    job = make_job(config, specs, 0, {specs[0].settings.data: data})
    executor = InProcess({job.data: data}, vectorized=vectorized)
    reports: dict[int, list[Report]] = {i: [] for i in range(len(specs))}
    for event in executor.run([job], Control()):
        if isinstance(event, Report):
            for k, position in enumerate(event.positions):
                metrics = {n: (s, v[:, k : k + 1]) for n, (s, v) in event.metrics.items()}
                tensors = {key: t[k : k + 1] for key, t in event.tensors.items()}
                single = Report(0, event.stop, (position,), metrics, tensors)
                reports[position].append(single)
    return [s.settings for s in specs], reports


@pytest.mark.parametrize("vectorized", [False, True], ids=["sequential", "vectorized"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_first_ten_steps_are_those_of_plain_pytorch(tmp_path, optimizer, vectorized):
    config = tiny_config(
        tmp_path,
        f"steps={STEPS}",
        "record.every=1",
        "record.layers=all",
        "train.schedule=inv",
        "train.gamma=0.1",
        "session.0.space.learning_rate=[0.002, 0.01]",
        "session.0.space.seed=[3, 4]",
        *OPTIMIZERS[optimizer],
    )
    data = load_data(config.data)
    settings, reports = ensemble(config, data, vectorized=vectorized)
    assert len(settings) == 8  # learning rate x momentum x seed
    compared = 0
    for position, own in enumerate(settings):
        expected = reference(own, data)
        assert [r.stop for r in reports[position]] == list(range(STEPS + 1))
        for step, report in enumerate(reports[position]):
            want = expected[step]
            loss = report.metrics["train_loss"][1][-1, 0]
            assert loss == pytest.approx(want["loss"], rel=2e-5)
            assert report.metrics["train_accuracy"][1][-1, 0] == pytest.approx(want["accuracy"])
            for (layer, kind), tensor in report.tensors.items():
                if kind in schema.PROBED_KINDS:  # test_executors_correlation, test_probing
                    continue
                if (layer, kind) == schema.NETWORK:  # all parameters, in the order of state_dict
                    right = np.concatenate([want["weight"][n].ravel() for n in want["weight"]])
                else:
                    right = want[kind][f"{layer}.weight"]
                scale = np.abs(right).max()
                np.testing.assert_allclose(tensor[0], right, rtol=0, atol=5e-5 * scale)
                compared += 1
            for name, gradient in want["gradient"].items():
                norm = report.metrics[f"gradient_norm:{name}"][1][0, 0]
                assert norm == pytest.approx(np.linalg.norm(gradient), rel=1e-3)
                norm = report.metrics[f"weight_norm:{name}"][1][0, 0]
                assert norm == pytest.approx(np.linalg.norm(want["weight"][name]), rel=1e-4)
    assert compared == 8 * (11 * 4 * 2 + 1)  # the networks at the last step


def test_sgd_without_momentum_is_that_of_plain_pytorch(tmp_path):
    config = tiny_config(tmp_path, f"steps={STEPS}", "session.0.space.momentum=[0.0]")
    data = load_data(config.data)
    settings, reports = ensemble(config, data, vectorized=False)
    loss = reports[0][-1].metrics["train_loss"][1][-1, 0]
    assert loss == pytest.approx(reference(settings[0], data)[STEPS]["loss"], rel=2e-5)


def test_reference_detects_a_wrong_momentum(tmp_path):
    """The negative control: a tenth of momentum is far outside the tolerance."""
    config = tiny_config(tmp_path, f"steps={STEPS}", "record.every=1")
    data = load_data(config.data)
    settings, reports = ensemble(config, data, vectorized=False)
    assert [s.momentum for s in settings] == [0.5, 0.9, 0.5, 0.9]
    want = reference(settings[0], data)[STEPS]["weight"]["conv1.weight"]
    right = reports[0][STEPS].tensors["conv1", "weight"][0]
    wrong = reports[1][STEPS].tensors["conv1", "weight"][0]
    scale = np.abs(want).max()
    assert np.abs(right - want).max() < 5e-5 * scale
    assert np.abs(wrong - want).max() > 5e-3 * scale
