"""Models of the user's own: what can be vectorized is, the rest trains one run at a time."""

from __future__ import annotations

import numpy as np
import pytest
from training_cases import TOML, differences, everything, tiny_config

from pvensemble.errors import ConfigError
from pvensemble.store import Ensemble
from pvensemble.train import preparation
from pvensemble.train.executors import InProcess
from pvensemble.train.recording import recording_size
from pvensemble.train.search import sample_runs
from pvensemble.train.trainer import train

MODELS = """
import torch
from torch import nn


def plain(input_shape, n_classes):
    return nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.Tanh(), nn.Flatten(), nn.Linear(3 * 6 * 6, n_classes)
    )


def batch_norm(input_shape, n_classes):
    return nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(3 * 6 * 6, n_classes)
    )


def dropout(input_shape, n_classes):
    return nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.Flatten(), nn.Dropout(0.5), nn.Linear(3 * 6 * 6, n_classes)
    )


class Branch(nn.Module):
    def __init__(self, n_classes):
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 3)
        self.linear = nn.Linear(3 * 6 * 6, n_classes)

    def forward(self, x):
        x = self.conv(x)
        if x.sum() > 0:
            x = x * 2
        return self.linear(x.flatten(1))


def branch(input_shape, n_classes):
    return Branch(n_classes)
"""


def own_config(directory, function: str, *overrides: str):
    """Return the tiny configuration with a model of the user's own."""
    (directory / "own_models.py").write_text(MODELS)
    head, _, rest = TOML.partition("[model]")
    toml = f'{head}[model]\nname = "own_models:{function}"\n\n[train]{rest.partition("[train]")[2]}'
    return tiny_config(directory, *overrides, toml=toml)


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        ("batch_norm", "it has buffers"),
        ("dropout", "it draws random numbers"),
        ("branch", "a trial step failed"),
        ("plain", ""),
    ],
)
def test_what_cannot_be_vectorized_trains_one_run_at_a_time(tmp_path, function, reason):
    config = own_config(tmp_path, function)
    said = []
    train(
        config,
        tmp_path / "v.pvens",
        executor=lambda data: InProcess(data, vectorized=True),
        on_progress=lambda p: said.append(p.message),
    )
    train(config, tmp_path / "s.pvens", workers=0)
    same = differences(everything(tmp_path / "v.pvens"), everything(tmp_path / "s.pvens")) == []
    if reason:
        assert any(reason in text and f"own_models:{function}" in text for text in said)
        assert same
    else:
        assert not any("trains one run at a time" in text for text in said)
        assert not same  # it was vectorized: stacked convolutions round differently


@pytest.mark.parametrize("function", ["batch_norm", "dropout"])
def test_buffers_and_random_draws_resume_to_the_same_bits(tmp_path, function):
    config = own_config(tmp_path, function)
    train(config, tmp_path / "whole.pvens", workers=0)
    asked = iter([False] * 8 + [True] * 100)
    part = train(config, tmp_path / "e.pvens", workers=0, stop=_every_step(asked))
    assert part.interrupted
    train(config, tmp_path / "e.pvens", workers=2, resume=True)
    whole, resumed = everything(tmp_path / "whole.pvens"), everything(tmp_path / "e.pvens")
    assert differences(whole, resumed) == []


def _every_step(answers):
    from pvensemble.train import training

    training.PROGRESS_SECONDS = 0.0
    return lambda: next(answers)


@pytest.fixture(autouse=True)
def _restore_pace(monkeypatch):
    from pvensemble.train import training

    monkeypatch.setattr(training, "PROGRESS_SECONDS", training.PROGRESS_SECONDS)


def test_layers_that_no_model_has_are_refused(tmp_path):
    config = tiny_config(tmp_path, "record.layers=convv1")
    with pytest.raises(ConfigError, match="no layer with weights matches 'convv1'.*'conv1'"):
        train(config, tmp_path / "e.pvens", workers=0)


def test_files_are_counted_for_every_group_of_equal_runs(tmp_path, monkeypatch):
    config = tiny_config(tmp_path)
    specs = sample_runs(config)
    together = recording_size(config, specs)
    monkeypatch.setattr(preparation, "GROUP_SIZE", -(-len(specs) // 2))
    parted = recording_size(config, specs)
    assert parted.n_files == 2 * together.n_files
    assert parted.bytes_per_step == together.bytes_per_step


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_the_size_shown_before_is_the_size_afterwards(tmp_path, dtype):
    config = tiny_config(tmp_path, f"record.dtype={dtype}", "record.layers=all", "record.every=1")
    size = recording_size(config, sample_runs(config))
    train(config, tmp_path / "e.pvens", workers=0)
    files = [
        f
        for f in (tmp_path / "e.pvens.d").rglob("*")
        if f.suffix in (".hdf", ".vtkhdf") and "checkpoint" not in f.name
    ]
    n_bytes = sum(f.stat().st_size for f in files)
    assert size.n_steps == 13
    assert size.n_files == pytest.approx(len(files), abs=3)
    assert n_bytes == pytest.approx(size.bytes_total, rel=0.35)
    weights = 4 * 9 + 6 * 4 * 9 + 16 * (6 * 2 * 2) + 16 * 10
    correlations = 4**2 + 6**2 + 16**2 + 10**2
    activations = 4 * (4 * 8**2 + 6 * 4**2 + 16 + 10)
    item = 4 if dtype == "float32" else 2
    values = 2 * weights + correlations + activations + 4 * 24**2
    assert size.bytes_per_step == 4 * item * values


def test_float16_keeps_three_digits_and_its_range(tmp_path):
    train(tiny_config(tmp_path), tmp_path / "full.pvens", workers=0)
    train(tiny_config(tmp_path, "record.dtype=float16"), tmp_path / "half.pvens", workers=0)
    full, half = everything(tmp_path / "full.pvens"), everything(tmp_path / "half.pvens")
    compared = 0
    for name, value in full.items():
        if name.startswith("tensor"):
            np.testing.assert_allclose(half[name], value, rtol=1e-3, atol=1e-6)
            compared += not np.array_equal(half[name], value)
    assert compared > 40


@pytest.mark.parametrize("vectorized", [False, True], ids=["sequential", "vectorized"])
def test_bf16_trains_close_to_float32(tmp_path, vectorized):
    losses = []
    for precision in ("float32", "bf16"):
        path = tmp_path / f"{precision}.pvens"
        config = tiny_config(tmp_path, f"train.precision={precision}", "steps=6")
        train(config, path, executor=lambda data: InProcess(data, vectorized=vectorized))
        losses.append(Ensemble.open(path).curve("train_loss").values)
    assert np.isfinite(losses[1]).all()
    assert not np.array_equal(*losses)
    np.testing.assert_allclose(losses[1], losses[0], rtol=0.02)
