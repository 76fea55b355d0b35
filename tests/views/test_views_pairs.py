"""Cells of a matrix of pairs and their runs, also where several runs share a row."""

from __future__ import annotations

import numpy as np
import pytest

from pvensemble.views.pairs import MAX_CROSSES, Pairs


def test_a_cell_stands_for_its_two_runs():
    pairs = Pairs(np.array([3, 0, 2, 1]))
    np.testing.assert_array_equal(pairs.runs([1 * 4 + 2]), [0, 2])
    np.testing.assert_array_equal(pairs.runs([0]), [3])
    np.testing.assert_array_equal(pairs.runs(np.empty(0, np.int64)), [])


def test_a_cell_of_a_block_stands_for_all_its_runs():
    pairs = Pairs(np.array([3, 0, 2, 1, 4]), width=2)
    np.testing.assert_array_equal(pairs.runs([0 * 3 + 1]), [0, 1, 2, 3])
    np.testing.assert_array_equal(pairs.runs([2 * 3 + 2]), [4])


@pytest.mark.parametrize("width", [1, 2, 3])
def test_what_is_marked_for_runs_stands_for_their_blocks(width):
    order = np.random.default_rng(0).permutation(61)
    pairs = Pairs(order, width)
    for n in (1, MAX_CROSSES, MAX_CROSSES + 1, 61):
        places = np.arange(n)
        block = np.sort(order[np.isin(np.arange(61) // width, places // width)])
        cells = pairs.cells(order[places])
        assert cells.min() >= 0
        assert cells.max() < pairs.n_rows**2
        np.testing.assert_array_equal(pairs.runs(cells), block)


def test_no_runs():
    pairs = Pairs(np.empty(0, np.int64))
    assert len(pairs.runs([])) == len(pairs.cells([0])) == 0
