"""Whole networks in the ensemble: what is stored is what torch would load."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from training_cases import tiny_config

from pvensemble import schema
from pvensemble.errors import ConfigError, NotRecordedError
from pvensemble.store import Ensemble
from pvensemble.train import data as data_sets
from pvensemble.train.executors import InProcess
from pvensemble.train.models import build_model
from pvensemble.train.recorder import Recorder
from pvensemble.train.search import sample_runs
from pvensemble.train.trainer import train


def trained(tmp_path, *overrides: str, vectorized: bool = False):
    config = tiny_config(tmp_path, *overrides)
    path = tmp_path / "tiny.pvens"
    train(config, path, executor=lambda data: InProcess(data, vectorized=vectorized))
    return config, Ensemble.open(path).groups[0]


@pytest.mark.parametrize("vectorized", [False, True], ids=["sequential", "vectorized"])
def test_stored_network_measures_what_was_measured(tmp_path, vectorized):
    """A network that is built anew and loaded has the recorded accuracy on the test split."""
    config, group = trained(tmp_path, vectorized=vectorized)
    assert group.network_steps == [12]
    data = data_sets.load_data(config.data)
    steps, accuracy = group.metric_rows()[schema.TEST_ACCURACY]
    for position, spec in enumerate(sample_runs(config)):
        own = group.network(position, 12)
        model = build_model(
            spec.settings.model, input_shape=data.input_shape, n_classes=10, seed=99
        )
        model.load_state_dict({name: torch.from_numpy(values) for name, values in own.items()})
        right = (model.eval()(data.test.images).argmax(1) == data.test.labels).float().mean()
        assert float(right) == pytest.approx(accuracy[list(steps).index(12), position])
        weight = group.filters("conv1", schema.WEIGHT, 12)[position]
        np.testing.assert_array_equal(own["conv1.weight"], weight)


def test_networks_at_all_recorded_steps_or_none(tmp_path):
    _, group = trained(tmp_path, "record.networks=all", "record.dtype=float16")
    assert group.network_steps == group.recorded_steps() == [0, 6, 12]
    half = group.filters("conv1", schema.WEIGHT, 6)[1]
    full = group.network(1, 6)["conv1.weight"]
    assert not np.array_equal(full, half)  # networks keep their precision
    np.testing.assert_allclose(full, half, rtol=1e-3, atol=1e-6)
    (tmp_path / "none").mkdir()
    _, group = trained(tmp_path / "none", "record.networks=none")
    assert group.network_steps == []
    with pytest.raises(NotRecordedError, match=r"step 12; stored are those of steps: none \(rec"):
        group.network(0, 12)


def test_recorder_keeps_buffers(tmp_path):
    model = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2))
    recorder = Recorder(model, tmp_path / "mine.pvens", every=2)
    for _ in range(4):
        model(torch.randn(3, 1, 5, 5))
        recorder.step(loss=1.0)
    recorder.close()
    group = Ensemble.open(tmp_path / "mine.pvens").groups[0]
    assert group.network_steps == [4]
    stored = group.network(0, 4)
    assert list(stored) == list(model.state_dict())
    for name, tensor in model.state_dict().items():
        np.testing.assert_array_equal(stored[name], tensor.numpy())
    with pytest.raises(ConfigError, match="networks: got 'first'"):
        Recorder(model, tmp_path / "mine.pvens", networks="first")
