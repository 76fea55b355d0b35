"""Norm graph: curves by value, layouts, quantities, fits as columns and lines, errors."""

from __future__ import annotations

import numpy as np
import pytest
from ensembles import LAYERS, make_ensemble, norm
from plot_samples import STEPS, cell_colors, cell_points, make_runs, outputs, sizes

from pvensemble import schema
from pvensemble.errors import NotRecordedError, OptionError, PipelineError
from pvensemble.filters._base import run
from pvensemble.filters.norm_graph import NormGraph
from pvensemble.filters.plot_curves import HEIGHT, WIDTH
from pvensemble.filters.plot_geometry import DARK, RED
from pvensemble.filters.plot_norms import spread
from pvensemble.filters.reader import EnsembleReader
from pvensemble.filters.run_groups import RunGroups
from pvensemble.vtkdata.arrays import string_list, to_numpy

LINEAR = {"LogSteps": False, "LogNorms": False}


def draw(runs, **options):
    return outputs(NormGraph(), runs, **options)


def column(data, name):
    return to_numpy(data.GetCellData().GetArray(name))


def texts(data, name):
    return string_list(data.GetCellData().GetAbstractArray(name))


def some_runs(**more):
    """Four runs, two layers: norms 2 + a t^b, with gradients and a bias."""
    t = STEPS.astype(float)
    b = np.array([0.5, 0.5, 0.8, 1.0])[:, None]
    curves = {
        "weight_norm:conv1.weight": 2 + np.arange(1, 5)[:, None] * 0.1 * t**b,
        "weight_norm:fc.weight": np.tile(3 + 0.0 * t, (4, 1)),
        "weight_norm:fc.bias": np.tile(4 + 0.0 * t, (4, 1)),
        "gradient_norm:conv1.weight": np.tile(1 / (1 + t), (4, 1)),
        "gradient_norm:fc.weight": np.tile(2 / (1 + t), (4, 1)),
        "accuracy": np.tile(t / 100, (4, 1)),
    }
    return make_runs(
        {"a": np.arange(4.0), "b": np.array([0.0, 1, 0, 1])}, curves={**curves, **more}
    )


def lines_of(axes, color):
    colors = cell_colors(axes)[: axes.GetNumberOfLines()]
    return [cell_points(axes, int(k)) for k in np.flatnonzero((colors == color).all(axis=1))]


def test_weights_are_polylines_above_and_gradients_dashes_below():
    weights, gradients, _ = draw(some_runs(), Parameter="conv1.weight", **LINEAR)
    assert weights.GetNumberOfCells() == weights.GetNumberOfLines() == 4
    assert gradients.GetNumberOfCells() == gradients.GetNumberOfVerts() == 4
    truth = 2 + np.arange(1, 5)[:, None] * 0.1 * STEPS ** np.array([0.5, 0.5, 0.8, 1.0])[:, None]
    points = np.stack([cell_points(weights, k) for k in range(4)])
    np.testing.assert_allclose(points[:, :, 0], np.tile(STEPS / 100 * WIDTH, (4, 1)), atol=1e-5)
    slope, at_zero = np.polyfit(truth.ravel(), points[:, :, 1].ravel(), 1)
    np.testing.assert_allclose(points[:, :, 1], at_zero + slope * truth, atol=1e-4)
    assert points[:, :, 1].min() > HEIGHT / 2 > cell_points(gradients, 0)[:, 1].max()


def test_on_logarithmic_axes_a_power_law_is_a_line_and_step_0_is_left_out():
    weights, _, axes = draw(some_runs(), Parameter="conv1.weight", Quantity="growth")
    steepness = []
    for cell in range(4):
        points = cell_points(weights, cell)
        np.testing.assert_allclose(points[:, 0], np.log10(STEPS[1:] / 10) * WIDTH, atol=1e-5)
        slope, at_zero = np.polyfit(points[:, 0], points[:, 1], 1)
        np.testing.assert_allclose(points[:, 1], at_zero + slope * points[:, 0], atol=1e-4)
        steepness.append(slope)
    np.testing.assert_allclose(np.array(steepness) / steepness[0], [1, 1, 1.6, 2], rtol=1e-3)
    np.testing.assert_allclose(column(weights, "norm_exponent"), [0.5, 0.5, 0.8, 1.0], rtol=1e-4)
    np.testing.assert_allclose(column(weights, "norm_factor"), [0.1, 0.2, 0.3, 0.4], rtol=1e-4)
    assert (column(weights, "norm_exponent_low") <= column(weights, "norm_exponent")).all()
    assert (column(weights, "norm_exponent") <= column(weights, "norm_exponent_high")).all()
    # The broken lines lie upon the curves.
    broken = [line for line in lines_of(axes, DARK) if len(line) == 3]
    assert len(broken) == 4 * 40
    for line in broken:
        near = [np.interp(line[:, 0], *cell_points(weights, k).T) - line[:, 1] for k in range(4)]
        assert min(np.abs(d).max() for d in near) < 1e-3


def test_all_parameters_together_are_one_vector():
    weights, gradients, _ = draw(some_runs(), **LINEAR)
    present = column(weights, "present_weight_norm")
    conv1 = 2 + np.arange(1, 5) * 0.1 * 100 ** np.array([0.5, 0.5, 0.8, 1.0])
    np.testing.assert_allclose(present, np.sqrt(conv1**2 + 3**2 + 4**2))
    np.testing.assert_allclose(column(gradients, "present_gradient_norm"), np.sqrt(5) / 101)
    assert texts(weights, "parameter") == ["all parameters"] * 4


def test_all_layers_of_one_run_have_a_line_each():
    weights, gradients, _ = draw(some_runs(), Layout="all layers", Runs="2", **LINEAR)
    for data in (weights, gradients):
        assert data.GetNumberOfCells() == 8
        np.testing.assert_array_equal(np.flatnonzero(sizes(data)), [2, 6])
        assert texts(data, "parameter") == ["conv1.weight"] * 4 + ["fc.weight"] * 4
        np.testing.assert_array_equal(column(data, "run_index"), [0, 1, 2, 3] * 2)
        assert len(np.unique(column(data, "line_color")[[2, 6]], axis=0)) == 2
    present = column(weights, "present_weight_norm")
    np.testing.assert_allclose(present[[2, 6]], [2 + 0.3 * 100**0.8, 3])
    assert np.isnan(present[[0, 1, 3, 4, 5, 7]]).all()
    first, _, _ = draw(some_runs(), Layout="all layers")
    np.testing.assert_array_equal(np.flatnonzero(sizes(first)), [0, 4])


def test_the_present_norm_follows_the_time_and_so_does_the_playhead():
    runs = some_runs()
    algorithm = NormGraph()
    for time in (0.0, 25.0, 100.0):
        weights, _, axes = outputs(algorithm, runs, time=time, Parameter="conv1", **LINEAR)
        expected = 2 + 0.1 * (10 * (time // 10)) ** 0.5
        assert column(weights, "present_weight_norm")[0] == pytest.approx(expected)
        for line in lines_of(axes, RED):
            np.testing.assert_allclose(line[:, 0], time / 100 * WIDTH, atol=1e-5)
    outputs(algorithm, runs, time=50.0, LogSteps=True)
    (upper, lower) = lines_of(algorithm.GetOutputDataObject(2), RED)
    np.testing.assert_allclose(upper[:, 0], np.log10(5) * WIDTH, atol=1e-5)
    _, _, axes = outputs(algorithm, runs, time=0.0)
    assert lines_of(axes, RED) == []  # step 0 has no place on a logarithmic axis


def test_a_fit_is_of_the_chosen_steps_and_can_be_hidden():
    t = STEPS.astype(float)
    bent = np.where(t <= 50, t, 50 * (np.maximum(t, 1) / 50) ** 0.25)
    runs = make_runs({"a": np.arange(2.0)}, curves={"weight_norm:w": np.tile(bent, (2, 1))})
    early, _, _ = draw(runs, FitEnd=50)
    late, _, axes = draw(runs, FitStart=50, ShowFit=False)
    np.testing.assert_allclose(column(early, "norm_exponent"), 1.0, rtol=1e-4)
    np.testing.assert_allclose(column(late, "norm_exponent"), 0.25, rtol=1e-4)
    assert lines_of(axes, DARK) == []


def test_what_was_not_recorded_or_diverged_is_left_out():
    t = STEPS.astype(float)
    weight = np.tile(1 + t, (4, 1))
    weight[1, 5:] = np.inf
    weight[2] = np.nan
    gradient = 1 / weight
    gradient[1, 5:] = np.nan
    runs = make_runs(
        {"a": np.arange(4.0)}, curves={"weight_norm:w": weight, "gradient_norm:w": gradient}
    )
    for options in ({}, LINEAR):
        weights, gradients, _ = draw(runs, **options)
        assert np.isfinite(weights.GetBounds()).all()
        assert np.isfinite(gradients.GetBounds()).all()
        assert sizes(weights)[2] == sizes(gradients)[2] == 0
        assert np.isnan(column(weights, "norm_exponent")[2])
        assert np.isfinite(column(weights, "norm_exponent")[[0, 3]]).all()


@pytest.mark.parametrize("kind", ["weight_norm", "gradient_norm"])
def test_one_panel_is_enough(kind):
    runs = make_runs({"a": np.arange(2.0)}, curves={f"{kind}:w": np.tile(1.0 + STEPS, (2, 1))})
    weights, gradients, axes = draw(runs)
    drawn = weights if kind == "weight_norm" else gradients
    places = np.concatenate([cell_points(drawn, k) for k in range(2)])
    assert np.ptp(places[:, 1]) > 0.8 * HEIGHT
    assert sizes(gradients if drawn is weights else weights).sum() == 0
    assert axes.GetNumberOfCells() > 50


def test_recorded_norms_of_an_ensemble_with_groups(tmp_path):
    truth = make_ensemble(
        tmp_path / "norms.pvens", n_lr=2, n_momentum=2, groups=2, diverged=(3,), norms=True
    )
    reader, groups, graph = EnsembleReader(), RunGroups(), NormGraph()
    reader.SetFileName(str(truth.path))
    groups.SetInputConnection(reader.GetOutputPort())
    groups.SetGroups("chosen = #123456 : runs 1")
    graph.SetInputConnection(groups.GetOutputPort())
    graph.SetParameter("conv2")
    assert run(graph, time=50).GetNumberOfCells() == truth.n_runs
    assert graph.GetParameterNames() == ["", "conv1.weight", "conv2.weight"]
    weights, gradients, axes = (graph.GetOutputDataObject(port) for port in range(3))
    expected = norm(LAYERS[1], schema.WEIGHT_NORM, 50, np.arange(4))
    np.testing.assert_allclose(column(weights, "present_weight_norm"), expected)
    np.testing.assert_allclose(column(gradients, "present_gradient_norm"), 1 / expected)
    assert len([c for c in cell_colors(axes) if tuple(c) == (18, 52, 86)])
    assert sizes(weights).tolist() == [2] * 4  # steps 50 and 100


WRONG = [
    ({"Parameter": "conv2.weight"}, "did you mean 'conv1.weight'", OptionError),
    ({"Layout": "all layer"}, "did you mean 'all layers'", OptionError),
    ({"Quantity": "norms"}, "did you mean 'norm'", OptionError),
    ({"FitStart": 50, "FitEnd": 20}, "Fit Start, 50, is after Fit End, 20", OptionError),
    ({"LabelSize": 0.0}, "Label Size must be", OptionError),
]


@pytest.mark.parametrize(("options", "message", "kind"), WRONG)
@pytest.mark.expect_vtk_errors
def test_wrong_options_are_named(options, message, kind):
    with pytest.raises(PipelineError, match=message) as caught:
        draw(some_runs(), **options)
    assert isinstance(caught.value.__cause__, kind)


@pytest.mark.expect_vtk_errors
def test_runs_without_norms_are_explained():
    runs = make_runs({"a": np.arange(2.0)}, curves={"accuracy": np.zeros((2, 11))})
    with pytest.raises(PipelineError, match="no norms of weights or gradients") as caught:
        draw(runs)
    assert isinstance(caught.value.__cause__, NotRecordedError)


@pytest.mark.expect_vtk_errors
def test_too_many_labels_are_refused():
    values = np.tile(1.0 + STEPS, (40, 1))
    runs = make_runs(
        {"a": np.arange(40.0)},
        curves={"weight_norm:a.weight": values, "weight_norm:b.weight": values},
    )
    with pytest.raises(PipelineError, match="at most 60 lines"):
        draw(runs, Layout="all layers", Runs="0-39")
    assert sizes(draw(runs, Layout="all layers", Runs="0-29")[0]).astype(bool).sum() == 60


def test_labels_keep_their_distance_and_order():
    heights = np.array([1.0, 1.0, 1.05, 5.0, 8.99, 9.0])
    placed = spread(heights, 0.5, 0.0, 9.0)
    order = np.argsort(heights, kind="stable")
    assert (np.diff(placed[order]) >= 0.5 - 1e-9).all()
    assert placed[3] == 5.0
    assert placed.max() == 9.0
