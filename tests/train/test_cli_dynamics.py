"""``pvensemble dynamics``: the update rule holds in trainings, and the numbers are right."""

from __future__ import annotations

import csv
import io
import sys
from pathlib import Path

import numpy as np
import pytest
from training_cases import tiny_config

from pvensemble import cli, schema
from pvensemble.numerics.norms import fit_power_law, quantity_of
from pvensemble.numerics.trajectories import motion
from pvensemble.store import Ensemble
from pvensemble.train.trainer import train

sys.path.insert(0, str(Path(__file__).parents[1] / "filters"))

from dynamics_samples import STEPS, jitter, make_dynamics, straight, walk

PLAIN = (
    "train.weight_decay=0.0",
    "record.every=1",
    'record.kinds=["weight","gradient"]',
    "session.0.space.learning_rate=[0.05]",
)


def rows(capsys, *args):
    assert cli.main(["dynamics", *map(str, args), "--csv", "-"]) == 0
    return list(csv.DictReader(io.StringIO(capsys.readouterr().out)))


def trained(tmp_path, *overrides):
    config = tiny_config(tmp_path, *PLAIN, *overrides)
    path = tmp_path / "tiny.pvens"
    train(config, path, workers=0)
    return path


def test_plain_gradient_descent_follows_equation_1(tmp_path, capsys):
    path = trained(tmp_path, "session.0.space.momentum=[0.0]", "train.schedule=inv")
    (row,) = rows(capsys, path, "--layer", "conv2")
    assert row["updates_checked"] == "12"
    assert float(row["residual_of_weights"]) < 2e-7
    assert float(row["residual_of_update"]) < 1e-4
    assert row["update_rule"] == "checked"


def test_momentum_and_decay_are_accounted_for_and_other_optimizers_refused(tmp_path, capsys):
    space = ("session.0.space.momentum=[0.0, 0.9]", "train.weight_decay=0.01")
    optimizers = 'session.0.space.optimizer=["sgd", "adam"]'
    path = trained(tmp_path, *space, optimizers)
    found = rows(capsys, path, "--layer", "conv1")
    assert len(found) == 4
    notes = [row["update_rule"] for row in found]
    assert sorted(notes) == [
        "checked",
        "checked",
        "does not apply to adam",
        "does not apply to adam",
    ]
    for row in found:
        if row["update_rule"] == "checked":
            assert float(row["residual_of_weights"]) < 2e-7
        else:
            assert row["residual_of_weights"] == ""


@pytest.fixture(scope="module")
def moving(tmp_path_factory):
    weights = [walk(1, 4), straight(2, 4), jitter(3, 4)]
    weights[2][31:] = weights[2][30]
    path = tmp_path_factory.mktemp("cli") / "moving.pvens"
    return make_dynamics(path, weights, states={2: (schema.DIVERGED, 300)})


def test_numbers_are_those_of_the_weights(moving, capsys):
    found = rows(capsys, moving.path, "--interval", "50", "400", "--quantity", "norm")
    assert [row["motion"] for row in found] == ["random walk", "directed", "confined"]
    assert [row["recorded_steps"] for row in found] == ["41", "41", "31"]
    for row, weights in zip(found, moving.weights):
        n = int(row["recorded_steps"])
        path = weights[:n].reshape(n, -1).astype(np.float32)
        assert float(row["msd_exponent"]) == pytest.approx(motion(path).exponent, rel=1e-5)
        norms = np.linalg.norm(path.astype(float), axis=1)[None]
        fit = fit_power_law(np.array(STEPS[:n]), quantity_of(norms, "norm"), (50, 400))
        assert float(row["norm_exponent"]) == pytest.approx(fit.exponent[0], rel=1e-4, abs=1e-6)
        signs = np.sign(path)
        flips = np.sum(signs[1:] != signs[:-1], axis=0)
        assert float(row["never_flipped"]) == pytest.approx(np.mean(flips == 0))
    assert "not known" in found[0]["update_rule"]


def test_few_runs_at_a_time_give_the_same(moving, capsys, monkeypatch):
    from pvensemble.cli import dynamics

    expected = rows(capsys, moving.path)
    monkeypatch.setattr(dynamics, "MAX_BYTES", 0)
    assert rows(capsys, moving.path) == expected


def test_for_people(moving, capsys):
    assert cli.main(["dynamics", str(moving.path)]) == 0
    table = capsys.readouterr().out
    assert "msd_exponent" in table
    assert table.count("\n") == 4
    assert cli.main(["dynamics", str(moving.path), "--run", "1"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("conv of run 1\n")
    assert "goes on in its direction, unlike a random walk" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--layer", "conw"), "did you mean 'conv'"),
        (("--run", "7"), "there is no run 7"),
        (("--interval", "50", "10"), "the start is after the end"),
        (("--config", "nothing.toml"), "says nothing of its model and data"),
    ],
)
def test_mistakes_are_named(moving, arguments, message, capsys):
    assert cli.main(["dynamics", str(moving.path), *arguments]) == 2
    assert message in capsys.readouterr().err


def test_an_ensemble_without_weights_is_explained(tmp_path, capsys):
    made = make_dynamics(tmp_path / "none.pvens", [walk(1, 4)], kinds=(schema.CORRELATION,), upto=2)
    assert Ensemble.open(made.path).n_runs == 1
    assert cli.main(["dynamics", str(made.path)]) == 2
    assert "no weight of any layer is recorded; train with 'weight'" in capsys.readouterr().err
