"""Axes: inferred scales, positions of known values, missing values, brushing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pvensemble.errors import OptionError
from pvensemble.numerics.axes import (
    RAIL,
    axis_ticks,
    brush,
    positions,
    railed_positions,
    value_at,
)
from pvensemble.numerics.axes_layout import axes_layout
from pvensemble.numerics.axis_scales import (
    CATEGORICAL,
    LINEAR,
    LOG,
    PERCENTILE,
    infer_scale,
    make_axis,
)


@pytest.mark.parametrize(
    ("values", "declared", "scale"),
    [
        (np.geomspace(1e-5, 1, 50), None, LOG),
        (np.geomspace(1, 50, 50), None, LINEAR),
        (np.append(np.geomspace(1e-5, 1, 50), 0.0), None, LINEAR),
        (np.geomspace(0.0059, 0.0161, 11), "log", LOG),
        (np.array([0.0, 1e-5, 1e-4]), "log", LOG),
        (np.array([0.0, -1.0]), "log", LINEAR),
        (np.array(["a", "b"]), None, CATEGORICAL),
        (np.array([16, 32, 64, 128]), None, CATEGORICAL),
        (np.arange(6), None, LINEAR),
        (np.array([0.1, 0.2]), None, LINEAR),
        (np.array([0.1, 0.2]), "categorical", CATEGORICAL),
        (np.array([0, 1, 1], np.uint8), None, CATEGORICAL),
        (np.array([np.nan, np.nan]), None, LINEAR),
        (np.append(np.geomspace(1e-5, 1, 50), np.nan), None, LOG),
    ],
)
def test_scale_is_inferred(values, declared, scale):
    assert infer_scale(values, declared) == scale


def test_linear_positions():
    values = np.array([2.0, 4.0, 3.0, np.nan, np.inf])
    axis = make_axis("a", values)
    np.testing.assert_array_equal(positions(axis, values), [0, 1, 0.5, np.nan, np.nan])
    np.testing.assert_array_equal(railed_positions(axis, values), [0, 1, 0.5, RAIL, RAIL])
    assert axis.n_missing == 2


def test_log_positions_and_values_without_a_logarithm():
    values = np.array([1e-4, 1e-2, 1e-3, 0.0, -1.0])
    axis = make_axis("a", values, scale="log")
    np.testing.assert_allclose(positions(axis, values), [0, 1, 0.5, np.nan, np.nan])
    assert axis.n_missing == 2


def test_percentile_positions_are_ranks():
    values = np.array([5.0, 1000.0, 7.0, 1e9, 6.0])
    axis = make_axis("a", values, scale="percentile")
    np.testing.assert_allclose(positions(axis, values), [0, 0.75, 0.5, 1, 0.25])


def test_percentile_ties_share_their_mean_rank():
    values = np.array([1.0, 2.0, 2.0, 2.0, 3.0])
    axis = make_axis("a", values, scale="percentile")
    np.testing.assert_allclose(positions(axis, values), [0, 0.5, 0.5, 0.5, 1])


def test_categories_stand_in_natural_order_and_empty_text_is_missing():
    values = np.array(["conv10", "conv2", "", "conv2", "adam"])
    axis = make_axis("a", values)
    assert axis.labels == ("adam", "conv2", "conv10")
    np.testing.assert_array_equal(positions(axis, values), [1, 0.5, np.nan, 0.5, 0])


def test_truth_values_are_labelled():
    axis = make_axis("nesterov", np.array([1, 0, 1], np.uint8))
    assert [t.label for t in axis_ticks(axis)] == ["false", "true"]


def test_flip_turns_the_axis():
    values = np.array([2.0, 4.0, np.nan])
    axis = make_axis("a", values, flipped=True)
    np.testing.assert_array_equal(positions(axis, values), [1, 0, np.nan])
    assert value_at(axis, 1.0) == 2.0
    text = np.array(["a", "b", "c"])
    axis = make_axis("t", text, flipped=True)
    np.testing.assert_array_equal(positions(axis, text), [1, 0.5, 0])
    assert [t.label for t in axis_ticks(axis)] == ["c", "b", "a"]


def test_values_outside_the_range_go_to_its_ends():
    values = np.array([0.2, 0.85, 0.89, 0.93, 0.99])
    axis = make_axis("P1", values, limits=(0.85, 0.93))
    np.testing.assert_allclose(positions(axis, values), [0, 0, 0.5, 1, 1])


def test_ends_that_hold_values_from_outside_say_so():
    values = np.linspace(0.2, 0.93, 30)
    axis = make_axis("P1", values, limits=(0.85, 0.93))
    labels = [t.label for t in axis_ticks(axis)]
    assert labels[0] == "≤ 0.85"
    assert not any("≥" in label for label in labels)
    axis = make_axis("P1", values, limits=(0.1, 0.5), flipped=True)
    assert [t.label for t in axis_ticks(axis)][0] == "≥ 0.5"
    assert not any("≤" in t.label for t in axis_ticks(axis))


def test_constant_axis_stands_in_the_middle():
    values = np.array([3.0, 3.0, np.nan])
    axis = make_axis("a", values)
    assert axis.is_constant
    np.testing.assert_array_equal(positions(axis, values), [0.5, 0.5, np.nan])
    assert [t.label for t in axis_ticks(axis)] == ["3"]


def test_axis_without_values():
    values = np.full(4, np.nan)
    axis = make_axis("a", values)
    assert axis.is_empty
    assert axis.n_missing == 4
    assert axis_ticks(axis) == []
    assert value_at(axis, 0.5) is None
    np.testing.assert_array_equal(railed_positions(axis, values), [RAIL] * 4)


def test_grid_values_are_the_ticks():
    values = np.repeat([0.01 * 0.9**k for k in range(6)], 4)
    axis = make_axis("learning_rate", values, declared="log")
    assert [t.label for t in axis_ticks(axis)] == [
        "0.005905", "0.006561", "0.00729", "0.0081", "0.009", "0.01",
    ]  # fmt: skip
    np.testing.assert_allclose([t.position for t in axis_ticks(axis)], np.linspace(0, 1, 6))


@pytest.mark.parametrize("scale", [LINEAR, LOG, PERCENTILE])
@pytest.mark.parametrize("flipped", [False, True])
def test_value_at_inverts_positions(scale, flipped):
    values = np.random.default_rng(3).uniform(0.1, 9, 40)
    axis = make_axis("a", values, scale=scale, flipped=flipped)
    back = [value_at(axis, p) for p in positions(axis, values)]
    np.testing.assert_allclose(back, values)


def test_value_at_names_the_nearest_category_and_nothing_on_the_rail():
    axis = make_axis("a", np.array(["x", "y", "z"]))
    assert value_at(axis, 0.6) == "y"
    assert value_at(axis, 1.3) == "z"
    assert value_at(axis, RAIL) is None


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        (np.ones(2), {"scale": "logarithmic"}, "unknown scale 'logarithmic'"),
        (np.array(["a"]), {"scale": "log"}, "holds text"),
        (np.array([-1.0, 0.0]), {"scale": "log"}, "no positive value"),
        (np.ones(2), {"limits": (2.0, 1.0)}, "ascending"),
        (np.ones(2), {"limits": (1.0, 1.0)}, "ascending"),
        (np.ones(2), {"limits": (np.nan, 1.0)}, "ascending"),
        (np.ones(2), {"limits": (0.0, 1.0), "scale": "log"}, "must be positive"),
        (np.array(["a"]), {"limits": (0.0, 1.0)}, "categorical"),
    ],
)
def test_wrong_options_are_refused(values, options, message):
    with pytest.raises(OptionError, match=message):
        make_axis("a", values, **options)


def test_brush_takes_exactly_the_runs_between():
    columns = {"a": np.array([0.0, 1.0, 0.5, np.nan, 0.25])}
    axis = make_axis("a", columns["a"])
    np.testing.assert_array_equal(brush(columns, axis, 0.25, 0.5), [2, 4])
    np.testing.assert_array_equal(brush(columns, axis, 0.5, 0.25), [2, 4])
    np.testing.assert_array_equal(brush(columns, axis, 0.9, 1.4), [1])  # the maximum itself
    np.testing.assert_array_equal(brush(columns, axis, -0.2, 0.0), [0, 3])  # with the rail
    np.testing.assert_array_equal(brush(columns, axis, 0.26, 0.49), [])
    with pytest.raises(OptionError, match="no column"):
        brush({"b": columns["a"]}, axis, 0, 1)


@given(st.lists(st.floats(1e-6, 1e6), min_size=2, max_size=30), st.sampled_from([LINEAR, LOG]))
def test_brush_between_two_values_equals_the_comparison(values, scale):
    values = np.array(values)
    axis = make_axis("a", values, scale=scale)
    low, high = np.sort(values)[[0, len(values) // 2]]
    at = positions(axis, np.array([low, high]))
    chosen = set(brush({"a": values}, axis, *at))
    assert set(np.flatnonzero((values >= low) & (values <= high))) <= chosen
    extra = positions(axis, values[sorted(chosen)])
    assert np.all((extra >= at[0] - 2e-6) & (extra <= at[1] + 2e-6))


COLUMNS = {
    "lr": np.array([0.1, 0.2, 0.3]),
    "fixed": np.array([7.0, 7.0, 7.0]),
    "P1": np.array([0.5, np.nan, 0.9]),
    "never": np.full(3, np.nan),
}


def test_layout_hides_constant_and_empty_axes():
    layout = axes_layout(COLUMNS, ["lr", "fixed"], ["P1", "never"], width=10.0)
    assert [a.name for a in layout.axes] == ["lr", "P1"]
    np.testing.assert_array_equal(layout.x, [0, 10])
    np.testing.assert_allclose(layout.positions, [[0, 0], [0.5, RAIL], [1, 1]])


def test_layout_shows_everything_that_is_asked_for():
    layout = axes_layout(COLUMNS, ["lr", "fixed"], ["P1"], hide_constant=False)
    assert [a.name for a in layout.axes] == ["lr", "fixed", "P1"]
    layout = axes_layout(COLUMNS, ["lr"], [], names=["never", "lr", "fixed"])
    assert [a.name for a in layout.axes] == ["never", "lr", "fixed"]
    assert axes_layout(COLUMNS, ["fixed"], []).axes[0].name == "fixed"


def test_layout_maps_the_mouse():
    layout = axes_layout(COLUMNS, ["lr"], ["P1"], width=16, height=9)
    assert layout.nearest_axis(3.0) == 0
    assert layout.value_at(15.0, 4.5) == pytest.approx(0.7)
    np.testing.assert_array_equal(layout.brush(0.3, 0.0, 5.0), [0, 1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"names": ["lrr"]}, "Axes: no column 'lrr'; did you mean 'lr'"),
        ({"names": ["lr", "lr"]}, "named twice"),
        ({"scales": {"x": "log"}}, "Scales: no column 'x'"),
        ({"flipped": ["x"]}, "Flip: no column 'x'"),
        ({"ranges": {"x": (0, 1)}}, "Ranges: no column 'x'"),
    ],
)
def test_layout_names_the_wrong_option(options, message):
    with pytest.raises(OptionError, match=message):
        axes_layout(COLUMNS, ["lr"], ["P1"], **options)


def test_layout_without_columns_says_what_to_do():
    with pytest.raises(OptionError, match="name columns in Axes"):
        axes_layout(COLUMNS, [], [])
