"""The table of all performance measures of an ensemble, and what judges them.

The measures themselves are in ``measures``; ``combined`` is the mean of the chosen ones of P1, P2
and P3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from pvensemble import schema
from pvensemble.errors import MeasureError, did_you_mean
from pvensemble.numerics.measures import (
    EQUAL,
    Interval,
    accuracy_at,
    best_value,
    checked,
    deviation_in,
    final_value,
    maximum_in,
    normalized,
    stability,
    time_to_threshold,
)

MEASURES = (schema.P1, schema.P2, schema.P3)
"""The measures that can enter the combined one."""

P3_DEVIATION = "P3_deviation"
"""Column: the standard deviation behind P3, in percentage points, neither clamped nor inverted."""

PRESETS = ("custom", "efficiency", "stability")
"""What step and interval judge: see ``preset``."""


def preset(name: str, steps: np.ndarray) -> tuple[float | None, Interval | None]:
    """Return the P1 step and the interval that judge one quality.

    ``efficiency`` asks how fast a run gets good (P1 after a tenth of the training, interval from
    there to six tenths), ``stability`` how well it stays so (P1 at the end, interval the second
    half), ``custom`` nothing.

    Parameters
    ----------
    name : str
        One of ``PRESETS``.
    steps : (n_steps,) int
        Evaluated steps, ascending.

    Returns
    -------
    step : float or None
        In optimizer steps, never before the first evaluated one.
    interval : (float, float) or None

    Raises
    ------
    MeasureError
        When there is no such preset.
    """
    if name not in PRESETS:
        raise MeasureError(f"there is no preset {name!r}{did_you_mean(name, PRESETS)}")
    if name == "custom":
        return None, None
    first, last = float(steps[0]), float(steps[-1])
    if name == "efficiency":
        return max(first, 0.1 * last), (min(0.1 * last, last), max(first, 0.6 * last))
    return last, (0.5 * last, last)


def combined(columns: Sequence[np.ndarray]) -> np.ndarray:
    """Mean of chosen normalized measures, each (n_runs,).

    Raises
    ------
    MeasureError
        When none is chosen.
    """
    if len(columns) == 0:
        raise MeasureError("the combined measure needs at least one of P1, P2 and P3")
    return np.mean(columns, axis=0)


def broken_runs(states: np.ndarray) -> np.ndarray:
    """Tell which runs get 0 in every measure, whatever they reached before.

    Parameters
    ----------
    states : (n_runs,) str
        Column ``state`` of the run table.

    Returns
    -------
    (n_runs,) bool
        True for runs that diverged or failed.
    """
    return np.isin(states, schema.BROKEN)


def performance_table(
    steps: np.ndarray,
    values: np.ndarray,
    *,
    p1_step: float | None = None,
    interval: Interval | None = None,
    clamps: Mapping[str, Interval] | None = None,
    use: Sequence[str] = MEASURES,
    threshold: float = 0.9,
    broken: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """All measures of all runs.

    Parameters
    ----------
    steps : (n_steps,) int
        Evaluated steps, ascending.
    values : (n_runs, n_steps) float
        Accuracies as fractions of 1, NaN where not measured.
    p1_step : float, default: the last evaluated step
        Step of P1.
    interval : (a, b), default: all steps
        Closed interval of P2 and P3, in optimizer steps.
    clamps : mapping, optional
        ``{"P1": (lo, hi), "P2": …, "P3": …}``: ranges that become [0, 1]; P1 and P2 as fractions,
        P3 in percentage points.
    use : sequence of str, default: P1, P2, P3
        Measures that enter ``combined``.
    threshold : float, default: 0.9
        Of ``time_to_threshold``.
    broken : (n_runs,) bool, optional
        Runs that diverged or failed: 0 in all measures, NaN in ``time_to_threshold`` and
        ``P3_deviation``.

    Returns
    -------
    dict of str to (n_runs,) float64
        P1, P2, P3, combined, final, best, time_to_threshold, P3_deviation.

    Raises
    ------
    MeasureError
        For an interval or step without evaluated steps, an empty clamp, an unknown measure, or
        values outside [0, 1] that no clamp maps to it.
    """
    steps, values = checked(steps, values)
    clamps = dict(clamps or {})
    for name in [*clamps, *use]:
        if name not in MEASURES:
            raise MeasureError(f"there is no measure {name!r}{did_you_mean(name, MEASURES)}")
    bad = np.zeros(len(values), bool) if broken is None else np.asarray(broken, bool)
    if bad.shape != (len(values),):
        raise MeasureError(f"broken: got shape {bad.shape}, expected ({len(values)},)")
    raw = {
        schema.P1: accuracy_at(steps, values, p1_step),
        schema.P2: maximum_in(steps, values, interval),
    }
    columns = {name: _unit(name, raw[name], clamps.get(name), bad) for name in raw}
    deviation = deviation_in(steps, values, interval)
    columns[schema.P3] = stability(deviation, clamps.get(schema.P3), broken=bad)
    columns[schema.COMBINED] = combined([columns[name] for name in dict.fromkeys(use)])
    columns[schema.FINAL] = final_value(steps, values)
    columns[schema.BEST] = best_value(steps, values)
    columns = {name: np.where(bad, 0.0, column) for name, column in columns.items()}
    reached = time_to_threshold(steps, values, threshold)
    columns[schema.TIME_TO_THRESHOLD] = np.where(bad, np.nan, reached)
    columns[P3_DEVIATION] = np.where(bad, np.nan, deviation)
    return columns


def _unit(name: str, values: np.ndarray, clamp: Interval | None, bad: np.ndarray) -> np.ndarray:
    """Return accuracies in [0, 1]: clamped and normalized, or as they are when they lie in it."""
    if clamp is not None:
        return normalized(values, clamp, name)
    judged = values[~bad]
    if judged.size and (judged.min() < -EQUAL or judged.max() > 1 + EQUAL):
        raise MeasureError(
            f"{name}: values lie in [{judged.min():g}, {judged.max():g}], a measure in [0, 1]: "
            f"choose an accuracy given as a fraction, or clamp {name} to a range"
        )
    return np.clip(values, 0.0, 1.0)
