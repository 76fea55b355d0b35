"""The layout of units over time: its kernel by value, what it shows, what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

from pvensemble.errors import OptionError
from pvensemble.numerics.unit_embedding import (
    NEIGHBORS,
    chosen_steps,
    diffusion_potential,
    diffusion_time,
    embed_units,
    multislice_kernel,
)


def splitting_units(n_steps=24, n_units=12, *, seed=0):
    """Units that begin alike and end in three clusters."""
    rng = np.random.default_rng(seed)
    centers = 3 * rng.normal(size=(3, 9))
    t = np.linspace(0, 1, n_steps)[:, None, None]
    own = 0.3 * rng.normal(size=(n_units, 9))
    noise = 0.02 * rng.normal(size=(n_steps, n_units, 9))
    return own * (1 - t) + centers[np.arange(n_units) % 3] * t + noise


def test_the_kernel_by_its_definition():
    units = np.random.default_rng(1).normal(size=(4, 7, 3))
    kernel = multislice_kernel(units)
    n_units = 7
    between = np.mean(
        [
            sorted(np.linalg.norm(units[s, i] - units[:, i], axis=1))[1]
            for s in range(4)
            for i in range(n_units)
        ]
    )

    def one_way(s, i, t, j):
        distance = np.linalg.norm(units[s, i] - units[t, j])
        if s == t:
            width = sorted(np.linalg.norm(units[s, i] - units[s], axis=1))[NEIGHBORS]
            return np.exp(-((distance / width) ** 2))
        return np.exp(-((distance / between) ** 2)) if i == j else 0.0

    points = [(s, i) for s in range(4) for i in range(n_units)]
    expected = [[0.5 * (one_way(*p, *q) + one_way(*q, *p)) for q in points] for p in points]
    np.testing.assert_allclose(kernel, expected, atol=1e-9)


def test_the_potential_is_of_the_powers_of_the_random_walk():
    kernel = multislice_kernel(splitting_units(6, 5))
    walk = kernel / kernel.sum(axis=1, keepdims=True)
    values = np.clip(np.sort(np.linalg.eigvals(walk).real), 0, 1)
    time = diffusion_time(values)
    power = np.linalg.matrix_power(walk, time)
    # Negative eigenvalues are left out; after some steps of the walk nothing of them is left.
    np.testing.assert_allclose(np.exp(-diffusion_potential(kernel)), power, atol=2e-3)


def test_units_that_become_alike_end_together_and_paths_are_steady():
    n_steps, n_units = 24, 24
    embedding = embed_units(splitting_units(n_steps, n_units))
    places = embedding.points.reshape(n_steps, n_units, 2)
    end = places[-1]
    apart = np.linalg.norm(end[:, None] - end, axis=2)
    alike = np.arange(n_units)[:, None] % 3 == np.arange(n_units) % 3
    assert apart[~alike].min() > 3 * apart[alike].max()
    moves = np.linalg.norm(np.diff(places, axis=0), axis=2)
    assert np.median(moves) < 0.1 * np.ptp(places, axis=(0, 1)).max()
    assert embedding.stress < 0.3


def test_the_same_input_gives_the_same_bits_and_units_keep_their_places():
    units = splitting_units()
    first, again = embed_units(units), embed_units(units.copy())
    np.testing.assert_array_equal(first.points, again.points)
    order = np.random.default_rng(2).permutation(12)
    permuted = embed_units(units[:, order]).points.reshape(24, 12, 2)
    places = first.points.reshape(24, 12, 2)[:, order]

    def distances(x):
        x = x.reshape(-1, 2)
        return np.linalg.norm(x[:, None] - x, axis=2)

    assert np.corrcoef(distances(permuted).ravel(), distances(places).ravel())[0, 1] > 0.98


def test_without_links_over_time_steps_would_fall_apart():
    """Negative control: what the links between the steps of a unit are for."""
    units = splitting_units()
    kernel = multislice_kernel(units)
    blocks = np.kron(np.eye(24), np.ones((12, 12)))
    n_parts = [
        np.sum(np.linalg.eigvalsh(_normalized(k)) > 1 - 1e-6) for k in (kernel, kernel * blocks)
    ]
    assert n_parts == [1, 24]


def _normalized(kernel):
    root = np.sqrt(kernel.sum(axis=1))
    return kernel / np.outer(root, root)


def test_units_without_any_difference_lie_at_one_place():
    embedding = embed_units(np.ones((5, 4, 3)))
    np.testing.assert_array_equal(embedding.points, np.zeros((20, 2)))
    assert "no unit differs" in embedding.note
    dead = splitting_units()
    dead[:, 0] = 0.0
    dead[:, 1] = 0.0
    assert np.isfinite(embed_units(dead).points).all()


def test_steps_are_thinned_and_too_many_units_refused():
    np.testing.assert_array_equal(chosen_steps(10, 16), np.arange(10))
    kept = chosen_steps(500, 16)
    assert len(kept) == 100
    assert (kept[0], kept[-1]) == (0, 499)
    with pytest.raises(OptionError, match=r"the layer has 1,024 units; the paths of at most 533"):
        chosen_steps(500, 1024)
    with pytest.raises(OptionError, match="at least 3 recorded steps, there are 2"):
        chosen_steps(2, 16)
    with pytest.raises(OptionError, match="more than 1,600"):
        embed_units(np.zeros((200, 10, 2)))
