"""Parallel coordinates: where known runs stand, which lines are drawn, density, axes."""

from __future__ import annotations

import numpy as np
import pytest
from plot_samples import (
    LEARNING_RATES,
    StepSource,
    add_groups,
    cell_colors,
    cell_points,
    make_runs,
    outputs,
    paper_runs,
    sizes,
)

from pvensemble.filters._base import run
from pvensemble.filters.parallel_coordinates import ParallelCoordinates
from pvensemble.filters.plot_fields import read_axes
from pvensemble.filters.plot_geometry import Z_DATA, Z_GROUP
from pvensemble.numerics.axes import RAIL
from pvensemble.vtkdata.arrays import to_numpy
from pvensemble.vtkdata.time import published_time_steps


def draw(runs, **options):
    return outputs(ParallelCoordinates(), runs, **options)


def test_a_known_run_stands_where_its_values_are():
    lines, _, _ = draw(paper_runs(), Width=16.0, Height=10.0)
    # Run 25 = row 2 (momentum 0.9**3), column 3 (learning rate 0.01 * 0.9**3).
    points = cell_points(lines, 25)
    low, high = np.log(LEARNING_RATES.min()), np.log(LEARNING_RATES.max())
    expected = [
        10 * (np.log(0.00729) - low) / (high - low),
        10 * (0.9**3 - 0.9**11) / (0.9 - 0.9**11),
        2.0,
        3.0,
        2.5,
    ]
    np.testing.assert_allclose(points[:, 0], [0, 4, 8, 12, 16], atol=1e-5)
    np.testing.assert_allclose(points[:, 1], expected, atol=1e-5)


def test_the_axes_are_described():
    lines, axes, _ = draw(paper_runs(), Flip="P1", Height=10.0)
    for data in (lines, axes):
        drawn = read_axes(data)
        assert drawn.names == ["learning_rate", "momentum", "P1", "P2", "combined"]
        assert drawn.scales == ["log", "linear", "linear", "linear", "linear"]
        np.testing.assert_array_equal(drawn.flipped, [0, 0, 1, 0, 0])
        np.testing.assert_allclose(drawn.lo, [0.01 * 0.9**5, 0.9**11, 0, 0, 0])
        np.testing.assert_allclose(drawn.hi, [0.01 * 1.1**5, 0.9, 1, 1, 1])
        assert drawn.height == 10.0
        # The upper tenth of the flipped P1 axis holds P1 <= 0.1: the first two rows.
        np.testing.assert_array_equal(drawn.brush(7.0, 9.0, 10.0), np.arange(22))


def test_axes_follow_the_options():
    options = {"Axes": "P2; P1\nmomentum", "Ranges": "P1=0.2,0.4", "Scales": "momentum=percentile"}
    lines, _, _ = draw(paper_runs(), Height=10.0, **options)
    drawn = read_axes(lines)
    assert drawn.names == ["P2", "P1", "momentum"]
    assert drawn.scales[2] == "percentile"
    np.testing.assert_allclose(cell_points(lines, 0)[:, 1], [0, 0, 10])  # P1 0 is clamped to 0.2
    np.testing.assert_allclose(cell_points(lines, 11 * 3)[:, 1], [0, 5, 7], atol=1e-5)
    np.testing.assert_allclose(cell_points(lines, 120)[:, 1], [10, 10, 0])


def test_constant_axes_are_hidden_unless_asked_for():
    columns = {"a": np.array([1.0, 2.0]), "b": np.array([5.0, 5.0])}
    runs = make_runs(columns, measures={"P1": np.array([0.1, 0.2])})
    assert read_axes(draw(runs)[0]).names == ["a", "P1"]
    assert read_axes(draw(runs, HideConstantAxes=False)[0]).names == ["a", "b", "P1"]
    assert read_axes(draw(runs, Axes="b")[0]).names == ["b"]


def test_missing_values_go_through_the_rail():
    columns = {"a": np.array([1.0, 2.0, np.nan]), "t": np.array(["x", "", "y"])}
    runs = make_runs(columns, measures={"P1": np.array([0.1, np.inf, 0.2])})
    lines, _, _ = draw(runs, Height=10.0)
    y = np.array([cell_points(lines, k)[:, 1] for k in range(3)])
    rail = 10 * RAIL
    np.testing.assert_allclose(y, [[0, 0, 0], [10, rail, rail], [rail, 10, 10]], atol=1e-6)


def test_only_chosen_runs_are_drawn_and_cells_keep_their_numbers():
    lines, _, _ = draw(paper_runs(), Runs="3-5,120")
    assert lines.GetNumberOfCells() == 121
    np.testing.assert_array_equal(np.flatnonzero(sizes(lines)), [3, 4, 5, 120])
    index = to_numpy(lines.GetCellData().GetArray("run_index"))
    np.testing.assert_array_equal(index, np.arange(121))
    whole, _, _ = draw(paper_runs())
    np.testing.assert_array_equal(cell_points(lines, 120), cell_points(whole, 120))


def test_grouped_runs_lie_on_top():
    group = np.full(121, -1)
    group[7] = 1
    lines, _, _ = draw(add_groups(paper_runs(), group))
    z = [lines.GetCell(k).GetPoints().GetPoint(0)[2] for k in (6, 7, 8)]
    np.testing.assert_allclose(z, [Z_DATA, Z_GROUP, Z_DATA])


def test_many_runs_become_a_density_image():
    n = 15_625
    rng = np.random.default_rng(0)
    edges = {f"edge_{k}": rng.choice(["none", "skip_connect", "conv"], n) for k in range(6)}
    accuracy = rng.normal(70, 5, n)
    accuracy[777] = 5.0
    group = np.full(n, -1)
    group[100:110] = 0
    runs = add_groups(make_runs(edges, measures={"P1": accuracy}), group)
    lines, axes, image = draw(runs, Runs="5")
    assert lines.GetNumberOfCells() == n
    drawn = np.flatnonzero(sizes(lines))
    assert {5, 777, *range(100, 110)} <= set(drawn)
    assert len(drawn) <= 156 + 11
    counts = to_numpy(image.GetPointData().GetArray("count")).reshape(image.GetDimensions()[1::-1])
    np.testing.assert_allclose(counts.sum(axis=0), n, rtol=1e-5)
    x0, x1, y0, y1 = image.GetBounds()[:4]
    np.testing.assert_allclose([x0, x1], read_axes(lines).x[[0, -1]], rtol=1e-6)
    assert 0 < y0 < y1 < 9.0
    # The three categories start in the lowest, middle and highest rows of pixels, none elsewhere.
    starts = np.flatnonzero(counts[:, 0])
    assert set(starts) <= {0, 1, 255, 256, 257, 510, 511}
    assert {0, 256, 511} <= set(starts)
    assert draw(make_runs(edges), DensityAbove=n)[2].GetNumberOfPoints() == 0


def test_thirteen_axes_have_labels_that_do_not_touch():
    rng = np.random.default_rng(1)
    columns = {f"a_rather_long_hyper_parameter_{k}": rng.uniform(0, 1, 30) for k in range(9)}
    columns["größe λ 学"] = rng.choice(["a_long_model_name_1", "a_long_model_name_2"], 30)
    runs = make_runs(columns, measures={f"P{k}": rng.uniform(0, 1, 30) for k in range(1, 4)})
    lines, axes, _ = draw(runs)
    assert len(read_axes(lines).names) == 13
    assert axes.GetPointData().GetArray("color").GetNumberOfComponents() == 3
    assert axes.GetNumberOfCells() == axes.GetNumberOfLines() + axes.GetNumberOfPolys()
    # Tick labels are the white boxes behind them: none reaches the axis to its left.
    x = read_axes(lines).x
    boxes = label_boxes(axes)
    assert len(boxes) > 26
    for x0, y0, x1, y1 in boxes:
        k = int(np.searchsorted(x, x1))
        assert k == 0 or x0 > x[k - 1]
        for other in boxes:
            apart = other[0] >= x1 or other[2] <= x0 or other[1] >= y1 or other[3] <= y0
            assert apart or other == (x0, y0, x1, y1)


def label_boxes(axes):
    """Return (x0, y0, x1, y1) of all white boxes."""
    colors = cell_colors(axes)
    boxes = []
    for cell in np.flatnonzero((colors == 255).all(axis=1)):
        points = cell_points(axes, int(cell))
        boxes.append((*points.min(axis=0), *points.max(axis=0)))
    return boxes


@pytest.mark.parametrize("size", [2.0, 6.0])
def test_label_size_scales_the_text(size):
    small = draw(paper_runs(), LabelSize=1.0)[1].GetBounds()
    large = draw(paper_runs(), LabelSize=size)[1].GetBounds()
    assert large[0] < small[0] < 0
    assert large[3] > small[3] > 9.0


def test_axes_that_were_drawn_are_drawn_again_when_anything_changes():
    plot, runs = ParallelCoordinates(), paper_runs()
    for options in ({}, {"LabelSize": 5.0}, {"Height": 5.0}, {"Flip": "P1"}, {"Axes": "P2"}):
        for _ in range(2):
            kept = outputs(plot, runs, **options)[1]
            fresh = draw(runs, **plot_settings(plot))[1]
            for get in (lambda d: d.GetPoints().GetData(), lambda d: d.GetPointData().GetArray(0)):
                np.testing.assert_array_equal(to_numpy(get(kept)), to_numpy(get(fresh)))
            assert read_axes(kept).names == read_axes(fresh).names
            n_fields = kept.GetFieldData().GetNumberOfArrays()
            assert n_fields == 8  # where the axes stand, and nothing of the input


def plot_settings(plot):
    return {
        "LabelSize": plot._label_size,
        "Height": plot._height,
        "Flip": plot._flip,
        "Axes": plot._axes,
    }


def test_one_axis_is_a_dash_at_the_value():
    lines, _, _ = draw(paper_runs(), Axes="P1", Height=10.0)
    points = cell_points(lines, 33)
    np.testing.assert_allclose(points[:, 1], [3, 3], atol=1e-6)
    assert points[0, 0] < 8.0 < points[1, 0]


def test_axes_and_density_depend_on_time_only_with_a_column_that_may():
    source, plot = StepSource(), ParallelCoordinates()
    plot.SetInputConnection(source.GetOutputPort())
    every = [0, 50, 100]
    for axes, steps in (("", []), ("validation_accuracy", every), (" ", []), (None, every)):
        plot.SetAxes(axes)
        source.measures_the_present = axes is None
        source.Modified()
        run(plot, time=50)
        ports = [plot.GetExecutive().GetOutputInformation(port) for port in range(3)]
        published = [published_time_steps(port) for port in ports]
        assert published == [[0, 50, 100], steps, steps]


def test_lines_have_the_columns_of_the_step_while_the_axes_stay():
    source, plot = StepSource(), ParallelCoordinates()
    plot.SetInputConnection(source.GetOutputPort())
    seen = []
    for step in (50, 100):
        lines = run(plot, time=step)
        present = to_numpy(lines.GetCellData().GetArray("validation_accuracy"))
        np.testing.assert_allclose(present, np.linspace(0, 1, 121) * step)
        seen.append(to_numpy(plot.GetOutputDataObject(1).GetPoints().GetData()).copy())
    np.testing.assert_array_equal(*seen)
    plot.SetAxes("validation_accuracy")
    tops = [read_axes(run(plot, time=step)).hi[0] for step in (50, 100)]
    assert tops == [50, 100]


def test_lines_that_do_not_follow_time_have_no_columns_of_a_step():
    source, plot = StepSource(), ParallelCoordinates()
    plot.SetInputConnection(source.GetOutputPort())
    plot.SetFollowTime(False)
    for axes, steps in (("", []), ("validation_accuracy", [0, 50, 100])):
        plot.SetAxes(axes)
        lines = run(plot, time=50)
        assert published_time_steps(plot.GetExecutive().GetOutputInformation(0)) == steps
        assert lines.GetCellData().HasArray("validation_accuracy") == bool(axes)
        assert lines.GetCellData().HasArray("P1")
    plot.SetFollowTime(True)
    plot.SetAxes("")
    assert run(plot, time=50).GetCellData().HasArray("validation_accuracy")


def test_lines_follow_values_that_are_written_into_a_column():
    plot, runs = ParallelCoordinates(), paper_runs()
    before = cell_points(outputs(plot, runs)[0], 120)[2, 1]
    column = runs.GetCellData().GetArray("P1")
    to_numpy(column)[120] = 0.25
    column.Modified()
    after = cell_points(outputs(plot, runs)[0], 120)[2, 1]
    assert (before, after) == (9.0, 2.25)
