"""Loss-accuracy graph: positions of curves, gaps, dashes, playhead, diverged runs."""

from __future__ import annotations

import numpy as np
from plot_samples import (
    STEPS,
    StepSource,
    cell_colors,
    cell_points,
    make_runs,
    outputs,
    paper_runs,
    sizes,
)

from pvensemble.filters._base import run
from pvensemble.filters.loss_accuracy_graph import HEIGHT, WIDTH, LossAccuracyGraph
from pvensemble.filters.plot_geometry import RED
from pvensemble.vtkdata.arrays import to_numpy
from pvensemble.vtkdata.time import published_time_steps


def draw(runs, **options):
    return outputs(LossAccuracyGraph(), runs, **options)


def red_lines(axes):
    """Return the points of the red line cells."""
    colors = cell_colors(axes)[: axes.GetNumberOfLines()]
    return [cell_points(axes, int(k)) for k in np.flatnonzero((colors == RED).all(axis=1))]


def test_accuracy_is_a_polyline_over_the_steps():
    accuracy, loss, _ = draw(paper_runs())
    assert accuracy.GetNumberOfCells() == accuracy.GetNumberOfLines() == 121
    assert loss.GetNumberOfCells() == loss.GetNumberOfVerts() == 121
    points = cell_points(accuracy, 120)  # 0, 0.1 … 1
    np.testing.assert_allclose(points[:, 0], np.linspace(0, WIDTH, 11), atol=1e-5)
    bottom, unit = cell_points(accuracy, 0)[0, 1], np.diff(points[:, 1])
    np.testing.assert_allclose(unit, unit[0], atol=1e-5)
    assert points[0, 1] == bottom
    assert bottom > HEIGHT / 2
    assert 0.97 * HEIGHT < points[-1, 1] < HEIGHT


def test_loss_lies_below_in_dashes_along_its_curve():
    accuracy, loss, _ = draw(paper_runs())
    points = cell_points(loss, 120)  # a straight line from 2 down to 1
    assert points[:, 1].max() < cell_points(accuracy, 0)[:, 1].min()
    slope, at_zero = np.polyfit(points[:, 0], points[:, 1], 1)
    np.testing.assert_allclose(points[:, 1], at_zero + slope * points[:, 0], atol=1e-4)
    assert slope < 0
    gaps = np.diff(points[:, 0])
    assert (gaps > 0.05).sum() > 50
    assert np.median(gaps) < 0.03


def test_only_chosen_runs_are_drawn():
    accuracy, loss, _ = draw(paper_runs(), Runs="7, 30-31")
    for data in (accuracy, loss):
        assert data.GetNumberOfCells() == 121
        np.testing.assert_array_equal(np.flatnonzero(sizes(data)), [7, 30, 31])


def test_unmeasured_steps_are_bridged_and_ended_runs_end():
    values = np.tile(np.linspace(0, 1, 11), (4, 1))
    values[0, 3:6] = np.nan  # not evaluated there
    values[1, 6:] = np.nan  # ended
    values[2, :] = np.nan
    values[3, 1:] = np.nan  # a single value
    runs = make_runs({"a": np.arange(4.0)}, curves={"accuracy": values, "loss": 1 - values})
    accuracy, loss, _ = draw(runs)
    unit = WIDTH / 10
    np.testing.assert_allclose(cell_points(accuracy, 0)[:, 0] / unit, [0, 1, 2, 6, 7, 8, 9, 10])
    assert cell_points(accuracy, 1)[-1, 0] == 5 * unit
    np.testing.assert_allclose(cell_points(loss, 1)[:, 0].max(), 5 * unit, atol=0.1)
    np.testing.assert_array_equal(sizes(accuracy), [8, 6, 0, 2])
    assert sizes(loss)[2] == 0
    assert sizes(loss)[3] == 1


def test_playhead_stands_at_the_time():
    _, _, axes = draw(paper_runs(), time=25.0)
    lines = red_lines(axes)
    assert len(lines) == 2
    for points in lines:
        np.testing.assert_allclose(points[:, 0], WIDTH / 4, atol=1e-5)
    assert lines[0][:, 1].max() == HEIGHT
    assert lines[1][:, 1].min() == 0
    algorithm = LossAccuracyGraph()
    outputs(algorithm, paper_runs(), time=25.0)
    _, _, axes = outputs(algorithm, paper_runs(), time=50.0)
    np.testing.assert_allclose(red_lines(axes)[0][:, 0], WIDTH / 2, atol=1e-5)


def test_no_playhead_when_off_or_outside_or_timeless():
    assert red_lines(draw(paper_runs(), time=25.0, ShowPlayhead=False)[2]) == []
    assert red_lines(draw(paper_runs(), time=101.0)[2]) == []
    assert red_lines(draw(paper_runs())[2]) == []


def test_a_diverged_loss_stays_inside_and_leaves_the_others_their_scale():
    loss = np.tile(np.linspace(2, 1, 11), (100, 1))
    reference = draw(make_runs({"a": np.arange(100.0)}, curves={"loss": loss}))
    broken = loss.copy()
    broken[0, 10], broken[1, 10] = 1e6, np.inf
    diverged = draw(make_runs({"a": np.arange(100.0)}, curves={"loss": broken}))
    points = to_numpy(diverged[1].GetPoints().GetData())
    assert np.isfinite(points).all()
    assert points[:, 1].max() <= HEIGHT + 1e-6
    assert cell_points(diverged[1], 1)[:, 1].max() > 0.98 * HEIGHT
    span = np.ptp(cell_points(diverged[1], 50)[:, 1]) / np.ptp(cell_points(reference[1], 50)[:, 1])
    assert 0.9 < span < 1.1
    assert diverged[2].GetNumberOfPolys() > reference[2].GetNumberOfPolys()  # the note


def test_log_loss():
    loss = np.tile(10.0 ** np.linspace(0, -10, 11), (2, 1))
    runs = make_runs({"a": np.arange(2.0)}, curves={"loss": loss})
    points = cell_points(draw(runs, LogLoss=True)[1], 0)
    fit = np.polyval(np.polyfit(points[:, 0], points[:, 1], 1), points[:, 0])
    np.testing.assert_allclose(points[:, 1], fit, atol=1e-4)
    flat = cell_points(draw(runs)[1], 0)
    assert np.median(flat[:, 1]) < np.median(points[:, 1])


def test_metrics_can_be_chosen_and_one_is_enough():
    curves = {"accuracy": np.tile(STEPS / 100, (3, 1)), "other": np.tile(STEPS * 2.0, (3, 1))}
    runs = make_runs({"a": np.arange(3.0)}, curves=curves)
    accuracy, loss, _ = draw(runs)
    assert cell_points(accuracy, 0)[0, 1] < 0.1 * HEIGHT  # the only panel: the whole height
    assert loss.GetNumberOfCells() == 3
    assert sizes(loss).sum() == 0
    accuracy, loss, _ = draw(runs, LossMetric="other")
    assert cell_points(accuracy, 0)[0, 1] > 0.5 * HEIGHT
    assert sizes(loss).min() > 10
    algorithm = LossAccuracyGraph()
    outputs(algorithm, runs)
    assert algorithm.GetMetricNames() == ["", "accuracy", "other"]


def test_curves_that_do_not_follow_time_have_no_columns_of_a_step():
    source, graph = StepSource(), LossAccuracyGraph()
    graph.SetInputConnection(source.GetOutputPort())
    for follow, present, steps in (
        (True, False, [0, 50, 100]),
        (False, False, []),
        (False, True, [0, 50, 100]),
    ):
        source.measures_the_present = present
        graph.SetFollowTime(follow)
        run(graph, time=50)
        published = [
            published_time_steps(graph.GetExecutive().GetOutputInformation(port))
            for port in range(3)
        ]
        assert published == [steps, steps, [0, 50, 100]]
        for port in (0, 1):
            columns = graph.GetOutputDataObject(port).GetCellData()
            assert columns.HasArray("validation_accuracy") == bool(steps)
            assert columns.HasArray("P1")
