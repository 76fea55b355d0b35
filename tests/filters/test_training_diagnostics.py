"""Training diagnostics: planted troubles are found, healthy runs are left alone."""

from __future__ import annotations

import numpy as np
import pytest
from dynamics_samples import STEPS, make_dynamics, walk
from ensembles import make_ensemble
from plot_samples import make_runs
from topology_samples import WatchedReader, plot_of

from pvensemble import schema
from pvensemble.errors import NotRecordedError, OptionError, PipelineError
from pvensemble.filters._base import run
from pvensemble.filters.parallel_coordinates import ParallelCoordinates
from pvensemble.filters.run_groups import RunGroups
from pvensemble.filters.training_diagnostics import TrainingDiagnostics
from pvensemble.numerics.norms import fit_power_law, quantity_of
from pvensemble.vtkdata.arrays import string_list, to_numpy
from pvensemble.vtkdata.runs import RunsData

FLAGS = ("is_vanishing", "is_exploding", "has_dead_filters", "is_stuck")
HEALTHY, VANISHED, EXPLODED, STUCK, DIVERGED = range(5)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    weights = [10 + walk(k, 4) for k in range(5)]
    gradients = [0.1 * w for w in weights]
    gradients[VANISHED] = 1e-7 * weights[VANISHED]
    gradients[EXPLODED][7] *= 1e4
    weights[STUCK][10:] = weights[STUCK][10]  # stops early
    gradients[STUCK] = 0.1 * weights[STUCK]
    weights[DIVERGED][21:] = np.nan
    gradients[DIVERGED][20:] = np.nan
    return make_dynamics(
        tmp_path_factory.mktemp("diagnostics") / "five.pvens",
        weights,
        gradients,
        kinds=(schema.WEIGHT, schema.CORRELATION),
        states={DIVERGED: (schema.DIVERGED, 200)},
    )


def reader_of(made, *, layers=("conv",)):
    reader = WatchedReader()
    reader.SetFileName(str(made.path))
    reader.UpdateInformation()
    for layer in layers:
        reader.GetLayers().EnableArray(layer)
    return reader


def diagnose(made, *, time=400, **options):
    return run(plot_of(TrainingDiagnostics(), reader_of(made), **options), time=time)


def column(data, name):
    return to_numpy(data.GetCellData().GetArray(name))


def flagged(data, name):
    return np.flatnonzero(column(data, name)).tolist()


def said(data):
    return string_list(data.GetCellData().GetAbstractArray("diagnosis"))


def test_each_planted_trouble_is_found_and_nothing_else(made):
    output = diagnose(made)
    assert flagged(output, "is_vanishing") == [VANISHED]
    assert flagged(output, "is_exploding") == [EXPLODED, DIVERGED]
    assert flagged(output, "is_stuck") == [STUCK]
    assert flagged(output, "has_dead_filters") == [STUCK]
    np.testing.assert_array_equal(column(output, "dead_filters"), [0] * 5)
    np.testing.assert_array_equal(column(output, "still_filters"), [0, 0, 0, 4, 0])
    assert said(output) == [
        "nothing found",
        "vanishing gradient",
        "exploding gradient",
        "dead filters, stuck",
        "diverged, exploding gradient",
    ]


def test_measures_by_value(made):
    output = diagnose(made)
    low, high = column(output, "gradient_ratio_low"), column(output, "gradient_ratio_high")
    np.testing.assert_allclose(low, [0.1, 1e-7, 0.1, 0.1, 0.1], rtol=1e-5)
    np.testing.assert_allclose(high, [0.1, 1e-7, 1e3, 0.1, 0.1], rtol=1e-5)
    assert column(output, "relative_movement")[STUCK] == 0
    flat = made.weights[HEALTHY].reshape(len(STEPS), -1).astype(np.float32)
    flips = np.sum(np.diff(np.sign(flat), axis=0) != 0, axis=0)
    assert column(output, "flips_per_weight")[HEALTHY] == pytest.approx(flips.mean())
    assert column(output, "never_flipped")[HEALTHY] == pytest.approx((flips == 0).mean())
    path = np.linalg.norm(np.diff(flat[20:], axis=0), axis=1).sum()
    expected = path / np.linalg.norm(flat[20])
    assert column(output, "relative_movement")[HEALTHY] == pytest.approx(expected, rel=1e-5)
    norms = np.linalg.norm(flat.astype(float), axis=1)[None]
    for quantity in ("growth", "norm"):
        exponent = column(diagnose(made, Quantity=quantity), "norm_exponent")[HEALTHY]
        reference = fit_power_law(np.array(STEPS), quantity_of(norms, quantity)).exponent[0]
        assert exponent == pytest.approx(reference, rel=1e-4, nan_ok=True)


def test_a_diverged_run_is_judged_by_what_was_before(made):
    output = diagnose(made)
    weights = made.weights[DIVERGED][:21].reshape(21, -1).astype(np.float32)
    path = np.linalg.norm(np.diff(weights[10:], axis=0), axis=1).sum()
    expected = path / np.linalg.norm(weights[10])
    assert column(output, "relative_movement")[DIVERGED] == pytest.approx(expected, rel=1e-5)
    for name in FLAGS:
        assert set(column(output, name)) <= {0, 1}


def test_thresholds_are_properties(made):
    assert flagged(diagnose(made, VanishingBelow=0.0), "is_vanishing") == []
    assert flagged(diagnose(made, ExplodingAbove=1e4), "is_exploding") == [DIVERGED]
    assert flagged(diagnose(made, StuckBelow=1e9), "is_stuck") == [0, 1, 2, 3]


def test_dead_filters_are_those_at_the_present_step(tmp_path):
    steps = list(range(0, 60, 10))
    made = make_dynamics(
        tmp_path / "dead.pvens",
        [walk(k, 5, steps=steps) for k in range(2)],
        widths=(5,),
        steps=steps,
        upto=3,
        kinds=(schema.WEIGHT, schema.CORRELATION),
        finish=False,
    )
    for place in (3, 4, 5):
        made.commit(0, place, dead=2)
    made.close()
    for time, count in ((20, 0), (30, 2)):
        output = diagnose(made, time=time)
        np.testing.assert_array_equal(column(output, "dead_filters"), [count] * 2)
        assert flagged(output, "has_dead_filters") == ([0, 1] if count else [])
    assert said(diagnose(made, time=50))[0].startswith("dead filters")


def test_measures_are_listed_and_other_filters_use_them(made):
    diagnostics = plot_of(TrainingDiagnostics(), reader_of(made))
    listed = RunsData(run(diagnostics, time=400)).measures
    assert listed == [
        "gradient_ratio_low",
        "gradient_ratio_high",
        "norm_exponent",
        "dead_filters",
        "relative_movement",
        "still_filters",
        "never_flipped",
        "flips_per_weight",
    ]
    groups, plot = RunGroups(), ParallelCoordinates()
    groups.SetInputConnection(diagnostics.GetOutputPort())
    groups.SetGroups("bad = #ff0000 : is_stuck == 1 or is_vanishing == 1")
    plot.SetInputConnection(groups.GetOutputPort())
    output = run(plot, time=400)
    assert column(output, "group").tolist() == [-1, 0, -1, 0, -1]
    field = output.GetFieldData().GetAbstractArray("axis_names")
    assert "relative_movement" in string_list(field)


def test_runs_alone_are_judged_by_their_norms():
    values = np.tile(np.linspace(1, 2, 11), (2, 1))
    curves = {"weight_norm:w": values, "gradient_norm:w": values * np.array([[0.1], [1e-9]])}
    diagnostics = TrainingDiagnostics()
    diagnostics.SetInputDataObject(0, make_runs({"a": np.arange(2.0)}, curves=curves))
    output = run(diagnostics)
    assert flagged(output, "is_vanishing") == [1]
    assert not output.GetCellData().HasArray("relative_movement")


def test_without_norms_the_weights_are_judged(tmp_path):
    truth = make_ensemble(tmp_path / "plain.pvens", n_lr=2, n_momentum=2, groups=2)
    output = run(plot_of(TrainingDiagnostics(), reader_of(truth, layers=["conv1"])), time=100)
    assert not output.GetCellData().HasArray("norm_exponent")
    assert np.isfinite(column(output, "relative_movement")).all()
    assert column(output, "never_flipped").tolist() == [1] * 4


def test_other_options_and_times_read_nothing_again(made):
    reader = reader_of(made)
    diagnostics = plot_of(TrainingDiagnostics(), reader)
    run(diagnostics, time=400)
    reader.reads()
    run(plot_of(diagnostics, reader, StuckBelow=0.5), time=400)
    assert reader.reads() == []
    run(diagnostics, time=200)
    assert reader.reads() == [200.0]


@pytest.mark.expect_vtk_errors
def test_runs_without_anything_are_explained():
    diagnostics = TrainingDiagnostics()
    diagnostics.SetInputDataObject(0, make_runs({"a": np.arange(2.0)}))
    with pytest.raises(PipelineError, match="neither norms .* nor weights") as caught:
        run(diagnostics)
    assert isinstance(caught.value.__cause__, NotRecordedError)


WRONG = [
    ({"VanishingBelow": -1.0}, "Vanishing Below must not be negative", OptionError),
    ({"StuckBelow": float("nan")}, "Stuck Below must not be negative", OptionError),
    ({"Quantity": "growt"}, "did you mean 'growth'", OptionError),
    ({"FitStart": 9, "FitEnd": 3}, "Fit Start, 9, is after Fit End, 3", OptionError),
    ({"Layer": "conv7"}, "check layer 'conv7'", NotRecordedError),
]


@pytest.mark.parametrize(("options", "message", "kind"), WRONG)
@pytest.mark.expect_vtk_errors
def test_wrong_options_are_named(made, options, message, kind):
    with pytest.raises(PipelineError, match=message) as caught:
        diagnose(made, **options)
    assert isinstance(caught.value.__cause__, kind)
