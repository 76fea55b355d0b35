"""The order of picks, and which run each of several maps shows."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from pvensemble.schema import COMPLETE, DIVERGED, RUNNING, WAITING
from pvensemble.store import HyperParameter
from pvensemble.views.picked import PickOrder, corner_runs, runs_to_show
from pvensemble.vtkdata.runs import RunsData
from pvensemble.vtkdata.runs_output import runs_to_polydata

CYAN, RED = 0, 8


def test_runs_are_kept_in_the_order_in_which_they_were_picked():
    order = PickOrder()
    assert order.update([7]) == [7]
    assert order.update([3, 7]) == [7, 3]
    assert order.update([3, 5, 7]) == [7, 3, 5]
    assert order.update([3, 5]) == [3, 5]
    assert order.update([5, 7]) == [5, 7]
    assert order.update([]) == []
    assert order.update([9, 2, 4]) == [2, 4, 9]


@pytest.mark.parametrize(
    ("picked", "shown"),
    [
        ([], [CYAN, RED]),
        ([4], [4, RED]),
        ([RED], [RED, CYAN]),
        ([4, 2], [4, 2]),
        ([4, 2, 6], [4, 6]),
    ],
)
def test_the_first_map_shows_the_first_pick_and_the_last_map_the_last(picked, shown):
    assert runs_to_show(picked, [CYAN, RED], 2) == shown


def test_more_or_fewer_maps_than_picks():
    assert runs_to_show([4, 2, 6], [CYAN, RED], 1) == [6]
    assert runs_to_show([], [RED], 1) == [RED]
    assert runs_to_show([4, 2, 6], [CYAN, RED], 3) == [4, 2, 6]
    assert runs_to_show([4, 2, 6, 1], [CYAN, RED], 3) == [4, 2, 1]
    assert runs_to_show([4, 2], [CYAN, RED], 3) == [4, 2, 2]
    assert runs_to_show([], [0], 2) == [0, 0]
    assert runs_to_show([0], [0], 2) == [0, 0]
    assert runs_to_show([], [], 2) == []
    assert runs_to_show([4, 2], [CYAN, RED], 0) == []


def runs(states=(), **columns) -> RunsData:
    n_runs = len(next(iter(columns.values())))
    table = {"run_index": np.arange(n_runs), **{k: np.array(v) for k, v in columns.items()}}
    table["state"] = np.array([COMPLETE if k not in states else DIVERGED for k in range(n_runs)])
    parameters = [HyperParameter(name, "float") for name in columns]
    return RunsData(runs_to_polydata(table, {}, parameters))


class TestCorners:
    grid = {"a": [1, 1, 1, 2, 2, 2, 9, 9, 9], "b": [5, 4, 6, 5, 4, 6, 5, 4, 6]}

    def test_the_lowest_and_the_highest_of_two_hyper_parameters(self):
        assert corner_runs(runs(**self.grid)) == [1, 8]

    def test_what_does_not_vary_does_not_count(self):
        assert corner_runs(runs(same=[3] * 9, **self.grid)) == [1, 8]

    def test_a_diverged_run_is_shown_only_where_all_diverged(self):
        assert corner_runs(runs(states=(1, 8), **self.grid)) == [0, 6]
        assert corner_runs(runs(states=range(9), **self.grid)) == [1, 8]
        assert corner_runs(runs(states=set(range(9)) - {4}, **self.grid)) == [4]

    def test_a_run_that_has_not_begun_is_shown_only_where_none_has(self):
        table = {"run_index": np.arange(3), "a": np.array([1.0, 2.0, 3.0])}

        def corners(*states):
            table["state"] = np.array(states)
            parameters = [HyperParameter("a", "float")]
            return corner_runs(RunsData(runs_to_polydata(table, {}, parameters)))

        assert corners(COMPLETE, RUNNING, WAITING) == [0, 1]
        assert corners(WAITING, DIVERGED, WAITING) == [1]
        assert corners(WAITING, WAITING, WAITING) == [0, 2]

    def test_a_run_without_the_layer_is_shown_only_where_none_has_it(self):
        steps, values = np.array([0, 20]), np.ones((3, 2))
        values[2] = np.nan
        values[1, 1] = np.nan  # diverged, or not there yet
        table = {"run_index": np.arange(3), "a": np.array([1.0, 2.0, 3.0])}
        curves = {"weight_norm:conv2.weight": SimpleNamespace(steps=steps, values=values)}
        parameters = [HyperParameter("a", "float")]

        def corners(layer, *states):
            table["state"] = np.array(states or (COMPLETE,) * 3)
            return corner_runs(RunsData(runs_to_polydata(table, curves, parameters)), layer)

        assert corners("conv2") == [0, 1]
        assert corners("conv2", COMPLETE, DIVERGED, COMPLETE) == [0]
        assert corners("") == corners("conv1") == [0, 2]
        values[:] = np.nan
        assert corners("conv2") == [0, 2]

    def test_without_numbers_the_first_and_the_last_run(self):
        assert corner_runs(runs(optimizer=["adam", "sgd", "adam"])) == [0, 2]
        assert corner_runs(runs(a=[2.0])) == [0]
        assert corner_runs(runs(a=[])) == []
