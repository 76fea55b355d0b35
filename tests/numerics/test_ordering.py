"""Order of filters: canonical with ties and duplicates, clusters by size, SciPy's own hierarchy."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.cluster import hierarchy
from scipy.spatial.distance import squareform

from pvensemble.errors import OptionError
from pvensemble.numerics import ordering
from pvensemble.numerics.ordering import LINKAGES, cluster_order, reordered

linkages = st.sampled_from(LINKAGES)
thresholds = st.sampled_from([0.0, 0.25, 0.5, 0.7, 1.0])


def symmetric(values: np.ndarray) -> np.ndarray:
    """The upper triangle, mirrored, with a diagonal of 1."""
    upper = np.triu(values, 1)
    return (upper + upper.T + np.eye(len(values))).astype(np.float32)


def measured(seed: int, n: int = 12, n_runs: int = 1) -> np.ndarray:
    """Correlations (n_runs, n, n) as measured ones are: no two are equal."""
    rng = np.random.default_rng(seed)
    mixed = rng.normal(size=(n_runs, 40, 3)) @ rng.normal(size=(n_runs, 3, n))
    values = mixed + rng.normal(size=(n_runs, 40, n))
    return np.stack([np.corrcoef(v.T) for v in values]).astype(np.float32)


@st.composite
def matrices(draw) -> np.ndarray:
    """Correlations of few different values, with duplicate filters, dead ones and equal blocks."""
    n = draw(st.integers(1, 7))
    levels = draw(st.sampled_from([(0, 1), (-1, 0, 1), (0.5, -0.5), (0, 0.3, 0.7, 0.9), (0.4,)]))
    base = symmetric(draw(hnp.arrays(float, (n, n), elements=st.sampled_from(levels))))
    kind = draw(st.sampled_from(["plain", "duplicates", "blocks", "measured"]))
    if kind == "duplicates":  # filter i becomes several that are 1 with each other
        copies = np.repeat(np.arange(n), draw(hnp.arrays(int, n, elements=st.integers(1, 3))))
        base = base[np.ix_(copies, copies)]
    if kind == "blocks":
        base = np.kron(np.eye(draw(st.integers(1, 3)), dtype=np.float32), base)
    if kind == "measured":
        base = measured(draw(st.integers(0, 100)), n + 1)[0]
    for dead in draw(st.sets(st.integers(0, len(base) - 1), max_size=3)):
        base[dead] = base[:, dead] = 0
        base[dead, dead] = 1
    return base


def shuffled(matrix: np.ndarray, seed: int) -> np.ndarray:
    order = np.random.default_rng(seed).permutation(len(matrix))
    return matrix[np.ix_(order, order)]


def in_order(matrix: np.ndarray, order) -> np.ndarray:
    return matrix[np.ix_(order.permutation, order.permutation)]


def distances(matrix: np.ndarray) -> np.ndarray:
    """Condensed ``1 - |r|``."""
    return squareform(1.0 - np.abs(matrix.astype(float)), checks=False)


# -- the order does not depend on the numbers of the filters ---------------------------------------


@settings(max_examples=150, deadline=None)
@given(matrices(), st.integers(0, 2**32 - 1), thresholds, linkages)
def test_permuting_the_filters_gives_the_identical_matrix(matrix, seed, threshold, linkage):
    other = shuffled(matrix, seed)
    a = cluster_order(matrix, threshold, linkage)
    b = cluster_order(other, threshold, linkage)
    np.testing.assert_array_equal(in_order(matrix, a), in_order(other, b))
    np.testing.assert_array_equal(a.cluster, b.cluster)
    np.testing.assert_array_equal(a.linkage, b.linkage)


@pytest.mark.parametrize("order", ["identity", "row sums"])
def test_less_than_a_canonical_order_would_fail_that(monkeypatch, order):
    """The negative control: SciPy alone, or ties that are broken by the number of the filter."""

    def naive(stack):
        keys = np.zeros(stack.shape[:2]) if order == "identity" else stack.sum(axis=2)
        return np.argsort(keys, axis=1, kind="stable")

    monkeypatch.setattr(ordering, "canonical_orders", naive)
    matrix = np.kron(np.eye(2), cycle(5)) + 0.25 * np.kron(1 - np.eye(2), cycle(5))
    results = {
        in_order(m, cluster_order(m)).tobytes() for m in (shuffled(matrix, s) for s in range(20))
    }
    assert len(results) > 1


def cycle(n: int) -> np.ndarray:
    """Each filter correlates with the next: every filter looks like every other."""
    ring = np.roll(np.eye(n), 1, axis=0)
    return np.eye(n) + 0.5 * (ring + ring.T)


def strongly_regular(name: str) -> np.ndarray:
    """Two matrices of 16 filters that only a search can tell apart, as all counts agree."""
    places = [(i, j) for i in range(4) for j in range(4)]
    steps = {(1, 0), (3, 0), (0, 1), (0, 3), (1, 1), (3, 3)}

    def near(a, b) -> bool:
        if name == "rook":
            return (a[0] == b[0]) != (a[1] == b[1])
        return ((a[0] - b[0]) % 4, (a[1] - b[1]) % 4) in steps

    return np.array([[1.0 if a == b else 0.5 * near(a, b) for b in places] for a in places])


def diagonal_blocks(*blocks: np.ndarray) -> np.ndarray:
    n = sum(map(len, blocks))
    matrix, at = np.zeros((n, n)), 0
    for block in blocks:
        matrix[at : at + len(block), at : at + len(block)] = block
        at += len(block)
    return matrix


@pytest.mark.parametrize(
    "matrix",
    [
        np.eye(50),
        np.ones((50, 50)),
        cycle(50),
        diagonal_blocks(cycle(5), cycle(6), cycle(5)),
        diagonal_blocks(*[strongly_regular(n) for n in ("rook", "other", "rook")]),
        np.kron(np.eye(10), np.full((5, 5), 0.9)) + 0.1 * np.eye(50),
        np.array([[0.5 ** bin(i ^ j).count("1") for j in range(64)] for i in range(64)]),
    ],
    ids=["dead", "duplicates", "cycle", "cycles", "strongly regular", "blocks", "hypercube"],
)
def test_regular_matrices_are_canonical_too(matrix):
    results = {
        in_order(m, cluster_order(m)).tobytes() for m in (shuffled(matrix, s) for s in range(4))
    }
    assert len(results) == 1


def regular(n: int, seed: int) -> np.ndarray:
    """A random matrix in which each of n filters correlates with three others."""
    rng = np.random.default_rng(seed)
    while True:
        a, b = rng.permutation(np.repeat(np.arange(n), 3)).reshape(-1, 2).T
        matrix = np.zeros((n, n))
        matrix[a, b] = matrix[b, a] = 0.7
        if np.count_nonzero(matrix) == 3 * n and not matrix.diagonal().any():
            return matrix + np.eye(n)


@pytest.mark.parametrize("background", [0.0, 0.1])
@pytest.mark.parametrize("seed", [18, 22, 27, 35, 42, 46, 50])
def test_regular_matrices_with_filters_to_exchange_are_canonical(seed, background):
    """Sets of exchangeable filters of different sizes; sums that rounding would make differ."""
    matrix = np.maximum(regular(8, seed), background).astype(np.float32)
    results = {
        in_order(m, cluster_order(m, 0.0)).tobytes()
        for m in (shuffled(matrix, s) for s in range(12))
    }
    assert len(results) == 1


def test_a_negative_zero_is_zero():
    matrix = np.round(symmetric(np.random.default_rng(0).uniform(-1, 1, (9, 9))))
    signed = matrix.copy()
    signed[matrix == 0] = -0.0
    np.testing.assert_array_equal(
        cluster_order(matrix).permutation, cluster_order(signed).permutation
    )


def test_signs_and_asymmetric_rounding_are_ordered_as_well():
    matrix = symmetric(np.full((8, 8), 0.5)) * np.outer(*[[1, 1, 1, -1, -1, 1, -1, 1]] * 2)
    matrix[2, 5] = np.nextafter(np.float32(0.5), np.float32(1))
    results = {
        in_order(m, cluster_order(m)).tobytes() for m in (shuffled(matrix, s) for s in range(20))
    }
    assert len(results) == 1


# -- clusters --------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(matrices(), thresholds, linkages)
def test_clusters_are_contiguous_by_decreasing_size(matrix, threshold, linkage):
    order = cluster_order(matrix, threshold, linkage)
    assert sorted(order.permutation) == list(range(len(matrix)))
    sizes = np.bincount(order.cluster)
    assert len(sizes) == order.n_clusters
    assert (np.diff(sizes) <= 0).all()
    np.testing.assert_array_equal(order.cluster, np.repeat(np.arange(len(sizes)), sizes))
    groups = [sorted(order.permutation[order.cluster == c]) for c in np.flatnonzero(sizes > 1)]
    assert [list(group) for group in order.redundant] == groups


@settings(max_examples=60, deadline=None)
@given(matrices(), st.integers(0, 100), thresholds, linkages)
def test_dendrogram_of_clusters_has_no_crossing_lines(matrix, seed, threshold, linkage):
    order = cluster_order(matrix, threshold, linkage)
    n = len(matrix)
    assert order.linkage.shape == (n - 1, 4)
    if n > 1:
        assert hierarchy.is_valid_linkage(order.linkage)
    ranges = {i: (i, i + 1) for i in range(n)}
    for k, (a, b, height, size) in enumerate(order.linkage[: order.n_joined]):
        left, right = ranges[a], ranges[b]
        assert left[1] == right[0]
        ranges[n + k] = left[0], right[1]
        assert size == right[1] - left[0]
        assert height <= 1 - float(np.float32(threshold))
        assert len(set(order.cluster[left[0] : right[1]])) == 1
    assert (order.linkage[order.n_joined :, 2] > 1 - float(np.float32(threshold))).all()


@pytest.mark.parametrize("linkage", LINKAGES)
@pytest.mark.parametrize("seed", range(5))
def test_clusters_and_tree_are_those_of_scipy(linkage, seed):
    matrix = measured(seed, 20)[0]
    order = cluster_order(matrix, 0.4, linkage)
    tree = hierarchy.linkage(distances(matrix), linkage)
    expected = hierarchy.fcluster(tree, 0.6, criterion="distance")[order.permutation]
    assert order.n_clusters == len(set(expected))
    assert order.n_clusters > 1 or linkage == "single"
    assert len(set(zip(expected, order.cluster))) == order.n_clusters
    np.testing.assert_allclose(
        squareform(hierarchy.cophenet(order.linkage)),
        squareform(hierarchy.cophenet(tree))[np.ix_(order.permutation, order.permutation)],
        atol=1e-12,
    )


def test_the_largest_cluster_comes_first_and_dead_filters_last():
    matrix = diagonal_blocks(np.eye(2), np.full((2, 2), 0.8), np.full((3, 3), -0.9), np.eye(1))
    np.fill_diagonal(matrix, 1)
    matrix[7, 2:4] = matrix[2:4, 7] = 0.2
    order = cluster_order(matrix)
    assert set(order.permutation[:3]) == {4, 5, 6}
    assert set(order.permutation[3:5]) == {2, 3}
    assert order.permutation[5] == 7
    assert set(order.permutation[6:]) == {0, 1}
    assert order.cluster.tolist() == [0, 0, 0, 1, 1, 2, 3, 4]


@pytest.mark.parametrize("near", [0.2, 0.25, 0.3, 0.35, 0.4, 0.45])
def test_of_parts_of_equal_size_the_more_correlated_one_comes_first(near):
    matrix = symmetric(np.full((5, 5), 0.8))
    matrix[0, 1] = matrix[1, 0] = matrix[2, 3] = matrix[3, 2] = 0.9
    matrix[4, :2] = matrix[:2, 4] = 0.1
    matrix[4, 2:4] = matrix[2:4, 4] = near
    order = cluster_order(matrix).permutation
    assert set(order[:2]) == {2, 3}
    assert order[4] == 4


def test_a_correlation_at_the_threshold_joins():
    matrix = symmetric(np.full((2, 2), 0.7))
    assert cluster_order(matrix, 0.7).n_clusters == 1
    assert cluster_order(matrix, np.nextafter(np.float32(0.7), np.float32(1))).n_clusters == 2


def test_anticorrelated_filters_are_alike():
    assert cluster_order(symmetric(np.full((2, 2), -0.95))).n_clusters == 1


# -- all runs --------------------------------------------------------------------------------------


def test_all_runs_are_ordered_as_each_alone():
    stack = measured(3, 10, n_runs=7)
    stack[2] = np.eye(10)
    stack[5, 3] = stack[5, :, 3] = np.nan
    result = reordered(stack, 0.5, "complete")
    assert result.dtype == np.float32
    for run, matrix in zip(result, np.nan_to_num(stack)):
        expected = np.abs(in_order(matrix, cluster_order(matrix, 0.5, "complete")))
        np.testing.assert_array_equal(run, expected)


@pytest.mark.parametrize("n_filters", [0, 1, 2])
def test_few_filters(n_filters):
    assert reordered(np.ones((3, n_filters, n_filters))).shape == (3, n_filters, n_filters)
    if n_filters:
        order = cluster_order(np.eye(n_filters))
        assert order.permutation.tolist() == list(range(n_filters))
        assert order.n_clusters == n_filters
    assert reordered(np.ones((0, 4, 4))).shape == (0, 4, 4)


def test_the_input_stays_as_it_is():
    stack = measured(1, 8, n_runs=2)
    stack[0, 1, 2] = np.nan
    before = stack.copy()
    reordered(stack)
    np.testing.assert_array_equal(stack, before)


def test_measured_correlations_take_the_fast_way():
    """121 runs x 50 filters take some 25 ms; the search for ties would take seconds."""
    stack = measured(0, 50, n_runs=121)
    times = []
    for _ in range(3):
        start = time.perf_counter()
        reordered(stack)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.5


def test_large_layers_work():
    """Also where most filters are dead."""
    n = 1500
    matrix = np.eye(n, dtype=np.float32)
    matrix[:400, :400] = measured(2, 400)[0]
    order = cluster_order(matrix)
    assert set(order.permutation[-1100:]) == set(range(400, n))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"linkage": "avrage"}, "did you mean 'average'"),
        ({"threshold": 1.5}, "between 0 and 1, got 1.5"),
        ({"threshold": float("nan")}, "between 0 and 1"),
    ],
)
def test_unusable_options_are_named(arguments, message):
    with pytest.raises(OptionError, match=message):
        cluster_order(np.eye(3), **arguments)


def test_a_matrix_that_is_not_square_is_named():
    with pytest.raises(OptionError, match=r"got \(3, 4\)"):
        cluster_order(np.ones((3, 4)))
