"""Embeddings: stress against scikit-learn, exact cases, bad input, orientation, animation."""

from __future__ import annotations

import inspect
import sys
import warnings

import numpy as np
import pytest
from sklearn.manifold import smacof as sklearn_smacof

from pvensemble.errors import OptionError
from pvensemble.numerics import embedding as module
from pvensemble.numerics import smacof as smacof_module
from pvensemble.numerics.alignment import canonical
from pvensemble.numerics.embedding import METHODS, embed, procrustes
from pvensemble.numerics.pair_distances import PairDistances
from pvensemble.numerics.smacof import smacof

QUICK = ("mds", "classical", "landmark", "pca")


def standardized(rows):
    rows = np.asarray(rows, dtype=np.float64)
    rows = rows - rows.mean(axis=1, keepdims=True)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def sheet(n, *, noise=0.3, length=200, seed=0, shift=0.0):
    """Vectors of runs over two parameters, and the parameters."""
    generator = np.random.default_rng(seed)
    parameters = generator.random((n, 2))
    waves = 1.5 * generator.standard_normal((2, length))
    phase = generator.random(length) * 2 * np.pi
    rough = generator.standard_normal((n, length))
    values = np.cos(parameters @ waves + phase + shift * waves[0]) + noise * rough
    return standardized(values), parameters


def distance_matrix(vectors):
    distances = 1 - vectors.astype(np.float64) @ vectors.T.astype(np.float64)
    np.fill_diagonal(distances, 0)
    return np.maximum(distances, 0)


def between_points(points):
    return np.sqrt(((points[:, None] - points[None]) ** 2).sum(axis=-1))


def stress_of(points, distances):
    return np.sqrt(((between_points(points) - distances) ** 2).sum() / (distances**2).sum())


def sklearn_stress(distances, n_starts=4):
    """The lowest stress of scikit-learn from random starts, in 1.2 and in newer versions."""
    known = inspect.signature(sklearn_smacof).parameters
    options = {"normalized_stress": False} if "normalized_stress" in known else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = [
            sklearn_smacof(
                distances, n_init=1, random_state=i, eps=1e-9, max_iter=1000, init=None, **options
            )[0]
            for i in range(n_starts)
        ]
    return min(stress_of(points, distances) for points in found)


def random_distances(n, seed):
    upper = np.triu(np.random.default_rng(seed).random((n, n)), 1)
    return upper + upper.T


def clusters(n):
    centres = np.random.default_rng(3).standard_normal((4, 60))
    noise = np.random.default_rng(4).standard_normal((n, 60))
    return standardized(centres[np.arange(n) % 4] + 0.4 * noise)


@pytest.mark.parametrize(
    ("distances", "margin"),
    [
        (distance_matrix(sheet(60)[0]), 1e-3),
        (distance_matrix(sheet(121, noise=1.0)[0]), 1e-3),
        (distance_matrix(sheet(200, noise=0.05)[0]), 1e-3),
        (distance_matrix(clusters(100)), 1e-3),
        (between_points(np.random.default_rng(0).standard_normal((80, 6))), 1e-3),
        (random_distances(60, 0), 3e-3),  # no structure, but many local minima
    ],
    ids=["sheet", "noisy", "smooth", "clusters", "euclidean", "random"],
)
def test_stress_is_no_worse_than_scikit_learns(distances, margin):
    found = embed(distances=distances)
    assert found.stress <= sklearn_stress(distances) + margin
    assert found.stress == pytest.approx(stress_of(found.points, distances), abs=1e-6)
    raw = ((between_points(found.points) - distances) ** 2).sum() / 2
    assert found.raw_stress == pytest.approx(raw, rel=1e-4)


def guttman(points, distances):
    now = between_points(points)
    np.fill_diagonal(now, 1)
    ratio = distances / now
    return (points * ratio.sum(axis=1)[:, None] - ratio @ points) / len(points)


@pytest.mark.parametrize("n", [150, 300, 1200])
def test_one_update_is_the_guttman_transform(n):
    distances = random_distances(n, 1)
    start = np.random.default_rng(2).standard_normal((n, 2))
    start -= start.mean(axis=0)
    now = between_points(start)
    scaled = start * (distances * now).sum() / (now**2).sum()
    layout = smacof(PairDistances(matrix=distances), start, max_iterations=1)
    expected = guttman(scaled, distances)
    np.testing.assert_allclose(layout.points, expected - expected.mean(axis=0), atol=2e-6)


def test_quasi_newton_steps_fulfil_the_secant_equation():
    """The inverse Hessian maps the last change of the gradient to the last move."""
    generator = np.random.default_rng(0)
    steps = smacof_module._QuasiNewton()
    hessian = generator.standard_normal((6, 6))
    hessian = hessian @ hessian.T + np.eye(6)
    points = generator.standard_normal((5, 3, 2))
    points[-2] = 0  # where the gradient is zero, so that the next one is its change
    for place in points:
        step = steps.next_step(place, (hessian @ place.ravel()).reshape(3, 2))
    np.testing.assert_allclose(step, points[-1] - points[-2], atol=1e-12)


@pytest.mark.parametrize("noise", [1.0, 2.0, 3.0])
def test_acceleration_is_worth_it(noise):
    """Never worse than plain majorization, and after 60 iterations better than that after 150."""
    vectors = sheet(120, noise=noise)[0]
    distances = distance_matrix(vectors)
    start = embed(vectors, method="pca").points
    plain = [start]
    for _ in range(150):
        plain.append(guttman(plain[-1], distances))
    pairs = PairDistances(matrix=distances)
    for n in (1, 5, 20, 60):
        fast = smacof(pairs, start, max_iterations=n, tolerance=0)
        assert fast.n_iterations <= n
        assert fast.stress < stress_of(plain[n], distances) + 1e-6
    assert fast.stress < stress_of(plain[150], distances) + 1e-5


def test_threads_change_no_bit(monkeypatch):
    vectors, _ = sheet(900, length=40)
    threaded = embed(vectors)
    monkeypatch.setattr(smacof_module, "THREADS_FROM", 10**9)
    np.testing.assert_array_equal(threaded.points, embed(vectors).points)


@pytest.mark.parametrize("n", [40, 256, 257, 300, 1100])
def test_pairs_are_those_of_the_vectors(n):
    """Sizes below, at and beyond the borders of strips, panels and tiles."""
    vectors, _ = sheet(n, length=30)
    vectors[3] = 0
    pairs, expected = PairDistances(vectors), distance_matrix(vectors)
    np.testing.assert_allclose(pairs.matrix(), expected, atol=2e-6)
    np.testing.assert_array_equal(pairs.matrix(), pairs.matrix().T)
    np.testing.assert_allclose(
        pairs.to_runs(np.array([3, n - 1])), expected[:, [3, n - 1]], atol=2e-6
    )
    assert pairs.sum_of_squares() == pytest.approx((expected**2).sum() / 2, rel=1e-5)
    points = np.random.default_rng(0).standard_normal((n, 2))
    layout = smacof(pairs, points, max_iterations=2)
    assert layout.stress == pytest.approx(stress_of(layout.points, expected), abs=1e-5)


@pytest.mark.parametrize("method", ["mds", "classical", "landmark"])
@pytest.mark.parametrize("n", [3, 5, 60, 120])
def test_a_plane_is_found_again(method, n):
    points = np.random.default_rng(n).standard_normal((n, 2))
    found = embed(distances=between_points(points), method=method)
    np.testing.assert_allclose(between_points(found.points), between_points(points), atol=2e-3)
    assert found.stress < 1e-3
    if method != "mds":
        assert found.negative_eigenvalues < 1e-4


@pytest.mark.parametrize("n", [45, 80, 1100])
def test_pca_is_exact(n):
    vectors, _ = sheet(n, noise=0.5, length=60)
    centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    left, values, _ = np.linalg.svd(centred, full_matrices=False)
    expected = left[:, :2] * values[:2]
    for given in ({"vectors": vectors}, {"distances": distance_matrix(vectors)}):
        points = embed(method="pca", **given).points
        signs = np.sign((points * expected).sum(axis=0))
        np.testing.assert_allclose(points * signs, expected, atol=1e-4)


@pytest.mark.parametrize("n", [45, 80])
def test_classical_scaling_and_its_negative_eigenvalues(n):
    distances = distance_matrix(sheet(n, noise=0.2)[0])
    centring = np.eye(n) - 1 / n
    values, vectors = np.linalg.eigh(-0.5 * centring @ distances**2 @ centring)
    expected = vectors[:, :-3:-1] * np.sqrt(values[:-3:-1])
    found = embed(distances=distances, method="classical")
    np.testing.assert_allclose(between_points(found.points), between_points(expected), atol=1e-4)
    share = -values[values < 0].sum() / np.abs(values).sum()
    assert share > 0.01
    assert found.negative_eigenvalues == pytest.approx(share, abs=1e-4)
    landmark = embed(distances=distances, method="landmark")
    np.testing.assert_allclose(landmark.points, found.points, atol=1e-3)


@pytest.mark.parametrize("method", ["mds", "classical", "landmark", "pca"])
def test_distances_against_the_triangle_inequality(method):
    distances = np.array([[0, 0.1, 1], [0.1, 0, 0.1], [1, 0.1, 0]])  # one positive eigenvalue
    found = embed(distances=distances, method=method)
    assert np.isfinite(found.points).all()
    assert np.isfinite(found.stress)
    assert found.points[:, 1] == pytest.approx(0, abs=1e-4)
    if method in ("classical", "landmark"):
        assert 0.1 < found.negative_eigenvalues < 0.5


def test_landmarks_are_close_to_classical_scaling():
    vectors, _ = sheet(1200, length=50)
    exact, quick = embed(vectors, method="classical"), embed(vectors, method="landmark")
    assert "1000 runs" in exact.note
    assert "400 runs" in quick.note
    assert quick.stress < exact.stress + 0.01
    np.testing.assert_allclose(exact.negative_eigenvalues, quick.negative_eigenvalues, atol=0.06)


def test_more_runs_than_pairs_can_be_held_of(monkeypatch):
    monkeypatch.setattr(module, "MAX_PAIRWISE", 100)
    found = embed(sheet(101)[0], method="tsne")
    assert "landmark" in found.note
    assert np.isfinite(found.points).all()


@pytest.mark.parametrize("method", QUICK)
def test_neighbours_in_parameters_are_neighbours_in_the_plane(method):
    vectors, parameters = sheet(150)
    points = embed(vectors, method=method).points
    agreement = np.corrcoef(between_points(points).ravel(), between_points(parameters).ravel())
    assert agreement[0, 1] > 0.85


def test_tsne_keeps_clusters_together():
    found = embed(clusters(60), method="tsne", seed=1)
    distances = between_points(found.points) + 1e9 * np.eye(60)
    np.testing.assert_array_equal(distances.argmin(axis=1) % 4, np.arange(60) % 4)
    assert np.isnan(found.stress)
    assert "perplexity 19.7" in found.note


@pytest.mark.parametrize("method", [*QUICK, "tsne"])
def test_same_bits_twice(method):
    vectors = clusters(70)
    first, second = (embed(vectors, method=method, seed=5) for _ in range(2))
    np.testing.assert_array_equal(first.points, second.points)
    assert first.stress == second.stress or np.isnan(first.stress)


@pytest.mark.parametrize("method", [m for m in METHODS if m != "umap"])
@pytest.mark.parametrize("n", [0, 1, 2, 3, 4])
def test_few_runs(method, n):
    vectors = sheet(4)[0][:n]
    found = embed(vectors, method=method)
    assert found.points.shape == (n, 2)
    assert np.isfinite(found.points).all()
    if n == 2 and method == "mds":
        distance = 1 - float(vectors[0] @ vectors[1])
        np.testing.assert_allclose(between_points(found.points)[0, 1], distance, rtol=1e-5)
        np.testing.assert_allclose(found.points[:, 1], 0, atol=1e-6)


@pytest.mark.parametrize("method", [m for m in METHODS if m != "umap"])
@pytest.mark.parametrize("n", [2, 6, 80])
def test_identical_runs_lie_together(method, n):
    found = embed(np.repeat(sheet(1)[0], n, axis=0), method=method)
    np.testing.assert_allclose(found.points, 0, atol=1e-3)
    assert found.stress == 0


@pytest.mark.parametrize("method", QUICK)
def test_some_identical_runs_lie_together(method):
    vectors = sheet(70)[0]
    vectors[40:] = vectors[7]
    points = embed(vectors, method=method).points
    np.testing.assert_allclose(points[40:], np.tile(points[7], (30, 1)), atol=2e-4)


@pytest.mark.parametrize("method", [*QUICK, "tsne"])
@pytest.mark.parametrize("n_alive", [0, 1, 3, 50])
def test_constant_runs_have_places(method, n_alive):
    vectors = sheet(60)[0]
    vectors[n_alive:] = 0
    points = embed(vectors, method=method).points
    assert np.isfinite(points).all()
    if method == "mds":  # all at distance 1 from each other: none may hide another
        apart = between_points(points[n_alive:]) + np.eye(60 - n_alive)
        assert apart.min() > 1e-3


@pytest.mark.parametrize("method", [*QUICK, "tsne"])
def test_runs_without_data_have_none(method):
    vectors = sheet(50)[0]
    with_gaps = vectors.copy()
    with_gaps[[0, 7]] = np.nan
    with_gaps[20, 3] = np.nan
    kept = np.setdiff1d(np.arange(50), [0, 7, 20])
    found = embed(with_gaps, method=method)
    assert np.isnan(found.points[[0, 7, 20]]).all()
    np.testing.assert_allclose(found.points[kept], embed(vectors[kept], method=method).points)
    assert "3 of 50 runs" in found.note


def test_runs_that_cannot_be_compared_are_left_out():
    distances = distance_matrix(sheet(30)[0])
    distances[:12, 12:] = distances[12:, :12] = np.nan
    found = embed(distances=distances)
    assert np.isnan(found.points[:12]).all()
    alone = embed(distances=distances[12:, 12:])
    np.testing.assert_allclose(found.points[12:], alone.points)
    distances[20, 25] = distances[25, 20] = np.nan
    points = embed(distances=distances).points
    assert np.isnan(points[25]).all()
    assert np.isfinite(np.delete(points[12:], 13, axis=0)).all()
    nothing = embed(distances=np.full((3, 3), np.nan))
    assert np.isfinite(nothing.points).all(axis=1).sum() == 1


def test_the_diagonal_of_distances_is_not_read():
    distances = distance_matrix(sheet(300)[0])
    points = embed(distances=distances).points
    for value in (np.nan, 5.0):
        np.fill_diagonal(distances, value)
        np.testing.assert_array_equal(embed(distances=distances).points, points)


def test_all_runs_without_data():
    assert np.isnan(embed(np.full((4, 9), np.nan)).points).all()


@pytest.mark.parametrize("method", QUICK)
def test_order_of_runs_does_not_matter(method):
    vectors = sheet(90)[0]
    order = np.random.default_rng(0).permutation(90)
    points = embed(vectors, method=method).points
    np.testing.assert_allclose(
        embed(vectors[order], method=method).points, points[order], atol=3e-3
    )


@pytest.mark.parametrize("method", QUICK)
def test_noise_does_not_turn_the_layout(method):
    vectors = sheet(121)[0]
    points = embed(vectors, method=method).points
    rough = np.random.default_rng(1).standard_normal(vectors.shape)
    moved = embed(standardized(vectors + 1e-3 * rough), method=method).points
    assert np.abs(moved - points).max() < 0.05 * np.abs(points).max()


def test_canonical_orientation_undoes_turns_and_reflections():
    points = np.random.default_rng(0).gamma(1.5, 1.0, (40, 2)) * [3, 1]
    expected = canonical(points)
    assert (expected**3).sum(axis=0).min() > 0
    assert np.std(expected[:, 0]) > np.std(expected[:, 1])
    for turned in (points[:, ::-1] + 5, points @ np.array([[0.6, -0.8], [0.8, 0.6]]), -points):
        np.testing.assert_allclose(canonical(turned), expected, atol=1e-9)
    line = np.column_stack([np.arange(5.0), np.zeros(5)])
    assert (np.diff(canonical(line)[:, 0]) > 0).all()
    np.testing.assert_allclose(canonical(-line), canonical(line), atol=1e-12)


def rotation(angle):
    return np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])


@pytest.mark.parametrize("reflect", [1, -1])
def test_procrustes_finds_rotation_reflection_and_shift(reflect):
    reference = np.random.default_rng(0).standard_normal((20, 2))
    points = (reference * [1, reflect]) @ rotation(2.0) + [4, -7]
    np.testing.assert_allclose(procrustes(points, reference), reference, atol=1e-12)
    half = procrustes(2 * points, reference)  # nothing is scaled
    np.testing.assert_allclose(between_points(half), 2 * between_points(reference), atol=1e-12)


def test_procrustes_matches_the_given_and_the_known_rows():
    reference = np.random.default_rng(0).standard_normal((20, 2))
    points = reference @ rotation(1.0)
    points[10:] += np.random.default_rng(1).standard_normal((10, 2))
    expected = points @ rotation(-1.0)
    np.testing.assert_allclose(procrustes(points, reference, np.arange(10)), expected, atol=1e-12)
    mask = np.arange(20) < 10
    np.testing.assert_allclose(procrustes(points, reference, mask), expected, atol=1e-12)
    reference[10:] = np.nan
    np.testing.assert_allclose(procrustes(points, reference), expected, atol=1e-12)
    points[0] = np.nan
    np.testing.assert_allclose(procrustes(points, reference)[1:], expected[1:], atol=1e-12)


def test_procrustes_of_too_few_rows():
    points = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]])
    reference = np.full((3, 2), np.nan)
    np.testing.assert_array_equal(procrustes(points, reference), points)
    reference[0] = [5, 5]
    np.testing.assert_allclose(procrustes(points, reference), points + 5)
    for x, y in ((1, 0), (0, 1), (-1, 0), (0, -1), (0.6, 0.8), (-0.6, 0.8)):
        reference[1] = [5 + x, 5 + y]  # a turn, and no reflection
        aligned = procrustes(points, reference)
        np.testing.assert_allclose(aligned[2], [5 - 2 * y, 5 + 2 * x], atol=1e-12)


def movement(layouts):
    return sum(np.linalg.norm(b - a, axis=1).sum() for a, b in zip(layouts, layouts[1:]))


def animation(method, n, n_steps):
    """Vectors of smoothly changing runs, layouts of each alone, and of each from the last one."""
    steps = [sheet(n, shift=s)[0] for s in np.linspace(0, 1, n_steps)]
    alone = [embed(v, method=method).points for v in steps]
    aligned = [alone[0]]
    for vectors in steps[1:]:
        aligned.append(embed(vectors, method=method, start=aligned[-1]).points)
    return steps, alone, aligned


@pytest.mark.parametrize("method", QUICK)
def test_an_animation_moves_no_more_than_the_runs(method):
    steps, alone, aligned = animation(method, 80, 12)
    apart = [np.linalg.norm(b - a, axis=1).sum() for a, b in zip(steps, steps[1:])]
    assert movement(aligned) < movement(alone)
    assert movement(aligned) < sum(apart)


def test_an_animation_of_tsne_holds_together():
    _, alone, aligned = animation("tsne", 60, 6)
    assert movement(aligned) < 0.3 * movement(alone)


def test_a_layout_that_is_found_already_stays():
    vectors = sheet(100)[0]
    first = embed(vectors)
    turned = first.points @ rotation(0.7) + [3, 1]
    again = embed(vectors, start=turned)
    np.testing.assert_allclose(again.points, turned, atol=2e-3)
    assert again.n_iterations <= 3


@pytest.mark.parametrize("place", ["one", "line", "pair"])
def test_runs_leave_a_place_that_they_shared(place, monkeypatch):
    """Majorization alone moves runs at the same place, or on one line, alike for ever."""
    monkeypatch.setattr(module, "MAX_AFRESH", 0)
    points = np.random.default_rng(0).standard_normal((60, 2))
    start = points.copy()
    if place == "one":
        start[:] = 3
    elif place == "line":
        start[:, 1] = 0
    else:
        start[5] = start[7]
    found = embed(distances=between_points(points), start=start)
    assert found.stress < 1e-3


def test_a_dead_end_is_left():
    """Clusters at the corners of a square, two of which have changed places, never change back."""
    corners = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    noise = 0.05 * np.random.default_rng(0).standard_normal((80, 2))
    points = np.repeat(corners, 20, axis=0) + noise
    swapped = np.repeat(corners[[1, 0, 2, 3]], 20, axis=0) + noise
    distances = between_points(points)
    assert smacof(PairDistances(matrix=distances), swapped).stress > 0.2
    found = embed(distances=distances, start=swapped)
    assert found.stress < 1e-3
    assert "afresh" in found.note
    assert embed(distances=distances, start=points).note == ""


@pytest.mark.parametrize("method", [*QUICK, "tsne"])
def test_new_and_lost_runs_in_an_animation(method):
    vectors = sheet(60)[0]
    start = embed(vectors, method=method).points
    start[[2, 3]] = np.nan
    vectors[9] = np.nan
    points = embed(vectors, method=method, start=start).points
    assert np.isnan(points[9]).all()
    assert np.isfinite(np.delete(points, 9, axis=0)).all()
    known = np.setdiff1d(np.arange(60), [2, 3, 9])
    moved = np.linalg.norm(points[known] - start[known], axis=1)
    assert np.median(moved) < 0.1 * np.ptp(start[known], axis=0).max()


def test_start_without_any_place_is_none():
    vectors = sheet(30)[0]
    points = embed(vectors, start=np.full((30, 2), np.nan)).points
    np.testing.assert_array_equal(points, embed(vectors).points)


def test_large_layouts_are_tiled(monkeypatch):
    """Tiles of a few columns give what whole rows give."""
    vectors, _ = sheet(500, length=40)
    whole = embed(vectors)
    monkeypatch.setattr(smacof_module, "TILE_COLUMNS", 96)
    tiled = embed(vectors)
    np.testing.assert_allclose(tiled.points, whole.points, atol=1e-4)
    assert tiled.stress == pytest.approx(whole.stress, abs=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"vectors": np.eye(4), "method": "tsme"}, "did you mean 'tsne'"),
        ({}, "either vectors or distances"),
        ({"vectors": np.eye(4), "distances": np.eye(4)}, "either vectors or distances"),
        ({"vectors": np.ones(4)}, r"shape \(4,\)"),
        ({"distances": np.ones((4, 3))}, r"shape \(4, 3\)"),
        ({"vectors": np.eye(4), "start": np.ones((3, 2))}, r"\(4, 2\)"),
        ({"vectors": 3 * np.eye(4)}, "norm 3"),
        ({"distances": np.eye(4) - 1}, "negative"),
        ({"distances": np.triu(np.ones((4, 4)), 1)}, "symmetric"),
    ],
)
def test_mistakes_are_named(options, message):
    with pytest.raises(OptionError, match=message):
        embed(**options)


def test_input_is_left_alone():
    vectors, distances = sheet(60)[0], distance_matrix(sheet(60)[0])
    start = np.random.default_rng(0).standard_normal((60, 2))
    copies = vectors.copy(), distances.copy(), start.copy()
    for method in (*QUICK, "tsne"):
        embed(vectors, method=method, start=start)
        embed(distances=distances, method=method, start=start)
    for given, copy in zip((vectors, distances, start), copies):
        np.testing.assert_array_equal(given, copy)


def test_absent_umap_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(OptionError, match="pip install umap-learn"):
        embed(sheet(20)[0], method="umap")


@pytest.mark.slow
def test_umap_keeps_clusters_together():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("umap")
    found = embed(clusters(60), method="umap", seed=1)
    again = embed(clusters(60), method="umap", seed=1)
    distances = between_points(found.points) + 1e9 * np.eye(60)
    np.testing.assert_array_equal(distances.argmin(axis=1) % 4, np.arange(60) % 4)
    np.testing.assert_array_equal(found.points, again.points)
