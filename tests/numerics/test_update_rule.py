"""The update rule: weights that follow it, and planted deviations."""

from __future__ import annotations

import numpy as np
import pytest

from pvensemble.numerics.update_rule import UpdateCheck


def rate(step):
    return 0.1 / (1 + step)


def trained(*, momentum=0.0, decay=0.0, nesterov=False, n_steps=12, dtype=np.float32):
    """Weights and gradients (n_steps, 20) as stochastic gradient descent makes them."""
    rng = np.random.default_rng(0)
    weights, velocity, found = rng.normal(size=20), np.zeros(20), []
    for step in range(n_steps):
        gradient = weights + rng.normal(size=20)
        found.append((weights.astype(dtype), gradient.astype(dtype)))
        full = gradient + decay * weights
        velocity = momentum * velocity + full
        weights = weights - rate(step) * (full + momentum * velocity if nesterov else velocity)
    return found


def checked(found, steps=None, **options):
    check = UpdateCheck(rate, **options)
    for step in range(len(found)) if steps is None else steps:
        check.add(step, *found[step])
    return check


@pytest.mark.parametrize(
    ("made", "told"),
    [
        ({}, {}),
        ({"decay": 0.3}, {"weight_decay": 0.3}),
        ({"momentum": 0.9}, {"momentum": 0.9}),
        ({"momentum": 0.9, "nesterov": True}, {"momentum": 0.9, "nesterov": True}),
    ],
)
def test_weights_that_follow_the_rule(made, told):
    check = checked(trained(**made), **told)
    assert check.n_updates == 11
    assert check.of_weights < 3e-7
    exact = checked(trained(**made, dtype=np.float64), **told)
    assert exact.largest < 1e-14
    # Negative control: what is not told is missed.
    if told:
        assert checked(trained(**made)).of_update > 0.05


def test_a_planted_wrong_gradient_is_found():
    found = trained(dtype=np.float64)
    found[5][1][3] += 1.0
    check = checked(found)
    assert check.largest == pytest.approx(rate(5))
    assert check.n_updates == 11
    update = rate(5) * np.linalg.norm(found[5][1])
    assert check.of_update == pytest.approx(rate(5) / update)
    assert check.of_weights == pytest.approx(rate(5) / np.linalg.norm(found[5][0]))


def test_only_consecutive_steps_count():
    found = trained(dtype=np.float64)
    assert checked(found, [0, 2, 4]).n_updates == 0
    assert np.isnan(checked(found, [0, 2, 4]).largest)
    check = checked(found, [3, 4, 7, 8, 9])
    assert check.n_updates == 3
    assert check.largest < 1e-14


def test_momentum_needs_all_steps_from_the_first_one():
    found = trained(momentum=0.9, dtype=np.float64)
    assert checked(found, range(1, 12), momentum=0.9).n_updates == 0
    assert checked(found, [0, 1, 2, 5, 6], momentum=0.9).n_updates == 2


def test_a_divergence_is_no_deviation():
    found = trained(dtype=np.float64)
    found[8] = (np.full(20, np.nan), np.full(20, np.nan))
    check = checked(found, range(9))
    assert check.n_updates == 7
    assert check.largest < 1e-14
