"""Loss Surface: heights, clipping, paths upon it, labels, what cannot be shown."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from plot_samples import cell_colors, make_runs, sizes
from surface_samples import STEPS, bowl, make_surface, reader_of, with_surfaces

from pvensemble.errors import MissingArrayError, NotRecordedError, OptionError, PipelineError
from pvensemble.filters._base import run
from pvensemble.filters.loss_surface import LossSurface, heading
from pvensemble.filters.plot_geometry import RED
from pvensemble.filters.plot_surface import HEIGHT, LIFT, SIDE, Relief
from pvensemble.store.surfaces import write_surface
from pvensemble.vtkdata.arrays import to_numpy
from pvensemble.vtkdata.runs import RunsData


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return with_surfaces(tmp_path_factory.mktemp("surface") / "grid.pvens")


def plot_of(path, **options) -> LossSurface:
    plot = LossSurface()
    plot.reader = reader_of(path)  # VTK keeps its C++ half only
    plot.SetInputConnection(plot.reader.GetOutputPort(0))
    for name, value in {"Surface": "bowl", **options}.items():
        getattr(plot, "Set" + name)(value)
    return plot


def draw(path, *, time=100, **options):
    plot = plot_of(path, **options)
    run(plot, time=time)
    return [plot.GetOutputDataObject(port) for port in range(4)]


def points_of(data):
    return to_numpy(data.GetPoints().GetData())


def point_array(data, name):
    return to_numpy(data.GetPointData().GetArray(name))


# -- the relief ------------------------------------------------------------------------------------
def test_height_is_the_logarithm_of_the_loss(path):
    surface, *_ = draw(path)
    x, y, z = points_of(surface).T
    assert (np.ptp(x), np.ptp(y)) == (SIDE, pytest.approx(0.8 * SIDE))
    loss = bowl(x * 2 / SIDE, y * 2 / SIDE)
    np.testing.assert_allclose(point_array(surface, "loss"), loss, rtol=1e-5)
    low, high = np.log(loss.min()), np.log(loss.max())
    np.testing.assert_allclose(z, HEIGHT * (np.log(loss) - low) / (high - low), atol=1e-4)
    np.testing.assert_allclose(point_array(surface, "log_loss"), np.log10(loss), rtol=1e-5)
    np.testing.assert_allclose(point_array(surface, "accuracy"), 1 - loss / 10, rtol=1e-5)
    np.testing.assert_allclose(point_array(surface, "height"), z, atol=1e-6)
    assert surface.GetNumberOfCells() == 8 * 6


def test_linear_clipped_and_scaled(path):
    surface, *_ = draw(path, LogScale=False, Clip=2.0, HeightScale=0.5)
    z, loss = points_of(surface)[:, 2], point_array(surface, "loss")
    expected = (np.minimum(loss, 2) - loss.min()) / (2 - loss.min()) * HEIGHT / 2
    np.testing.assert_allclose(z, expected, atol=1e-5)
    assert (loss > 2).sum() > 3


def test_normals_are_those_of_the_surface(path):
    surface, *_ = draw(path, LogScale=False)
    normals = to_numpy(surface.GetPointData().GetNormals())
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, rtol=1e-5)
    middle = normals.reshape(7, 9, 3)[3]
    np.testing.assert_allclose(middle[4], (0, 0, 1), atol=1e-5)
    assert (middle[1:4, 0] > 0).all()  # the bowl rises to the left, so that it faces right
    assert (middle[5:8, 0] < 0).all()


def test_infinite_losses_are_cut_off_and_kept(path):
    made = make_surface(path, "high")
    made.loss[0, :3] = np.inf
    write_surface(path, made, 0.5)
    surface, _, axes, _ = draw(path, Surface="high")
    z, loss = points_of(surface)[:, 2], point_array(surface, "loss")
    assert np.isinf(loss).sum() == 3
    np.testing.assert_allclose(z[np.isinf(loss)], HEIGHT, rtol=1e-6)
    assert np.isfinite(z).all()
    assert np.isfinite(axes.GetBounds()).all()
    relief = Relief.of(made, log=True, clip=0, height=1)
    # By hand: 95 % of the 60 finite ones are 57; three are cut, and the three infinite ones.
    assert heading(relief, ["run 1"], 0)[1].endswith(
        "10 % of the surface lie higher, some not finite"
    )


def test_what_was_not_computed_is_a_hole(path):
    made = make_surface(path, "part", complete=False)
    made.loss[5:] = np.nan
    write_surface(path, made, 0.5)
    surface, *_ = draw(path, Surface="part")
    assert surface.GetNumberOfCells() == 8 * 4
    assert np.isfinite(points_of(surface)).all()
    lines = heading(Relief.of(made, log=True, clip=0, height=1), ["run 1"], 0)
    assert "18 points are not computed yet" in lines[1]


@pytest.mark.expect_vtk_errors
def test_nothing_was_computed(path):
    nothing = replace(make_surface(path, "nothing"), loss=np.full((7, 9), np.nan))
    write_surface(path, nothing, 0.4)
    with pytest.raises(PipelineError, match="interrupted before anything can be shown"):
        draw(path, Surface="nothing")


@pytest.mark.parametrize("value", [0.0, 0.7])
def test_a_flat_surface(path, value):
    write_surface(path, replace(make_surface(path, "flat"), loss=np.full((7, 9), value)), 0.5)
    for log in (True, False):
        surface, paths, axes, _ = draw(path, Surface="flat", LogScale=log)
        assert np.isfinite(points_of(surface)).all()
        assert np.isfinite(points_of(paths)).all()
        assert axes.GetNumberOfCells() > 50


def test_contours_are_lines_of_equal_loss(path):
    *_, contours = draw(path)
    points, losses = points_of(contours), to_numpy(contours.GetCellData().GetArray("loss"))
    levels = np.unique(np.round(np.log(losses), 3))
    assert 12 <= len(levels) <= 14
    np.testing.assert_allclose(np.diff(levels), np.diff(levels)[0], atol=2e-3)
    assert contours.GetNumberOfCells() == len(losses)
    assert points[:, 2].max() < HEIGHT + LIFT
    *_, none = draw(path, ShowContours=False)
    assert none.GetNumberOfCells() == 0


# -- trajectories ----------------------------------------------------------------------------------
def test_cell_i_is_run_i_with_all_its_arrays(path):
    plot = plot_of(path, Surface="three")
    run(plot, time=100)
    paths = plot.GetOutputDataObject(1)
    given = RunsData(plot.GetInputDataObject(0, 0))
    runs = RunsData(paths)
    for name in given.columns:
        np.testing.assert_array_equal(runs.columns[name], given.columns[name])
    assert np.flatnonzero(sizes(paths)).tolist() == [1, 4, 7]
    assert runs.metric_names == []


def test_paths_lie_upon_the_surface(path):
    surface, paths, *_ = draw(path, Surface="bowl")
    step, whole = point_array(paths, "step"), point_array(paths, "is_recorded").astype(bool)
    assert step[whole].tolist() == STEPS.tolist()
    assert (np.diff(step) > 0).all()
    points = points_of(paths)
    np.testing.assert_allclose(
        points[whole][:, :2] * 2 / SIDE, np.outer((1, 0.5, 0), (0.45, 0.28)), atol=1e-6
    )
    # Independent interpolation: VTK's own, of the quads' bilinear patches.
    grid = points_of(surface)[:, 2].reshape(7, 9)
    x, y = np.linspace(-5, 5, 9), np.linspace(-4, 4, 7)
    for a, b, z in points:
        i, k = (
            min(np.searchsorted(x, a, "right") - 1, 7),
            min(np.searchsorted(y, b, "right") - 1, 5),
        )
        u, v = (a - x[i]) / 1.25, (b - y[k]) / (8 / 6)
        corners = grid[k : k + 2, i : i + 2]
        expected = np.array([1 - v, v]) @ corners @ np.array([1 - u, u])
        assert z - LIFT == pytest.approx(expected, abs=1e-4)
    np.testing.assert_allclose(point_array(paths, "distance")[whole], [3, 1.5, 0])
    np.testing.assert_allclose(
        point_array(paths, "loss")[whole], bowl(*np.outer((0.45, 0.28), (1, 0.5, 0))) + 0.5
    )


def test_networks_outside_are_left_out_and_counted(path):
    made = make_surface(path, "far")
    made.path_x[0] = 3.0
    write_surface(path, made, 0.5)
    _, paths, *_ = draw(path, Surface="far")
    assert points_of(paths)[:, 0].max() <= SIDE / 2 + 1e-6
    assert point_array(paths, "is_recorded").sum() == 2
    assert (
        "1 recorded networks lie outside"
        in heading(Relief.of(made, log=True, clip=0, height=1), ["run 1"], 1)[1]
    )


def test_no_trajectory(path):
    write_surface(path, make_surface(path, "still", with_path=False), 0.5)
    _, paths, axes, _ = draw(path, Surface="still")
    assert paths.GetNumberOfCells() == 9
    assert sizes(paths).sum() == 0
    assert red_cells(axes) == 0


def test_runs_left_out_upstream(tmp_path):
    path = with_surfaces(tmp_path / "sessions.pvens", sessions=2)
    reader = reader_of(path)
    reader.UpdateInformation()
    reader.GetSessions().DisableArray("coarse")
    plot = plot_of(path, Surface="three")
    plot.SetInputConnection(reader.GetOutputPort(0))
    run(plot)
    paths = plot.GetOutputDataObject(1)
    index = RunsData(paths).run_index
    shown = index[np.flatnonzero(sizes(paths))]
    assert set(shown) == set(index) & {1, 4, 7}
    assert 0 < len(shown) < 3


# -- the present step ------------------------------------------------------------------------------
def red_cells(axes) -> int:
    colors = cell_colors(axes)
    return int((colors == RED).all(axis=1).sum())


def red_dots(axes):
    """Centres (n, 3) of the red discs: beside the heading, and upon the trajectories."""
    colors = cell_colors(axes)
    centres = []
    for c in np.flatnonzero((colors == RED).all(axis=1)):
        points = axes.GetCell(int(c)).GetPoints()  # of the one cell that VTK fills again
        if points.GetNumberOfPoints() == 24:
            centres.append(to_numpy(points.GetData()).mean(axis=0))
    return np.array(centres)


def test_the_present_step_is_marked(path):
    plot = plot_of(path)
    places = {}
    for time in (0, 50, 70, 100, 0):
        run(plot, time=time)
        dots = red_dots(plot.GetOutputDataObject(2))
        assert len(dots) == 2
        points = points_of(plot.GetOutputDataObject(1))
        step = point_array(plot.GetOutputDataObject(1), "step")
        nearest = points[np.argmin(np.abs(step - {70: 50}.get(time, time)))]
        away = np.linalg.norm(dots - nearest, axis=1)
        assert away.min() < 0.7  # lifted towards the eye
        places[time] = dots[away.argmin()]
    np.testing.assert_array_equal(places[50], places[70])
    assert np.linalg.norm(places[0] - places[100]) > 1
    plot.SetShowStep(False)
    run(plot, time=50)
    assert red_cells(plot.GetOutputDataObject(2)) == 0


# -- which surface ---------------------------------------------------------------------------------
def test_the_newest_surface_is_shown_when_none_is_named(tmp_path):
    path = with_surfaces(tmp_path / "grid.pvens")
    plot = plot_of(path, Surface="")
    run(plot)
    assert np.flatnonzero(sizes(plot.GetOutputDataObject(1))).tolist() == [1, 4, 7]
    assert plot.GetSurfaceNames() == ["", "bowl", "three"]
    assert not plot.GetNeedsUpdate()
    write_surface(path, make_surface(path, "new", (5,)), 3.0)
    assert plot.GetNeedsUpdate()
    run(plot)
    assert np.flatnonzero(sizes(plot.GetOutputDataObject(1))).tolist() == [5]
    assert not plot.GetNeedsUpdate()


WRONG = [
    ({"Surface": "bowel"}, "no loss surface 'bowel'; did you mean 'bowl'", NotRecordedError),
    ({"Clip": -1.0}, "Clip must be", OptionError),
    ({"HeightScale": 0.0}, "Height Scale must be", OptionError),
    ({"LabelSize": 0.0}, "Label Size must be", OptionError),
]


@pytest.mark.parametrize(("options", "message", "cause"), WRONG, ids=[w[1] for w in WRONG])
@pytest.mark.expect_vtk_errors
def test_wrong_options(path, options, message, cause):
    with pytest.raises(PipelineError, match=message) as caught:
        draw(path, **options)
    assert isinstance(caught.value.__cause__, cause)


@pytest.mark.expect_vtk_errors
def test_no_surface_and_no_reader(tmp_path):
    from ensembles import make_ensemble

    made = make_ensemble(tmp_path / "bare.pvens", n_lr=2, n_momentum=2)
    with pytest.raises(
        PipelineError, match="compute one with `pvensemble surface .*bare.pvens --r"
    ):
        draw(made.path, Surface="")
    assert plot_of(made.path).GetSurfaceNames() == [""]
    plot = LossSurface()
    plot.SetInputDataObject(0, make_runs({"a": np.arange(3.0)}))
    with pytest.raises(PipelineError, match="runs that come from no reader") as caught:
        run(plot)
    assert isinstance(caught.value.__cause__, MissingArrayError)
