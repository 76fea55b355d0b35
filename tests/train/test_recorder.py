"""A training loop of one's own becomes a run of an ensemble, and does not notice."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from pvensemble.errors import ConfigError, StoreError
from pvensemble.store import Ensemble
from pvensemble.train.recorder import Recorder, unwrap


def network(seed: int = 0) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(1, 5, 3, padding=1),
            nn.BatchNorm2d(5),
            nn.ReLU(),
            nn.Dropout(0.3),
            nn.Conv2d(5, 6, 3),
            nn.Flatten(),
            nn.Linear(6 * 6 * 6, 3),
        )


def data(seed: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(40, 1, 8, 8, generator=generator)
    return images, torch.randint(0, 3, (40,), generator=generator)


def loop(model: nn.Module, recorder: Recorder | None, steps: int, rate: float = 0.05) -> dict:
    """Train; return weights, gradients and losses as the loop itself sees them."""
    images, labels = data()
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    seen = {"weight": [], "gradient": [], "loss": []}
    for step in range(steps):
        batch = torch.randint(0, 40, (8,))
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(images[batch]), labels[batch])
        loss.backward()
        optimizer.step()
        first = unwrap(model)[0].weight
        seen["weight"].append(first.detach().numpy().copy())
        seen["gradient"].append(first.grad.numpy().copy())
        seen["loss"].append(loss.item())
        if recorder is not None:
            extra = {"validation_accuracy": step / 10} if step % 3 == 0 else {}
            recorder.step(loss=loss, **extra)
    return seen


def test_weights_gradients_and_metrics_are_those_of_the_loop(tmp_path):
    model = network()
    start = model[0].weight.detach().numpy().copy()
    with Recorder(
        model, tmp_path / "e.pvens", params={"rate": 0.05}, every=4, probe=data()[0][:20], seed=9
    ) as recorder:
        seen = loop(model, recorder, 10)
    ensemble = Ensemble.open(tmp_path / "e.pvens")
    table = ensemble.run_table()
    assert list(table["state"]) == ["COMPLETE"]
    assert list(table["rate"]) == [0.05]
    assert list(table["seed"]) == [9]
    assert list(table["session"]) == ["recorded"]
    assert list(table["run_id"]) == [recorder.run_id]
    assert ensemble.recorded_steps == [0, 4, 8, 10]
    (group,) = ensemble.groups
    np.testing.assert_array_equal(group.filters("0", "weight", 0)[0], start)
    assert (group.filters("0", "gradient", 0)[0] == 0).all()
    for step in (4, 8, 10):
        for kind in ("weight", "gradient"):
            stored = group.filters("0", kind, step)[0]
            np.testing.assert_array_equal(stored, seen[kind][step - 1], err_msg=f"{kind} {step}")
    loss = ensemble.curve("loss")
    assert list(loss.steps) == list(range(1, 11))
    np.testing.assert_allclose(loss.values[0], seen["loss"], rtol=1e-6)
    accuracy = ensemble.curve("validation_accuracy")
    assert list(accuracy.steps) == [1, 4, 7, 10]
    np.testing.assert_allclose(accuracy.values[0], [0, 0.3, 0.6, 0.9])
    norm = ensemble.curve("weight_norm:0.weight")
    assert norm.values[0, -1] == pytest.approx(np.linalg.norm(seen["weight"][-1]), rel=1e-5)


def test_correlations_are_those_of_numpy(tmp_path):
    model, probe = network(), data()[0][:20]
    with Recorder(model, tmp_path / "e.pvens", every=5, probe=probe) as recorder:
        loop(model, recorder, 5)
    model.eval()
    with torch.no_grad():
        first = model[0](probe)
        second = model[4](model[3](model[2](model[1](first))))
    (group,) = Ensemble.open(tmp_path / "e.pvens").groups
    for layer, outputs in (("0", first), ("4", second)):
        rows = outputs.numpy().astype(np.float64).swapaxes(0, 1).reshape(outputs.shape[1], -1)
        stored = group.filters(layer, "correlation", 5)[0]
        np.testing.assert_allclose(stored, np.corrcoef(rows), atol=2e-6)
        assert np.abs(stored - np.eye(len(stored))).max() > 0.05


def test_recording_changes_no_bit_of_the_training(tmp_path):
    """Dropout draws, batch-norm statistics and modes are what they would be without."""
    results = []
    for record in (False, True):
        torch.manual_seed(5)
        model = network()
        model[1].eval()  # a frozen module stays frozen
        recorder = None
        if record:
            recorder = Recorder(model, tmp_path / "e.pvens", every=2, probe=data()[0][:20])
        loop(model, recorder, 6)
        assert model.training
        assert not model[1].training
        assert model[3].training
        if recorder:
            recorder.close()
        results.append((model.state_dict(), torch.rand(3)))
    for name, tensor in results[0][0].items():
        assert torch.equal(tensor, results[1][0][name]), name
    assert torch.equal(results[0][1], results[1][1])


def test_an_exception_makes_the_run_failed_and_keeps_the_last_step(tmp_path):
    model = network()

    def fails() -> None:
        with Recorder(model, tmp_path / "e.pvens", every=100, probe=None) as recorder:
            loop(model, recorder, 3)
            raise ValueError("the loader broke")

    with pytest.raises(ValueError, match="the loader broke"):
        fails()
    ensemble = Ensemble.open(tmp_path / "e.pvens")
    table = ensemble.run_table()
    assert list(table["state"]) == ["FAILED"]
    assert list(table["reason"]) == ["ValueError: the loader broke"]
    assert ensemble.recorded_steps == [0, 3]
    assert ensemble.groups[0].layers[0].kinds == ("weight", "gradient")


def test_a_loss_that_is_not_finite_makes_the_run_diverged(tmp_path):
    with Recorder(network(), tmp_path / "e.pvens", every=2) as recorder:
        for loss in (1.0, float("nan"), float("inf")):
            recorder.step(loss=loss)
    table = Ensemble.open(tmp_path / "e.pvens").run_table()
    assert list(table["state"]) == ["DIVERGED"]
    assert list(table["reason"]) == ["the loss was nan at step 2"]


def test_a_loss_that_recovers_has_not_diverged(tmp_path):
    with Recorder(network(), tmp_path / "e.pvens", every=2) as recorder:
        for loss in (1.0, float("nan"), 2.0):
            recorder.step(loss=loss)
    assert list(Ensemble.open(tmp_path / "e.pvens").run_table()["state"]) == ["COMPLETE"]


def test_wrapped_models_are_looked_through(tmp_path):
    model = network()
    wrapped = nn.DataParallel(model)
    assert unwrap(wrapped) is model
    with Recorder(wrapped, tmp_path / "e.pvens", every=2) as recorder:
        loop(wrapped, recorder, 2)
    assert Ensemble.open(tmp_path / "e.pvens").layers == ["0", "4"]


def test_mistakes_are_named(tmp_path):
    path = tmp_path / "e.pvens"
    with pytest.raises(ConfigError, match="every: got 0"):
        Recorder(network(), path, every=0)
    with pytest.raises(ConfigError, match="no layer with weights matches 'convx'"):
        Recorder(network(), path, layers=("convx",))
    with pytest.raises(ConfigError, match="the model has no convolutions"):
        Recorder(nn.Linear(2, 2), path)
    assert not path.exists()
    recorder = Recorder(network(), path)
    recorder.close()
    recorder.close()
    with pytest.raises(StoreError, match="closed"):
        recorder.step(loss=1.0)


UNCLOSED = """
import sys, torch
from pvensemble.train.recorder import Recorder
recorder = Recorder(torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3)), sys.argv[1])
recorder.step(loss=0.5)
"""


def test_a_forgotten_close_is_said(tmp_path):
    subprocess.run([sys.executable, "-c", UNCLOSED, str(tmp_path / "e.pvens")], check=True)
    table = Ensemble.open(tmp_path / "e.pvens").run_table()
    assert list(table["state"]) == ["FAILED"]
    assert "without Recorder.close()" in str(table["reason"][0])


def test_two_processes_record_the_example_into_one_ensemble(tmp_path, repository):
    path = tmp_path / "my.pvens"
    script = str(repository / "examples" / "record_my_loop.py")
    rates = ["0.1", "0.02"]
    processes = [
        subprocess.Popen(
            [sys.executable, script, str(path), "--learning-rate", rate, "--steps", "50"],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        for rate in rates
    ]
    outputs = [p.communicate(timeout=120)[0] for p in processes]
    assert [p.returncode for p in processes] == [0, 0]
    assert all("held-out accuracy" in text for text in outputs)
    ensemble = Ensemble.open(path)
    table = ensemble.run_table()
    assert sorted(table["learning_rate"]) == [0.02, 0.1]
    assert list(table["state"]) == ["COMPLETE"] * 2
    assert len(ensemble.groups) == 2
    assert ensemble.recorded_steps == [0, 20, 40, 50]
    assert np.isfinite(ensemble.curve("accuracy").values).all()
    text = (path.parent / "my.pvens.d" / "runs.csv").read_text()
    assert len(text.splitlines()) == 3
