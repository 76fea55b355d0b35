"""A run that diverges is marked and frozen; the others do not notice."""

from __future__ import annotations

import numpy as np
import pytest
from training_cases import everything, tiny_config

from pvensemble.store import Ensemble
from pvensemble.train.executors import InProcess
from pvensemble.train.trainer import train

PLANTED = "session.0.space.learning_rate=[0.01, 1e12]"


@pytest.mark.parametrize("vectorized", [False, True], ids=["sequential", "vectorized"])
def test_planted_divergence_is_marked_and_frozen(tmp_path, vectorized):
    def executor(data):
        return InProcess(data, vectorized=vectorized)

    config = tiny_config(tmp_path, PLANTED)
    result = train(config, tmp_path / "e.pvens", executor=executor)
    assert result.states == {"COMPLETE": 2, "DIVERGED": 2}
    assert result.run_steps == 4 * 13
    ensemble = Ensemble.open(tmp_path / "e.pvens")
    table = ensemble.run_table()
    dead = np.flatnonzero(table["learning_rate"] == 1e12)
    alive = np.flatnonzero(table["learning_rate"] != 1e12)
    assert list(table["state"][dead]) == ["DIVERGED"] * 2
    assert list(table["state"][alive]) == ["COMPLETE"] * 2
    loss = ensemble.curve("train_loss")
    for run in dead:
        step = int(table["last_step"][run])
        assert 1 <= step < 6
        reason = str(table["reason"][run])
        assert "loss was" in reason
        assert reason.endswith(f"at step {step}")
        assert not np.isfinite(loss.values[run, step])
        assert np.isfinite(loss.values[run, :step]).all()
        assert np.isnan(loss.values[run, step + 1 :]).all()
    assert np.isfinite(loss.values[alive]).all()
    validation = ensemble.curve("validation_accuracy")
    assert np.isnan(validation.values[dead, -1]).all()
    assert np.isfinite(validation.values[alive]).all()
    (group,) = ensemble.groups
    for run in dead:
        frozen = [group.filters("conv1", "weight", s)[run] for s in (6, 12)]
        np.testing.assert_array_equal(frozen[0], frozen[1])
        assert np.abs(frozen[0]).max() > 1e6
        assert (group.filters("conv1", "gradient", 12)[run] == 0).all()
        correlation = group.filters("conv1", "correlation", 12)[run]
        assert np.isfinite(correlation).all()
        np.testing.assert_array_equal(np.diag(correlation), 1)

    clean = tiny_config(tmp_path, "session.0.space.learning_rate=[0.01]")
    train(clean, tmp_path / "clean.pvens", executor=executor)
    expected = everything(tmp_path / "clean.pvens")
    got = everything(tmp_path / "e.pvens")
    rows = [list(got["table run_id"]).index(i) for i in expected["table run_id"]]
    compared = 0
    for name, value in expected.items():
        if name.startswith(("values", "tensor")):
            other = got[name][rows] if name.startswith("values") else got[name]
            if vectorized:  # grouped convolutions of another width round differently
                np.testing.assert_allclose(other, value, rtol=1e-3, atol=2e-5, err_msg=name)
            else:
                np.testing.assert_array_equal(other, value, err_msg=name)
            compared += 1
    assert compared == 6 + 2 * 8 + 1 + 2 * 3 * 2 * 5


def test_vectorized_neighbours_keep_every_bit(tmp_path):
    """Against a stack of the same width in which the planted run is harmless."""
    results = []
    for rate in ("1e12", "0.05"):
        config = tiny_config(tmp_path, f"session.0.space.learning_rate=[0.01, {rate}]")
        path = tmp_path / f"{rate}.pvens"
        train(config, path, executor=lambda data: InProcess(data, vectorized=True))
        results.append(everything(path))
    planted, harmless = results
    common = sorted(set(planted["table run_id"]) & set(harmless["table run_id"]))
    assert len(common) == 2
    places = [[list(r["table run_id"]).index(i) for i in common] for r in results]
    for name in planted:
        if name.startswith("values"):
            a, b = planted[name][places[0]], harmless[name][places[1]]
            np.testing.assert_array_equal(a, b, err_msg=name)
        elif name.startswith("tensor") and name.rsplit(" ")[-1] in common:
            np.testing.assert_array_equal(planted[name], harmless[name], err_msg=name)
