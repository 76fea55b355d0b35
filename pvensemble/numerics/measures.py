"""Performance measures of runs: one number in [0, 1] a run, high is better.

All functions take the evaluated steps ``(n_steps,)``, ascending, and the accuracies
``(n_runs, n_steps)`` as fractions of 1 with NaN where a run was not measured, and look at all runs
at once. NaN is skipped: a run that is evaluated at other steps than its neighbours, was stopped
early or is still running is judged by what was measured. A run without any measured value in the
question, and a run that diverged or failed, get 0, never NaN.

==================  ================================================================================
P1(t)               accuracy at the last evaluated step <= t
P2[a, b]            maximum accuracy over the evaluated steps in the closed interval
P3[a, b]            standard deviation (ddof 0, percentage points) of the accuracies in the
                    interval, clamped to [lo, hi], then ``1 - (s - lo) / (hi - lo)``; all equal: 1
final, best         last and largest measured accuracy
time_to_threshold   first evaluated step with an accuracy >= threshold; NaN when there is none
==================  ================================================================================
"""

from __future__ import annotations

import numpy as np

from pvensemble import schema
from pvensemble.errors import MeasureError

Interval = tuple[float, float]

EQUAL = 1e-9
"""Deviations (percentage points) closer than this are equal: rounding is not instability."""


def accuracy_at(steps: np.ndarray, values: np.ndarray, step: float | None = None) -> np.ndarray:
    """P1: accuracy at the last evaluated step at or before a step.

    Parameters
    ----------
    steps : (n_steps,) int
        Evaluated steps, ascending.
    values : (n_runs, n_steps) float
        Accuracies, NaN where not measured.
    step : float, default: the last evaluated step
        In optimizer steps.

    Returns
    -------
    (n_runs,) float64
        0 for a run that was not measured by then.

    Raises
    ------
    MeasureError
        When no step was evaluated by then.
    """
    steps, values = checked(steps, values)
    if step is not None and step < steps[0]:
        raise MeasureError(
            f"P1 at step {step:g}: the first evaluated step is {steps[0]:g}; choose that or later"
        )
    return np.nan_to_num(value_at(steps, values, step), nan=0.0)


def value_at(steps: np.ndarray, values: np.ndarray, step: float | None = None) -> np.ndarray:
    """Value of any metric at the last step at or before a step at which a run was measured.

    Parameters
    ----------
    steps : (n_steps,) int
    values : (n_runs, n_steps) float
    step : float, default: the last step

    Returns
    -------
    (n_runs,) float64
        NaN for a run that was not measured by then.
    """
    upto = len(steps) if step is None else int(np.searchsorted(steps, step, side="right"))
    return _last(np.asarray(values[:, :upto]))


def maximum_in(
    steps: np.ndarray, values: np.ndarray, interval: Interval | None = None
) -> np.ndarray:
    """P2: maximum accuracy over the evaluated steps in a closed interval.

    Parameters
    ----------
    steps : (n_steps,) int
    values : (n_runs, n_steps) float
    interval : (a, b), default: all steps
        In optimizer steps, both ends included.

    Returns
    -------
    (n_runs,) float64
        0 for a run without a measured value in the interval.

    Raises
    ------
    MeasureError
        When the interval is empty or holds no evaluated step.
    """
    inside = _within(steps, values, interval)
    best = np.where(np.isfinite(inside), inside, -np.inf).max(axis=1)
    return np.where(np.isfinite(best), best, 0.0)


def deviation_in(
    steps: np.ndarray, values: np.ndarray, interval: Interval | None = None
) -> np.ndarray:
    """Standard deviation of the accuracy in a closed interval, in percentage points.

    Parameters
    ----------
    steps, values, interval
        As in ``maximum_in``.

    Returns
    -------
    (n_runs,) float64
        Population standard deviation (ddof 0); 0 for a single measured value, NaN for none.

    Raises
    ------
    MeasureError
        When the interval is empty or holds no evaluated step.
    """
    inside = _within(steps, values, interval)
    measured = np.isfinite(inside)
    count = measured.sum(axis=1)
    # Relative to one of its own values a constant curve is exactly 0, whatever the constant.
    with np.errstate(invalid="ignore"):
        centred = np.where(measured, inside - _last(inside)[:, None], 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = centred.sum(axis=1) / count
        squares = np.where(measured, centred - mean[:, None], 0.0) ** 2
        return 100.0 * np.sqrt(squares.sum(axis=1) / count)


def stability(
    deviation: np.ndarray, clamp: Interval | None = None, *, broken: np.ndarray | None = None
) -> np.ndarray:
    """P3: deviations as a measure, 1 for the most stable run and 0 for the least.

    Parameters
    ----------
    deviation : (n_runs,) float
        Of ``deviation_in``, percentage points.
    clamp : (lo, hi), default: minimum and maximum over the runs that are not broken
        Deviations are clamped to it before they are normalized and inverted.
    broken : (n_runs,) bool, optional
        Runs that diverged or failed; they do not set the default clamp.

    Returns
    -------
    (n_runs,) float64
        ``1 - (s - lo) / (hi - lo)``; 1 for all when all are equal; 0 where the deviation is NaN.

    Raises
    ------
    MeasureError
        When the clamp is empty.
    """
    deviation = np.asarray(deviation, np.float64)
    known = np.isfinite(deviation)
    judged = known if broken is None else known & ~np.asarray(broken, bool)
    if clamp is not None:
        low, high = _clamp(schema.P3, clamp)
    elif judged.any():
        low, high = deviation[judged].min(), deviation[judged].max()
    else:
        low = high = 0.0
    if high - low <= EQUAL:
        return known.astype(np.float64)
    inverted = 1.0 - (np.clip(np.where(known, deviation, high), low, high) - low) / (high - low)
    return np.where(known, inverted, 0.0)


def normalized(values: np.ndarray, clamp: Interval, name: str = "clamp") -> np.ndarray:
    """Clamp values to a range and map it to [0, 1].

    Parameters
    ----------
    values : array of float
    clamp : (lo, hi)
        Values outside become the nearer end.
    name : str
        Of the measure, for the message.

    Raises
    ------
    MeasureError
        Unless lo < hi.
    """
    low, high = _clamp(name, clamp)
    return (np.clip(values, low, high) - low) / (high - low)


def time_to_threshold(steps: np.ndarray, values: np.ndarray, threshold: float) -> np.ndarray:
    """First evaluated step with an accuracy of at least a threshold.

    Returns
    -------
    (n_runs,) float64
        In optimizer steps; NaN for a run that never gets there. (Not in [0, 1]: a small number is
        good, which is why no number can stand for "never".)
    """
    steps, values = checked(steps, values)
    with np.errstate(invalid="ignore"):
        reached = values >= threshold
    return np.where(reached.any(axis=1), steps[reached.argmax(axis=1)], np.nan)


def final_value(steps: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Last measured accuracy of each run, (n_runs,) float64; 0 for a run without any."""
    return accuracy_at(steps, values, None)


def best_value(steps: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Largest measured accuracy of each run, (n_runs,) float64; 0 for a run without any."""
    return maximum_in(steps, values, None)


def checked(steps: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return steps (n_steps,) and accuracies (n_runs, n_steps) float64, or say what is wrong."""
    # Contiguous, because the order of summation must not depend on how the caller stores them.
    steps, values = np.asarray(steps), np.ascontiguousarray(values, np.float64)
    if values.ndim != 2 or steps.ndim != 1 or values.shape[1] != len(steps):
        raise MeasureError(
            f"accuracies: got shape {values.shape} for {len(steps)} evaluated steps, expected "
            f"(n_runs, {len(steps)})"
        )
    if len(steps) == 0:
        raise MeasureError("no step was evaluated yet, so there is nothing to measure")
    if len(steps) > 1 and not (np.diff(steps) > 0).all():
        raise MeasureError("the evaluated steps are not ascending")
    return steps, values


def _within(steps: np.ndarray, values: np.ndarray, interval: Interval | None) -> np.ndarray:
    """Return the values (n_runs, n_inside) at the evaluated steps in a closed interval."""
    steps, values = checked(steps, values)
    if interval is None:
        return values
    low, high = interval
    if not low <= high:
        raise MeasureError(f"interval [{low:g}, {high:g}]: the start is after the end")
    inside = (steps >= low) & (steps <= high)
    if not inside.any():
        raise MeasureError(
            f"interval [{low:g}, {high:g}] holds no evaluated step; evaluated were {len(steps)} "
            f"steps from {steps[0]:g} to {steps[-1]:g}"
        )
    return np.ascontiguousarray(values[:, inside])


def _last(values: np.ndarray) -> np.ndarray:
    """Last measured value of each run, NaN for none."""
    if values.shape[1] == 0:
        return np.full(len(values), np.nan)
    measured = np.isfinite(values)
    last = values.shape[1] - 1 - measured[:, ::-1].argmax(axis=1)
    found = values[np.arange(len(values)), last].astype(np.float64)
    return np.where(measured.any(axis=1), found, np.nan)


def _clamp(name: str, clamp: Interval) -> tuple[float, float]:
    low, high = (float(end) for end in clamp)
    if not low < high:
        raise MeasureError(f"{name}: clamp [{low:g}, {high:g}]: the low end must be below the high")
    return low, high
