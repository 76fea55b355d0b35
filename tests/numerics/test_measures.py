"""Performance measures: hand-computed answers, definitions as properties, errors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pvensemble import schema
from pvensemble.errors import MeasureError
from pvensemble.numerics import measures, performance

STEPS = np.array([0, 10, 20, 30])
#                 0    10   20   30
VALUES = np.array(
    [
        [0.1, 0.5, 0.9, 0.7],
        [0.2, 0.2, 0.2, 0.2],
        [0.0, 0.8, np.nan, np.nan],
        [np.nan] * 4,
    ]
)

curves = st.integers(1, 6).flatmap(
    lambda n_steps: st.tuples(
        st.just(np.arange(n_steps) * 10),
        hnp.arrays(
            np.float64,
            st.tuples(st.integers(1, 5), st.just(n_steps)),
            elements=st.one_of(st.floats(0, 1, width=32), st.just(np.nan)),
        ),
    )
)


# -- P1 -----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (0, [0.1, 0.2, 0.0, 0]),
        (9.9, [0.1, 0.2, 0.0, 0]),
        (10, [0.5, 0.2, 0.8, 0]),
        (25, [0.9, 0.2, 0.8, 0]),  # the third was last measured at 10
        (1000, [0.7, 0.2, 0.8, 0]),
        (None, [0.7, 0.2, 0.8, 0]),
    ],
)
def test_p1_is_accuracy_at_last_evaluated_step(step, expected):
    np.testing.assert_array_equal(measures.accuracy_at(STEPS, VALUES, step), expected)


def test_p1_before_first_evaluated_step_is_refused():
    with pytest.raises(MeasureError, match="first evaluated step is 10"):
        measures.accuracy_at(STEPS[1:], VALUES[:, 1:], 5)


def test_value_at_is_nan_where_not_measured():
    np.testing.assert_array_equal(measures.value_at(STEPS, VALUES, 10), [0.5, 0.2, 0.8, np.nan])
    assert np.isnan(measures.value_at(STEPS, VALUES, -1)).all()


# -- P2 -----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("interval", "expected"),
    [
        (None, [0.9, 0.2, 0.8, 0]),
        ((0, 10), [0.5, 0.2, 0.8, 0]),  # both ends belong to it
        ((10, 20), [0.9, 0.2, 0.8, 0]),
        ((11, 19.99), None),
        ((30, 30), [0.7, 0.2, 0, 0]),
        ((20, 30), [0.9, 0.2, 0, 0]),
        ((-5, 0), [0.1, 0.2, 0, 0]),
    ],
)
def test_p2_is_maximum_over_closed_interval(interval, expected):
    if expected is None:
        with pytest.raises(MeasureError, match="holds no evaluated step; evaluated were 4 steps"):
            measures.maximum_in(STEPS, VALUES, interval)
    else:
        np.testing.assert_array_equal(measures.maximum_in(STEPS, VALUES, interval), expected)


@pytest.mark.parametrize("interval", [(20, 10), (np.nan, 10)])
def test_interval_that_ends_before_it_starts_is_refused(interval):
    with pytest.raises(MeasureError, match="start is after the end"):
        measures.maximum_in(STEPS, VALUES, interval)


def test_interval_after_the_training_is_refused():
    with pytest.raises(MeasureError, match="from 0 to 30"):
        measures.deviation_in(STEPS, VALUES, (100, 600))


# -- P3 -----------------------------------------------------------------------------------------
def test_deviation_is_the_population_one_in_percentage_points():
    # 0.1 0.5 0.9 0.7: mean 0.55, squares 0.2025 + 0.0025 + 0.1225 + 0.0225 = 0.35, / 4
    expected = [100 * np.sqrt(0.35 / 4), 0.0, 40.0, np.nan]
    np.testing.assert_allclose(measures.deviation_in(STEPS, VALUES), expected, rtol=1e-14)


def test_deviation_of_a_constant_curve_is_exactly_zero():
    values = np.repeat(np.linspace(0.01, 0.99, 50)[:, None], 7, axis=1)
    np.testing.assert_array_equal(measures.deviation_in(np.arange(7), values), np.zeros(50))


def test_p3_of_one_evaluated_step_is_one_for_all_measured_runs():
    deviation = measures.deviation_in(STEPS, VALUES, (10, 10))
    np.testing.assert_array_equal(deviation, [0, 0, 0, np.nan])
    np.testing.assert_array_equal(measures.stability(deviation), [1, 1, 1, 0])


@pytest.mark.parametrize(
    ("clamp", "expected"),
    [
        (None, [1, 0.75, 0, 0]),
        ((1.5, 3.0), [1, 2 / 3, 0, 0]),  # the paper's range
        ((0.0, 10.0), [0.9, 0.8, 0.5, 0]),
    ],
)
def test_p3_is_clamped_then_normalized_then_inverted(clamp, expected):
    deviation = np.array([1.0, 2.0, 5.0, np.nan])
    np.testing.assert_allclose(measures.stability(deviation, clamp), expected, rtol=1e-12)


def test_p3_is_one_when_all_are_equally_unstable():
    np.testing.assert_array_equal(measures.stability(np.array([2.5, 2.5, 2.5])), [1, 1, 1])
    rounding = np.array([2.5, 2.5 + 1e-13, 2.5 - 1e-13])
    np.testing.assert_array_equal(measures.stability(rounding), [1, 1, 1])


def test_one_run_is_as_stable_as_the_most_stable():
    table = performance.performance_table(STEPS, VALUES[:1])
    assert table["P3"].tolist() == [1.0]


def test_diverged_runs_do_not_set_the_range_of_p3():
    deviation = np.array([1.0, 3.0, 100.0])
    diverged = np.array([False, False, True])
    np.testing.assert_array_equal(measures.stability(deviation, broken=diverged)[:2], [1.0, 0.0])
    assert measures.stability(deviation)[1] > 0.9  # they would


# -- others -------------------------------------------------------------------------------------
def test_clamped_measures_become_zero_to_one():
    values = np.array([0.80, 0.85, 0.89, 0.93, 0.99])
    np.testing.assert_allclose(
        measures.normalized(values, (0.85, 0.93)), [0, 0, 0.5, 1, 1], atol=1e-12
    )


@pytest.mark.parametrize("clamp", [(0.9, 0.9), (0.9, 0.1), (np.nan, 1)])
def test_empty_clamp_is_refused(clamp):
    with pytest.raises(MeasureError, match="P1: clamp .* low end must be below"):
        performance.performance_table(STEPS, VALUES, clamps={"P1": clamp})


def test_time_to_threshold_is_the_first_step_that_reaches_it():
    np.testing.assert_array_equal(
        measures.time_to_threshold(STEPS, VALUES, 0.5), [10, np.nan, 10, np.nan]
    )
    np.testing.assert_array_equal(
        measures.time_to_threshold(STEPS, VALUES, 0.2), [10, 0, 10, np.nan]
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("custom", (None, None)),
        ("efficiency", (100.0, (100.0, 600.0))),  # the paper's, for 1,000 steps
        ("stability", (1000.0, (500.0, 1000.0))),
    ],
)
def test_presets(name, expected):
    assert performance.preset(name, np.arange(0, 1001, 50)) == expected


@pytest.mark.parametrize("name", performance.PRESETS)
@pytest.mark.parametrize("steps", [[0], [7], [5, 6], [900, 1000]])
def test_presets_hold_an_evaluated_step_however_few_there_are(name, steps):
    step, interval = performance.preset(name, np.array(steps))
    values = np.full((2, len(steps)), 0.5)
    table = performance.performance_table(np.array(steps), values, p1_step=step, interval=interval)
    assert table["P1"].tolist() == [0.5, 0.5]


def test_unknown_preset_is_refused():
    with pytest.raises(MeasureError, match="did you mean 'stability'"):
        performance.preset("stabilty", STEPS)


# -- the table ----------------------------------------------------------------------------------
def test_table_by_hand():
    table = performance.performance_table(
        STEPS,
        VALUES[:3],
        p1_step=15,
        interval=(0, 10),
        clamps={"P1": (0.3, 0.7), "P3": (0, 20)},
        use=("P1", "P3"),
        threshold=0.9,
    )
    assert list(table) == [
        "P1", "P2", "P3", "combined", "final", "best", "time_to_threshold", "P3_deviation"
    ]  # fmt: skip
    expected = {
        "P1": [0.5, 0.0, 1.0],
        "P2": [0.5, 0.2, 0.8],
        "P3": [0.0, 1.0, 0.0],  # deviations 20, 0, 40
        "combined": [0.25, 0.5, 0.5],
        "final": [0.7, 0.2, 0.8],
        "best": [0.9, 0.2, 0.8],
        "time_to_threshold": [20, np.nan, np.nan],
        "P3_deviation": [20, 0, 40],
    }
    for name, column in expected.items():
        np.testing.assert_allclose(table[name], column, atol=1e-12, err_msg=name)


def test_runs_that_diverged_or_failed_are_broken():
    """A failed run keeps its last accuracy, which would make it the most stable of all."""
    states = np.array(schema.STATES)
    expected = ["DIVERGED", "FAILED"]
    assert states[performance.broken_runs(states)].tolist() == expected


def test_diverged_run_gets_zero_in_all_measures():
    table = performance.performance_table(
        STEPS, VALUES, broken=np.array([True, False, False, False]), threshold=0.5
    )
    for name in ("P1", "P2", "P3", "combined", "final", "best"):
        assert table[name][0] == 0.0, name
    assert np.isnan(table["time_to_threshold"][0])
    assert table["best"][1] == 0.2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"use": ()}, "at least one of P1, P2 and P3"),
        ({"use": ("P4",)}, "no measure 'P4'; there are: P1, P2, P3"),
        ({"clamps": {"p1": (0, 1)}}, "no measure 'p1'; did you mean 'P1'"),
        ({"broken": np.zeros(2, bool)}, r"got shape \(2,\), expected \(4,\)"),
    ],
)
def test_table_refuses(options, message):
    with pytest.raises(MeasureError, match=message):
        performance.performance_table(STEPS, VALUES, **options)


@pytest.mark.parametrize(
    ("steps", "values", "message"),
    [
        ([0, 1], np.zeros((3, 3)), r"got shape \(3, 3\) for 2 evaluated steps"),
        ([], np.zeros((3, 0)), "no step was evaluated yet"),
        ([1, 1], np.zeros((3, 2)), "not ascending"),
        ([1, 2], np.zeros(2), r"expected \(n_runs, 2\)"),
    ],
)
def test_unusable_curves_are_refused(steps, values, message):
    with pytest.raises(MeasureError, match=message):
        performance.performance_table(np.array(steps), values)


def test_percentages_are_refused_unless_clamped():
    with pytest.raises(MeasureError, match=r"P1: values lie in \[20, 70\]"):
        performance.performance_table(STEPS, 100 * VALUES[:2])
    clamps = {"P1": (0, 100), "P2": (0, 100)}
    table = performance.performance_table(STEPS, 100 * VALUES[:2], clamps=clamps)
    np.testing.assert_allclose(table["P1"], [0.7, 0.2])


def test_no_runs_give_empty_columns():
    table = performance.performance_table(STEPS, np.zeros((0, 4)))
    assert all(column.shape == (0,) for column in table.values())


@given(curves, st.floats(0, 60), st.sampled_from([None, (0, 1000), (0, 0)]), st.data())
@settings(max_examples=150, deadline=None)
def test_all_measures_lie_in_unit_interval_and_are_never_nan(curve, step, interval, data):
    steps, values = curve
    diverged = data.draw(hnp.arrays(bool, len(values)))
    table = performance.performance_table(
        steps, values, p1_step=step, interval=interval, broken=diverged
    )
    for name in ("P1", "P2", "P3", "combined", "final", "best"):
        assert np.isfinite(table[name]).all(), name
        assert ((table[name] >= 0) & (table[name] <= 1)).all(), name
        assert (table[name][diverged] == 0).all(), name


@given(curves, st.data())
@settings(max_examples=100, deadline=None)
def test_vectorized_equals_slow_obvious_version(curve, data):
    steps, values = curve
    low = data.draw(st.integers(0, int(steps[-1])))
    high = data.draw(st.integers(low, int(steps[-1]) + 10))
    if not ((steps >= low) & (steps <= high)).any():
        return
    p1 = measures.accuracy_at(steps, values, high)
    p2 = measures.maximum_in(steps, values, (low, high))
    deviation = measures.deviation_in(steps, values, (low, high))
    for run in range(len(values)):
        before = [v for s, v in zip(steps, values[run]) if s <= high and v == v]
        inside = [v for s, v in zip(steps, values[run]) if low <= s <= high and v == v]
        assert p1[run] == (before[-1] if before else 0)
        assert p2[run] == (max(inside) if inside else 0)
        if inside:
            assert deviation[run] == pytest.approx(100 * np.std(inside), abs=1e-9)
        else:
            assert np.isnan(deviation[run])


@given(hnp.arrays(np.float64, st.integers(2, 8), elements=st.floats(0, 50)))
def test_p3_orders_runs_by_stability(deviation):
    p3 = measures.stability(deviation)
    order = np.argsort(deviation)
    assert (np.diff(p3[order]) <= 1e-12).all()
    assert p3[order[0]] == 1.0
    if np.ptp(deviation) > 1e-6:
        assert p3[order[-1]] == 0.0


def test_inputs_are_not_written_to():
    steps, values = STEPS.copy(), VALUES.copy()
    steps.flags.writeable = values.flags.writeable = False
    performance.performance_table(steps, values, clamps={"P1": (0, 0.5)})
    np.testing.assert_array_equal(values, VALUES)


def test_result_does_not_depend_on_the_order_in_memory():
    values = np.random.default_rng(5).random((40, 33))
    rows = performance.performance_table(np.arange(33), values)
    columns = performance.performance_table(np.arange(33), np.asfortranarray(values))
    for name, column in rows.items():
        np.testing.assert_array_equal(columns[name], column, err_msg=name)
