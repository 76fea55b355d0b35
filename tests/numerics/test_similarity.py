"""Similarity of runs against numpy.corrcoef, brute force and plain CKA; violations; memory."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from gram_matrices import centred_alignment, gram_matrices
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import pdist, squareform

from pvensemble.errors import OptionError
from pvensemble.numerics.filter_matching import _gains
from pvensemble.numerics.ordering import cluster_order
from pvensemble.numerics.similarity import (
    cka_vectors,
    matched_similarity,
    run_vectors,
    similarity,
)


def correlations(seed: int, n_runs: int = 6, n: int = 8) -> np.ndarray:
    """(n_runs, n, n) as measured: runs with some filters in common, no two values equal."""
    rng = np.random.default_rng(seed)
    common = rng.normal(size=(1, 50, n))
    values = common @ rng.normal(size=(n_runs, n, n)) + rng.normal(size=(n_runs, 50, n))
    return np.stack([np.corrcoef(v.T) for v in values]).astype(np.float32)


def permuted(matrix: np.ndarray, seed: int) -> np.ndarray:
    order = np.random.default_rng(seed).permutation(len(matrix))
    return matrix[np.ix_(order, order)]


def flattened(matrix: np.ndarray, upper: bool) -> np.ndarray:
    """The definition of the paper's vector: |r| in the order of clusters."""
    order = cluster_order(matrix, 0.5).permutation
    ordered = np.abs(matrix[np.ix_(order, order)]).astype(np.float64)
    return ordered[np.triu_indices(len(matrix), 1)] if upper else ordered.ravel()


# -- paper -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("upper", [False, True])
def test_paper_is_the_correlation_of_the_reordered_matrices(upper):
    stack = correlations(0)
    vectors = run_vectors(stack, 0.5, upper=upper)
    assert vectors.dtype == np.float32
    expected = np.corrcoef([flattened(m, upper) for m in stack])
    np.testing.assert_allclose(similarity(vectors), expected, rtol=0, atol=1e-6)
    by_scipy = 1 - squareform(pdist([flattened(m, upper) for m in stack], "correlation"))
    np.testing.assert_allclose(similarity(vectors), by_scipy, rtol=0, atol=1e-6)


def test_paper_does_not_depend_on_the_numbers_of_the_filters():
    stack = correlations(1)
    other = np.stack([permuted(m, i) for i, m in enumerate(stack)])
    np.testing.assert_array_equal(run_vectors(stack), run_vectors(other))


def test_the_order_of_clusters_matters():
    """The negative control: without the order, permuting would change the similarity."""
    stack = correlations(1)
    other = np.stack([permuted(m, i) for i, m in enumerate(stack)])
    plain = [np.corrcoef(np.abs(s).reshape(len(s), -1)) for s in (stack, other)]
    assert np.abs(plain[0] - plain[1]).max() > 0.1


@pytest.mark.parametrize("value", [0.0, 0.4, 1.0])
def test_constant_runs_are_like_no_other(value):
    """As diverged ones are, whose filters are all dead."""
    stack = correlations(2)
    stack[[1, 4]] = value
    stack[:, range(8), range(8)] = 1
    vectors = run_vectors(stack, upper=True)
    assert (vectors[[1, 4]] == 0).all()
    expected = np.eye(6)[[1, 4]]
    np.testing.assert_array_equal(similarity(vectors)[[1, 4]], expected)
    assert np.isfinite(similarity(run_vectors(stack))).all()


def test_rounding_of_a_constant_is_no_pattern():
    stack = np.full((2, 8, 8), 0.3, np.float32)
    stack += np.random.default_rng(0).integers(-1, 2, stack.shape) * np.float32(3e-8)
    assert (run_vectors(stack, upper=True) == 0).all()


def test_values_that_are_not_finite_count_as_dead():
    stack = correlations(2)
    stack[3] = np.nan
    assert np.isfinite(run_vectors(stack)).all()
    stack[3] = 0
    np.testing.assert_array_equal(run_vectors(stack), run_vectors(np.nan_to_num(stack)))


# -- all pairs -------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", [1, 3, 7, 1024])
def test_blocks_change_nothing(block):
    vectors = run_vectors(correlations(3, n_runs=10))
    result = similarity(vectors, block=block)
    np.testing.assert_allclose(result, vectors @ vectors.T, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(result, result.T)
    assert (np.diag(result) == 1).all()
    assert np.abs(result).max() <= 1


def test_rounding_does_not_leave_the_range():
    vectors = np.repeat(run_vectors(correlations(3, n_runs=2)), 3, axis=0) * np.float32(1.00001)
    vectors[3:] = -vectors[:3]
    result = similarity(vectors)
    assert (result.min(), result.max()) == (-1, 1)


def test_the_result_can_be_written_to_a_file(tmp_path):
    vectors = run_vectors(correlations(3, n_runs=10))
    out = np.lib.format.open_memmap(tmp_path / "s.npy", "w+", np.float32, (10, 10))
    assert similarity(vectors, block=4, out=out) is out
    out.flush()
    read = np.load(tmp_path / "s.npy", allow_pickle=False)
    np.testing.assert_array_equal(read, similarity(vectors, block=4))


@pytest.mark.parametrize("shape", [(9, 10), (100,)])
def test_a_wrong_place_for_the_result_is_named(shape):
    with pytest.raises(OptionError, match=r"\(10, 10\)"):
        similarity(run_vectors(correlations(3, n_runs=10)), out=np.empty(shape, np.float32))


@pytest.mark.parametrize("n_runs", [0, 1, 2])
def test_few_runs(n_runs):
    stack = correlations(0)[:n_runs]
    assert similarity(run_vectors(stack)).shape == (n_runs, n_runs)
    matched = matched_similarity(stack)
    assert matched.shape == (n_runs, n_runs)
    assert (np.diag(matched) == 1).all()


@pytest.mark.parametrize("upper", [False, True])
def test_a_layer_of_one_filter(upper):
    vectors = run_vectors(np.ones((3, 1, 1)), upper=upper)
    np.testing.assert_array_equal(similarity(vectors), np.eye(3))
    np.testing.assert_array_equal(matched_similarity(np.ones((3, 1, 1))), np.eye(3))


def test_memory_beside_the_result_is_small():
    import tracemalloc

    vectors = np.random.default_rng(0).normal(size=(3000, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    out = np.empty((3000, 3000), np.float32)
    tracemalloc.start()
    similarity(vectors, block=256, out=out)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 * 256**2


# -- matched ---------------------------------------------------------------------------------------


def brute_force(a: np.ndarray, b: np.ndarray) -> float:
    """Largest correlation over all permutations of the filters of b."""
    flat = np.abs(a).ravel().astype(np.float64)
    orders = (list(p) for p in itertools.permutations(range(len(b))))
    return max(np.corrcoef(flat, np.abs(b[np.ix_(p, p)]).ravel())[0, 1] for p in orders)


@pytest.mark.parametrize("n", [2, 3, 4, 5])
def test_matched_lies_between_paper_and_the_best_of_all_permutations(n):
    stack = correlations(5, n_runs=5, n=n)
    matched, paper = matched_similarity(stack), similarity(run_vectors(stack))
    best = np.array([[brute_force(a, b) for b in stack] for a in stack])
    assert (matched <= best + 1e-5).all()
    assert (matched >= paper - 1e-5).all()
    if n <= 3:
        np.testing.assert_allclose(matched, best, atol=1e-5)


def test_matched_is_almost_the_best_of_six_filters():
    stack = correlations(6, n_runs=5, n=6)
    matched, paper = matched_similarity(stack), similarity(run_vectors(stack))
    pairs = list(itertools.combinations(range(5), 2))
    best = np.array([brute_force(stack[i], stack[j]) for i, j in pairs])
    missing = best - [matched[i, j] for i, j in pairs]
    assert (missing > -1e-5).all()
    assert np.mean(missing) < 0.1 * np.mean(best - [paper[i, j] for i, j in pairs])


def test_gains_are_what_an_exchange_of_two_filters_adds():
    a, b = correlations(8, n_runs=2, n=9)
    gains = _gains(*standardized(a, b))[0]
    before = paper_of(a, b)
    for i, j in itertools.combinations(range(9), 2):
        after = paper_of(a, exchanged(b, i, j))
        assert 2 * gains[i, j] == pytest.approx(after - before, abs=1e-5)


def exchanged(matrix: np.ndarray, i: int, j: int) -> np.ndarray:
    order = np.arange(len(matrix))
    order[[i, j]] = j, i
    return matrix[np.ix_(order, order)]


def paper_of(a: np.ndarray, b: np.ndarray) -> float:
    """Correlation of |a| and |b| as they are."""
    return np.corrcoef(np.abs(a).ravel(), np.abs(b).ravel())[0, 1]


def standardized(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Matrices whose product is the correlation of |a| and |b|; the second as a stack of one."""
    values = [np.abs(m).astype(np.float64) for m in (a, b)]
    values = [v - v.mean() for v in values]
    return values[0] / np.linalg.norm(values[0]), values[1][None] / np.linalg.norm(values[1])


def test_the_same_filters_in_another_order_match_exactly():
    matrix = correlations(7, n_runs=1, n=20)[0]
    stack = np.stack([permuted(matrix, i) for i in range(4)])
    np.testing.assert_allclose(matched_similarity(stack), 1, atol=1e-6)


def noisy(matrix: np.ndarray, seed: int) -> np.ndarray:
    noise = 0.02 * np.random.default_rng(seed).normal(size=matrix.shape)
    result = np.clip(matrix + noise + noise.T, -1, 1)
    np.fill_diagonal(result, 1)
    return result.astype(np.float32)


def test_almost_the_same_filters_in_another_order_are_found():
    matrix = correlations(7, n_runs=1, n=20)[0]
    stack = np.stack([matrix, noisy(permuted(matrix, 0), 0)])
    assert matched_similarity(stack)[0, 1] > 0.98


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.booleans())
def test_matched_depends_neither_on_the_filters_numbers_nor_on_the_runs_order(seed, ties):
    stack = correlations(seed, n_runs=5, n=7)
    if ties:
        stack = np.round(stack, 0)
    runs = np.random.default_rng(seed).permutation(5)
    other = np.stack([permuted(stack[run], run) for run in runs])
    expected = matched_similarity(stack)
    np.testing.assert_array_equal(expected, expected.T)
    np.testing.assert_array_equal(matched_similarity(other), expected[np.ix_(runs, runs)])


def test_the_diagonal_counts_as_one_whatever_was_given():
    """As of a filter whose correlations are not finite."""
    stack = correlations(9)
    stack[1, 2] = stack[1, :, 2] = 0
    stack[1, 2, 2] = 1
    expected = matched_similarity(stack)
    stack[1, 2] = stack[1, :, 2] = np.nan
    np.testing.assert_array_equal(matched_similarity(stack), expected)


def test_constant_runs_match_nothing():
    stack = np.concatenate([correlations(0), np.ones((2, 8, 8), np.float32)])
    matched = matched_similarity(stack)
    np.testing.assert_array_equal(matched[6:], np.eye(8)[6:])


# -- cka -------------------------------------------------------------------------------------------


def layers(seed: int, n_runs: int = 4, n_images: int = 24) -> list[np.ndarray]:
    """Outputs (n_images, width) of runs with different widths that have something in common."""
    rng = np.random.default_rng(seed)
    images = rng.normal(size=(n_images, 4))
    return [
        images @ rng.normal(size=(4, 3 + 2 * i)) + 0.7 * rng.normal(size=(n_images, 3 + 2 * i)) + i
        for i in range(n_runs)
    ]


@pytest.mark.parametrize("batch", [8, 24])
def test_cka_is_that_of_the_plain_definition(batch):
    outputs = layers(0)
    vectors = cka_vectors(np.stack([gram_matrices(x, batch) for x in outputs]))
    assert vectors.shape == (4, 24 // batch * batch * (batch - 1) // 2)
    expected = [[centred_alignment(x, y, batch) for y in outputs] for x in outputs]
    np.testing.assert_allclose(similarity(vectors), expected, rtol=0, atol=2e-6)


def test_cka_is_unbiased():
    """Independent outputs: near 0 on average, where the biased estimator is far above."""
    rng = np.random.default_rng(0)
    outputs = [rng.normal(size=(320, 60)) for _ in range(12)]
    pairs = similarity(cka_vectors(np.stack([gram_matrices(x, 32) for x in outputs])))
    assert abs(pairs[np.triu_indices(12, 1)].mean()) < 0.01


def test_cka_ignores_scale_rotation_and_shift():
    rng = np.random.default_rng(1)
    x = layers(1)[2]
    rotation = np.linalg.qr(rng.normal(size=(x.shape[1],) * 2))[0]
    vectors = cka_vectors(np.stack([gram_matrices(v, 8) for v in (x, 5 * x @ rotation + 3)]))
    assert similarity(vectors)[0, 1] == pytest.approx(1, abs=1e-5)


def test_dead_layers_are_like_no_other():
    grams = np.stack([gram_matrices(x, 8) for x in layers(2)])
    grams[1] = 0
    grams[2] = np.nan
    grams[3, 0, 1, 2] = np.inf
    result = similarity(cka_vectors(grams))
    np.testing.assert_array_equal(result, np.eye(4))


def test_gram_matrices_of_the_wrong_shape_are_named():
    with pytest.raises(OptionError, match=r"got \(3, 2, 16\)"):
        cka_vectors(np.ones((3, 2, 16)))
