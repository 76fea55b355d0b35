"""``pvensemble schedule``: the learning rates that a training will use."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest

from pvensemble import cli
from pvensemble.cli.schedule import BARS, PLAIN_BARS, sparkline

TOML = """
steps = 1000
[train]
learning_rate = 0.3
[[session]]
name = "policies"
method = "list"
runs = [
  { schedule = "constant" },
  { schedule = "step", gamma = 0.1, step_size = 400 },
  { schedule = "exp", gamma = 0.999 },
  { schedule = "inv", gamma = 1e-4, power = 0.75 },
  { schedule = "poly", power = 2.0 },
  { schedule = "sigmoid", gamma = -0.02, step_size = 500 },
  { schedule = "constant", gamma = 0.5, power = 3.0 },
]
"""


@pytest.fixture
def config(tmp_path):
    file = tmp_path / "policies.toml"
    file.write_text(TOML)
    return file


def run(capsys, *args, status=0):
    assert cli.main(["schedule", *map(str, args)]) == status
    return capsys.readouterr()


def curves(text):
    found = {}
    for row in csv.DictReader(io.StringIO(text)):
        found.setdefault(row["policy"], []).append((int(row["step"]), float(row["learning_rate"])))
    return {policy: np.array(rows).T for policy, rows in found.items()}


def test_the_policies_of_caffe_by_their_formulas(config, capsys):
    found = curves(run(capsys, config, "--csv", "-").out)
    t = found["step"][0]
    assert (t[0], t[-1]) == (0, 999)
    formulas = {
        "constant": np.full(len(t), 0.3),
        "step": 0.3 * 0.1 ** np.floor(t / 400),
        "exp": 0.3 * 0.999**t,
        "inv": 0.3 * (1 + 1e-4 * t) ** -0.75,
        "poly": 0.3 * (1 - t / 1000) ** 2,
        "sigmoid": 0.3 / (1 + np.exp(0.02 * (t - 500))),
    }
    assert set(found) == set(formulas)
    for policy, expected in formulas.items():
        np.testing.assert_allclose(found[policy][1], expected, rtol=1e-9, err_msg=policy)


def test_equal_schedules_are_one_and_settings_that_do_not_matter_do_not_count(config, capsys):
    out = run(capsys, config).out
    assert "constant: runs 0,6\n" in out
    assert "sigmoid, gamma -0.02, step_size 500: run 5\n" in out
    assert "0.3 at step 0, 0.003 at 999" in out
    assert out.count("\n") == 2 * 6


def test_settings_and_steps_can_be_changed(config, capsys):
    found = curves(run(capsys, config, "--set", "steps=25", "--every", "10", "--csv", "-").out)
    np.testing.assert_array_equal(found["exp"][0], [0, 10, 20, 24])
    for preset in ("digits", "tensorviz"):
        assert "constant" in run(capsys, preset).out


def test_of_many_schedules_the_first_are_shown(capsys):
    out = run(capsys, "digits", "--set", "session.space.learning_rate={low=1,high=2,num=30}").out
    assert "and 10 more; --csv FILE has all" in out


@pytest.mark.parametrize("bars", [BARS, PLAIN_BARS])
def test_a_small_chart(bars):
    assert len(bars) == 8
    assert sparkline([0, 0.5, 1.0], bars) == bars[0] + bars[4] + bars[7]
    assert sparkline([0.0, 0.0], bars) == 2 * bars[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("tensorvis",), "did you mean 'tensorviz'"),
        (("digits", "--every", "0"), "--every: got 0, allowed: 1 and more"),
        (("digits", "--set", "train.schedule=sigmoit"), "did you mean 'sigmoid'"),
        (("digits", "--set", "train.gamma=-1"), "less than 0 with schedule 'sigmoid' only"),
    ],
)
def test_mistakes_are_named(arguments, message, capsys):
    assert message in run(capsys, *arguments, status=2).err
