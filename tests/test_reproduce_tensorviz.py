"""``scripts/reproduce-tensorviz``: observations that hold and that are violated, and the whole
script on tiny networks."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts"))

from reproduce_tensorviz import cost, growth, redundancy, walks
from reproduce_tensorviz.study import Dynamics, Reduction
from reproduction.finding import FAILS, HOLDS, PARTLY
from test_reproduce_hamid import write_digits

ROOT = Path(__file__).resolve().parent.parent
STEPS = np.arange(0, 5001, 50)
N_PLAIN, N_HIGH = 3, 2


def dynamics(**changes) -> Dynamics:
    """Runs as the poster describes them: three plain ones and two that get stuck at step 100."""
    rng = np.random.default_rng(5)
    n = N_PLAIN + N_HIGH
    start = rng.choice([-1.0, 1.0], (n, 1, 400)) * rng.uniform(1, 2, (n, 1, 400))
    noise = np.cumsum(rng.normal(0, 0.01, (n, len(STEPS), 400)), axis=1)
    path = start * (1 + 0.3 * np.sqrt(STEPS / STEPS[-1]))[:, None] + noise
    still = np.where(STEPS < 100, np.arange(len(STEPS)), 2)
    path[N_PLAIN:] = path[N_PLAIN:, still]
    walk = start + np.cumsum(rng.normal(0, 0.01, path.shape), axis=1)
    walk[N_PLAIN:] = path[N_PLAIN:]
    norms = 5 + 0.1 * np.sqrt(STEPS) * np.exp(np.cumsum(rng.normal(0, 0.002, (n, len(STEPS))), 1))
    gradients = np.exp(rng.normal(-2, 0.5, (n, len(STEPS))) - STEPS / 5000)
    alike = np.full((n, 4, 4), 0.2)
    alike[:, 0, 1] = alike[:, 1, 0] = 0.95
    base = Dynamics(
        is_plain=np.arange(n) < N_PLAIN,
        steps=STEPS,
        weight_norm=dict.fromkeys(("conv1", "conv2", "fc1"), norms),
        gradient_norm=dict.fromkeys(("conv1", "conv2", "fc1"), gradients),
        weights={"conv1": path, "conv2": path},
        correlation={"conv1": alike, "conv2": alike},
    )
    if changes.pop("walks", False):
        base = replace(base, weights={"conv1": walk, "conv2": walk})
    return replace(base, **changes)


def reduction(left: float = 12, lost: float = 0.0, best: float = 0.993) -> Reduction:
    """Three seeds as they are and with a threshold of 0.8, over 20 epochs."""
    epochs = np.arange(1, 21.0)
    accuracy = best - 0.05 * np.exp(-epochs / 2) + 1e-4 * np.arange(6)[:, None] % 3
    accuracy[3:] = accuracy[:3] - lost
    n_filters = np.full((6, 5), 16)
    n_filters[3:, -1] = left
    return Reduction(
        seed=np.array([1, 2, 3, 1, 2, 3]),
        threshold=np.array([np.nan] * 3 + [0.8] * 3),
        epochs=epochs,
        accuracy=accuracy,
        n_filters={"conv1": n_filters, "conv2": 2 * n_filters},
    )


def straight() -> dict:
    """Weights that go straight on and lose their sign."""
    path = dynamics().weights["conv1"][:, :1] * (1 - 2 * STEPS / STEPS[-1])[None, :, None]
    return {"conv1": path, "conv2": path}


def memory() -> dict:
    """Gradient norms of which each is nearly the one before."""
    walk = np.exp(np.sin(np.linspace(0, 40, len(STEPS)))[None].repeat(5, 0))
    return dict.fromkeys(("conv1", "conv2", "fc1"), walk)


def slower() -> dict:
    """Norms that grow with the fifth root."""
    return dict.fromkeys(("conv1", "conv2", "fc1"), 5 + 0.1 * STEPS[None].repeat(5, 0) ** 0.2)


def moving() -> dict:
    """No run stands still."""
    path = dynamics().weights["conv1"].copy()
    path[N_PLAIN:] = path[:N_HIGH]
    return {"conv1": path, "conv2": path}


UNLIKE = dict.fromkeys(("conv1", "conv2"), np.eye(4)[None].repeat(5, 0))


@pytest.mark.parametrize(
    ("observe", "true", "violated"),
    [
        (growth.random_gradients, dynamics(), dynamics(gradient_norm=memory())),
        (growth.darker_colours, dynamics(), dynamics(weights=straight())),
        (walks.random_walk, dynamics(walks=True), dynamics(weights=straight())),
        (walks.stuck_weights, dynamics(), dynamics(weights=moving())),
        (redundancy.redundant_filters, dynamics(), dynamics(correlation=UNLIKE)),
        (redundancy.accuracy_reached, reduction(), reduction(best=0.98)),
        (redundancy.reduction_keeps_accuracy, reduction(), reduction(left=16, lost=0.01)),
    ],
)
def test_an_observation_holds_where_it_is_true_and_fails_where_it_is_not(observe, true, violated):
    assert observe(true).verdict == HOLDS, observe(true)
    assert observe(violated).verdict == FAILS, observe(violated)


def test_growth_with_the_square_root_is_found_and_another_power_is_not():
    found = growth.square_root_growth(dynamics())
    exponents = [s.value for s in found.statistics if "minus its first" in s.name]
    assert exponents == pytest.approx([0.5] * 3, abs=0.06)
    assert found.verdict == PARTLY  # by the other reading it is a quarter
    assert growth.square_root_growth(dynamics(weight_norm=slower())).verdict == FAILS


def test_a_tenth_of_a_point_may_be_lost():
    assert redundancy.reduction_keeps_accuracy(reduction(lost=0.0009)).verdict == HOLDS
    assert redundancy.reduction_keeps_accuracy(reduction(lost=0.0011)).verdict == PARTLY
    assert redundancy.reduction_keeps_accuracy(reduction(left=14)).verdict == PARTLY


def test_the_time_of_a_step_is_compared_with_that_of_the_whole_network(monkeypatch):
    for ratio, verdict in ((1.02, HOLDS), (0.9, PARTLY), (0.5, FAILS)):
        monkeypatch.setattr(cost, "timed", lambda model, other, r=ratio: np.full(5, r))
        assert cost.time_of_a_step(reduction()).verdict == verdict


TINY = (
    *("steps=300", "record.probe=32", "evaluate.size=50", "evaluate.test_every=100"),
    *("data.train=600", "data.validation=100", "data.test=200", "train.batch_size=16"),
    *("model.conv1=4", "model.conv2=6", "model.fc1=16", "reduce.every=100"),
)


def test_script_trains_computes_and_reports(tmp_path):
    write_digits(tmp_path / "data" / "MNIST" / "raw")
    where = ("--data", tmp_path / "data", "-o", tmp_path / "out", "--docs", tmp_path / "docs")
    command = [ROOT / "scripts" / "reproduce-tensorviz", *where, "--no-figures", "--set", *TINY]
    done = subprocess.run(
        list(map(str, command)),
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "docs" / "reproduction" / "tensorviz.md").read_text()
    assert "| runs | 7 (" in text
    kept = json.loads((tmp_path / "docs" / "reproduction" / "tensorviz.json").read_text())
    assert [f["key"] for f in kept["findings"]] == list("123456789")
    assert max(s["value"] for s in kept["update_rule"]) < 1e-4
    again = subprocess.run(
        [*map(str, command[:1]), "--as-is", "-o", str(tmp_path / "none")],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert again.returncode == 2
    assert "dynamics.pvens" in again.stderr
