"""Heat map: cells of known runs, strips, bins, all pairs, dots."""

from __future__ import annotations

import numpy as np
import pytest
from plot_samples import add_groups, cell_points, make_runs, outputs, paper_runs

from pvensemble.filters.heat_map import SIDE, PerformanceHeatMap
from pvensemble.vtkdata.arrays import field_strings, to_numpy


def draw(runs, **options):
    return outputs(PerformanceHeatMap(), runs, **options)


def box(data, cell):
    points = cell_points(data, cell)
    return np.concatenate([points.min(axis=0), points.max(axis=0)])


def column(data, name):
    return to_numpy(data.GetCellData().GetArray(name))


def test_each_run_of_a_grid_has_its_own_cell():
    cells, _, dots = draw(paper_runs())
    assert cells.GetNumberOfCells() == 121
    assert dots.GetNumberOfCells() == 0
    unit = SIDE / 11
    # Run 0: learning rate 0.01 is the 6th value, momentum 0.9 the last.
    np.testing.assert_allclose(box(cells, 0), [5 * unit, 10 * unit, 6 * unit, SIDE], atol=1e-5)
    # Run 120: learning rate 0.01 * 1.1**5 is the last, momentum 0.9**11 the first.
    np.testing.assert_allclose(box(cells, 120), [10 * unit, 0, SIDE, unit], atol=1e-5)
    np.testing.assert_array_equal(column(cells, "cell_count"), 1)
    np.testing.assert_array_equal(column(cells, "cell_mean"), column(cells, "combined"))


def test_runs_of_one_cell_are_strips_with_their_mean():
    columns = {"a": np.array([1, 1, 1, 2]), "b": np.array([5, 5, 6, 6])}
    runs = make_runs(columns, measures={"P1": np.array([0.2, 0.4, 0.5, np.nan])})
    cells, _, _ = draw(runs)
    half = SIDE / 2
    np.testing.assert_allclose(box(cells, 0), [0, 0, half / 2, half])
    np.testing.assert_allclose(box(cells, 1), [half / 2, 0, half, half])
    np.testing.assert_allclose(box(cells, 2), [0, half, half, SIDE])
    np.testing.assert_allclose(column(cells, "cell_mean"), [0.3, 0.3, 0.5, np.nan])
    np.testing.assert_array_equal(column(cells, "cell_count"), [2, 2, 1, 1])


def test_axes_and_measure_can_be_chosen():
    cells, _, _ = draw(paper_runs(), XAxis="momentum", YAxis="P2", ColorBy="P1")
    np.testing.assert_allclose(box(cells, 0)[[0, 1]], [SIDE * 10 / 11, 0], atol=1e-5)
    np.testing.assert_array_equal(column(cells, "cell_mean"), column(cells, "P1"))
    assert field_strings(cells.GetFieldData(), "pair_x") == ["momentum"]
    assert field_strings(cells.GetFieldData(), "pair_y") == ["P2"]


def test_random_samples_are_binned():
    rng = np.random.default_rng(0)
    columns = {"lr": 10 ** rng.uniform(-4, 0, 200), "drop": rng.uniform(0, 1, 200)}
    runs = make_runs(columns, measures={"combined": rng.uniform(0, 1, 200)})
    cells, _, _ = draw(runs, Bins=4)
    x = np.clip((np.log10(columns["lr"]) - np.log10(columns["lr"].min())), 0, None)
    x = np.minimum((x / x.max() * 4).astype(int), 3)
    y = columns["drop"] - columns["drop"].min()
    y = np.minimum((y / y.max() * 4).astype(int), 3)
    combined = column(cells, "combined")
    for run in range(0, 200, 17):
        same = (x == x[run]) & (y == y[run])
        assert column(cells, "cell_count")[run] == same.sum()
        assert column(cells, "cell_mean")[run] == pytest.approx(combined[same].mean())
        low, high = box(cells, run)[:2], box(cells, run)[2:]
        unit = SIDE / 4
        assert low[0] >= x[run] * unit - 1e-4
        assert high[0] <= (x[run] + 1) * unit + 1e-4
        np.testing.assert_allclose(
            [low[1], high[1]], [y[run] * unit, (y[run] + 1) * unit], atol=1e-4
        )


def test_all_pairs():
    rng = np.random.default_rng(1)
    columns = {
        "a": rng.integers(0, 3, 50),
        "opt": rng.choice(["sgd", "adam"], 50),
        "b": rng.integers(0, 4, 50),
        "same": np.ones(50),
    }
    runs = make_runs(columns, measures={"combined": rng.uniform(0, 1, 50)})
    add_groups(runs, np.where(np.arange(50) < 5, 0, -1))
    cells, _, dots = draw(runs, Layout="all pairs")
    assert cells.GetNumberOfCells() == 150
    assert dots.GetNumberOfCells() == 15
    field = cells.GetFieldData()
    assert to_numpy(field.GetArray("n_pairs"))[0] == 3
    assert field_strings(field, "pair_x") == ["a", "a", "opt"]
    assert field_strings(field, "pair_y") == ["opt", "b", "b"]
    np.testing.assert_array_equal(column(cells, "run_index"), np.tile(np.arange(50), 3))
    np.testing.assert_array_equal(column(cells, "pair"), np.repeat([0, 1, 2], 50))
    text = cells.GetCellData().GetAbstractArray("opt")
    assert [text.GetValue(k) for k in (0, 50, 100, 149)] == [
        columns["opt"][k] for k in (0, 0, 0, 49)
    ]
    # Maps do not overlap: (a, opt) lies above (a, b), (opt, b) right of it.
    boxes = np.array([box(cells, k) for k in range(150)]).reshape(3, 50, 4)
    low, high = boxes[:, :, :2].min(axis=1), boxes[:, :, 2:].max(axis=1)
    assert low[0, 1] > high[1, 1]
    assert low[2, 0] > high[1, 0]


def test_layout_can_be_given_by_number():
    cells, _, _ = draw(paper_runs(), Layout=1)
    assert cells.GetNumberOfCells() == 121  # two hyper-parameters: one pair


def test_one_hyper_parameter_is_a_strip():
    runs = make_runs({"lr": np.geomspace(1e-3, 1, 30)}, measures={"P1": np.linspace(0, 1, 30)})
    cells, _, _ = draw(runs)
    np.testing.assert_allclose(box(cells, 3), [3 * 0.3, 0, 4 * 0.3, SIDE / 6], atol=1e-5)


def test_dots_stand_in_the_cells_of_their_runs():
    group = np.full(121, -1)
    group[[0, 120]] = [1, 0]
    runs = add_groups(paper_runs(), group)
    cells, axes, dots = draw(runs)
    assert dots.GetNumberOfCells() == 2
    np.testing.assert_array_equal(column(dots, "run_index"), [0, 120])
    np.testing.assert_array_equal(column(dots, "group"), [1, 0])
    np.testing.assert_array_equal(column(dots, "group_color"), [[0, 0, 255], [255, 0, 0]])
    for dot, run in ((0, 0), (1, 120)):
        quad = box(cells, run)
        disc = box(dots, dot)
        np.testing.assert_allclose(disc[:2] + disc[2:], quad[:2] + quad[2:], atol=1e-5)
        assert np.all(disc[:2] > quad[:2])
        assert np.all(disc[2:] < quad[2:])
    plain = draw(paper_runs())[1]
    assert axes.GetNumberOfLines() == plain.GetNumberOfLines() + 2  # outlines


def test_dots_of_one_cell_do_not_touch():
    runs = make_runs({"a": np.ones(6), "b": np.ones(6)}, measures={"P1": np.arange(6.0)})
    dots = draw(add_groups(runs, np.zeros(6, int)))[2]
    boxes = np.array([box(dots, k) for k in range(6)])
    centers, width = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[0, 2] - boxes[0, 0]
    distance = np.linalg.norm(centers[:, None] - centers[None], axis=2)
    assert distance[~np.eye(6, dtype=bool)].min() > width


def test_without_a_measure_there_are_cells_and_no_mean():
    runs = make_runs({"a": np.array([1, 2]), "b": np.array([1, 2])})
    cells, _, _ = draw(runs)
    assert cells.GetNumberOfCells() == 2
    assert np.all(np.isnan(column(cells, "cell_mean")))


@pytest.mark.expect_vtk_errors
def test_too_many_pairs_are_refused():
    from pvensemble.errors import PipelineError

    rng = np.random.default_rng(2)
    runs = make_runs({f"h{k}": rng.uniform(0, 1, 5) for k in range(13)})
    with pytest.raises(PipelineError, match="78 maps are too many"):
        draw(runs, Layout="all pairs")
