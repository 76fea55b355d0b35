"""On a CPU a run's result depends on nothing but the run, to the last bit."""

from __future__ import annotations

import numpy as np
import pytest
from training_cases import differences, everything, tiny_config

from pvensemble.train.executors import InProcess
from pvensemble.train.executors.pool import Pool
from pvensemble.train.trainer import train


@pytest.fixture(scope="module")
def together(tmp_path_factory) -> dict:
    """The four runs, trained in this process."""
    directory = tmp_path_factory.mktemp("together")
    result = train(tiny_config(directory), directory / "e.pvens", workers=0)
    assert result.states == {"COMPLETE": 4}
    assert result.run_steps == 4 * 13
    return everything(directory / "e.pvens")


def test_everything_is_recorded(together):
    tensors = [n for n in together if n.startswith("tensor")]
    assert len(tensors) == 4 * 3 * 2 * 5  # runs x steps (0, 6, 12) x layers x kinds
    assert list(together["steps train_loss"]) == list(range(13))
    assert list(together["steps validation_accuracy"]) == [0, 4, 8, 12]
    assert list(together["steps test_accuracy"]) == [12]
    assert list(together["steps weight_norm:conv1.weight"]) == [0, 6, 12]
    assert all(np.isfinite(v).all() for n, v in together.items() if v.dtype.kind == "f")
    assert together["values train_loss"][:, 0].mean() == pytest.approx(np.log(10), abs=0.3)
    loss = together["values train_loss"]
    assert loss[:, -1].mean() < loss[:, 0].mean() - 0.01


@pytest.mark.parametrize("workers", [1, 3])
def test_workers_change_no_bit(tmp_path, together, workers):
    train(tiny_config(tmp_path), tmp_path / "e.pvens", workers=workers)
    assert differences(everything(tmp_path / "e.pvens"), together) == []


def test_a_run_alone_equals_itself_in_the_ensemble(tmp_path, together):
    config = tiny_config(
        tmp_path, "session.0.space.learning_rate=[0.05]", "session.0.space.momentum=[0.9]"
    )
    train(config, tmp_path / "e.pvens", workers=0)
    alone = everything(tmp_path / "e.pvens")
    (run_id,) = alone["table run_id"]
    place = list(together["table run_id"]).index(run_id)
    compared = 0
    for name, value in alone.items():
        if name.startswith("values"):
            np.testing.assert_array_equal(value[0], together[name][place])
            compared += 1
        elif name.startswith("tensor"):
            np.testing.assert_array_equal(value, together[name])
            compared += 1
    assert compared == 6 + 2 * 8 + 1 + 3 * 2 * 5


def test_another_seed_changes_bits(tmp_path, together):
    """The negative control of the comparisons above."""
    train(tiny_config(tmp_path, "seed=4"), tmp_path / "e.pvens", workers=0)
    other = everything(tmp_path / "e.pvens")
    assert "values train_loss" in differences(other, together)


def test_vectorized_agrees_within_rounding(tmp_path, together):
    train(
        tiny_config(tmp_path),
        tmp_path / "e.pvens",
        executor=lambda data: InProcess(data, vectorized=True),
    )
    stacked = everything(tmp_path / "e.pvens")
    assert sorted(stacked) == sorted(together)
    for name, value in stacked.items():
        if value.dtype.kind == "f":
            np.testing.assert_allclose(value, together[name], rtol=1e-3, atol=2e-5, err_msg=name)


def test_vectorized_groups_share_devices(tmp_path):
    """Whole groups go to worker processes; here each has a CPU for a device."""
    config = tiny_config(tmp_path, "session.0.space.conv1=[3, 4, 5]", "steps=4")
    train(
        config, tmp_path / "two.pvens", executor=lambda d: Pool(d, ["cpu", "cpu"], vectorized=True)
    )
    train(config, tmp_path / "one.pvens", executor=lambda d: InProcess(d, vectorized=True))
    one, two = everything(tmp_path / "one.pvens"), everything(tmp_path / "two.pvens")
    assert len(one["table run_id"]) == 12
    assert differences(one, two) == []


def test_groups_of_different_shape_share_the_workers(tmp_path):
    config = tiny_config(tmp_path, "session.0.space.conv1=[3, 4, 5]", "steps=4")
    train(config, tmp_path / "one.pvens", workers=0)
    executors = []

    def two_workers(data):
        executors.append(Pool(data, ["cpu", "cpu"]))
        return executors[0]

    train(config, tmp_path / "two.pvens", executor=two_workers)
    one = everything(tmp_path / "one.pvens")
    assert len(one["table run_id"]) == 12
    shapes = {v.shape for n, v in one.items() if n.startswith("tensor conv1 weight")}
    assert shapes == {(3, 1, 3, 3), (4, 1, 3, 3), (5, 1, 3, 3)}
    assert differences(one, everything(tmp_path / "two.pvens")) == []
    assert executors
