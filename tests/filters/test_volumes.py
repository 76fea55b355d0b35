"""Volumes whose slices lie in several processes, here played by as many objects in one."""

from __future__ import annotations

import numpy as np
import pytest
from tensor_samples import make_tensors

from pvensemble.filters._local_tensors import LocalTensors, of_runs, per_run
from pvensemble.filters._tensors import Tensors
from pvensemble.filters._volumes import Gathered, volumes

RUNS = [[4, 1], [7, 0, 3], []]
STACK = np.random.default_rng(0).normal(size=(5, 2, 3)).astype(np.float32)
NAME = "g000/conv1.weight"


@per_run
def sums_and_firsts(stack: np.ndarray, factor: float) -> tuple[np.ndarray, np.ndarray]:
    return factor * stack.sum(axis=(1, 2)), stack[:, 0].copy()


@of_runs
class Last:
    def __init__(self, factor: float) -> None:
        self.factor, self.steps, self.stack = factor, 0, None

    def add(self, stack: np.ndarray, weight: int) -> None:
        self.steps, self.stack = self.steps + weight, stack.copy()

    def results(self, numbers: np.ndarray, name: str) -> tuple[np.ndarray]:
        assert name == "asked"
        return (self.factor * self.stack.sum(axis=(1, 2)) + numbers + 1000 * self.steps,)


@pytest.fixture
def spread():
    """The volume of three processes, the last of which has nothing, and the way to ask them."""
    ends = np.cumsum([0, *map(len, RUNS)])
    parts = [STACK[a:b] for a, b in zip(ends[:-1], ends[1:])]
    local = [
        LocalTensors(make_tensors({NAME: (runs, part)} if runs else {}), {}, rank)
        for rank, (runs, part) in enumerate(zip(RUNS, parts))
    ]

    def ask(what, options, arrays=()):
        return [getattr(one, what)(options, arrays) for one in local]

    return volumes(ask("describe", {}), local[0], ask)


@pytest.mark.parametrize("rows", [[0, 1, 2, 3, 4], [4, 0, 2], [3], [1, 0], []])
@pytest.mark.parametrize("keep", [True, False])
def test_functions_of_runs_come_in_the_order_of_the_rows(spread, rows, keep):
    volume, rows = spread[NAME], np.array(rows, np.int64)
    found = volume.per_run(sums_and_firsts, 2.0, rows=rows, keep=keep)
    for values, expected in zip(found, sums_and_firsts(STACK, 2.0)):
        np.testing.assert_array_equal(values, expected[rows])
    if len(rows):
        np.testing.assert_array_equal(volume.slices(rows), STACK[rows])


def test_runs_of_all_processes_are_matched_to_the_cells(spread):
    (block,) = Tensors(spread).blocks("conv1", "weight", np.array([0, 1, 2, 3, 4]))
    np.testing.assert_array_equal(block.cells, [0, 1, 3, 4])
    np.testing.assert_array_equal(block.rows, [3, 1, 4, 0])
    np.testing.assert_array_equal(block.chosen(), STACK[[3, 1, 4, 0]])
    np.testing.assert_array_equal(block.slice(4), STACK[4])
    assert block.stack is None
    assert block.where
    assert block.size == (2, 3)


def test_what_is_gathered_stays_where_the_runs_are(spread):
    volume, rows = spread[NAME], np.array([4, 0, 2])
    one, other = (Gathered(volume.ask, key, Last, [key + 1.0]) for key in (0, 1))
    for weight in (1, 10):
        one.add(volume, rows, weight)
        other.add(volume, rows[::-1], weight)
    sums = STACK.sum(axis=(1, 2))
    numbers = np.array([100, 200, 300])
    for gathered, own, factor in ((one, rows, 1.0), (other, rows[::-1], 2.0)):
        (found,) = gathered.results(numbers, "asked")
        np.testing.assert_allclose(found, factor * sums[own] + numbers + 11_000, rtol=1e-6)
    one.forget()
    assert one.results(numbers, "asked") == ()
    assert len(other.results(numbers, "asked")) == 1
