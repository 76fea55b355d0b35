"""Where an axis is labelled, and with which text.

Ticks are positions in [0, 1] along an axis with the text that stands there. Labels of one axis are
always distinct: a label that is too long is cut in its middle, never so far that it equals another.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
ELLIPSIS = "…"


@dataclass(frozen=True)
class Tick:
    """One tick: its position in [0, 1] along the axis, its text and the value it stands for."""

    position: float
    label: str
    value: float


def nice_ticks(lo: float, hi: float, n: int = 6) -> np.ndarray:
    """Return at most about ``n`` round values in the closed interval [lo, hi], ascending.

    Parameters
    ----------
    lo, hi : float
        Ends of the interval in data units; equal ends give that one value.
    n : int
        Number of ticks aimed at, at least 2.

    Returns
    -------
    numpy.ndarray
        (n_ticks,) float64 multiples of 1, 2, 2.5 or 5 times a power of ten.
    """
    if hi <= lo:
        return np.array([lo], dtype=np.float64)
    rough = (hi - lo) / max(n - 1, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(s * power for s in STEPS if s * power >= rough * (1 - 1e-9))
    first = math.ceil(lo / step - 1e-9)
    last = math.floor(hi / step + 1e-9)
    ticks = np.arange(first, last + 1) * step
    # A multiple of the step carries rounding errors of the product (0.30000000000000004).
    digits = max(0, 2 - math.floor(math.log10(step)))
    return np.round(ticks, digits) if digits < 300 else ticks


def log_ticks(lo: float, hi: float, n: int = 6) -> np.ndarray:
    """Return round values for a logarithmic axis over [lo, hi], 0 < lo <= hi.

    Powers of ten when the interval spans at least two decades (every k-th when they are many), else
    1, 2 and 5 times powers of ten, else round numbers as on a linear axis.
    """
    if hi <= lo:
        return np.array([lo], dtype=np.float64)
    first = math.ceil(math.log10(lo) - 1e-9)
    last = math.floor(math.log10(hi) + 1e-9)
    decades = np.arange(first, last + 1)
    if len(decades) >= 3:
        stride = max(1, math.ceil(len(decades) / max(n, 2)))
        return 10.0 ** decades[::stride].astype(np.float64)
    mantissas = np.array([1.0, 2.0, 5.0])
    powers = 10.0 ** np.arange(first - 1, last + 1, dtype=np.float64)
    ticks = np.ravel(powers[:, None] * mantissas[None, :])
    ticks = ticks[(ticks >= lo * (1 - 1e-9)) & (ticks <= hi * (1 + 1e-9))]
    return ticks if len(ticks) >= 3 else nice_ticks(lo, hi, n)


def _number_text(value: float, digits: int) -> str:
    """Return a number with so many significant digits, plain or as 1.5e-6."""
    if not math.isfinite(value):
        return str(value)
    if value == 0:
        return "0"
    if 1e-3 <= abs(value) < 1e6:
        return np.format_float_positional(value, precision=digits, fractional=False, trim="-")
    mantissa, exponent = f"{value:.{max(digits - 1, 0)}e}".split("e")
    if "." in mantissa:
        mantissa = mantissa.rstrip("0").rstrip(".")
    return f"{mantissa}e{int(exponent)}"


def number_labels(values: Sequence[float], digits: int = 4) -> list[str]:
    """Return texts for numbers: as short as is exact, else ``digits`` digits, or more to differ.

    Parameters
    ----------
    values : sequence of float
        Different values get different texts.
    digits : int
        Significant digits for values that are not round.

    Returns
    -------
    list of str
    """
    values = [float(v) for v in values]
    n_distinct = len(set(values))
    texts = [_number_text(v, 1) for v in values]
    for d in range(1, 18):
        texts = [_number_text(v, d) for v in values]
        exact = all(abs(float(t) - v) <= 1e-9 * abs(v) for t, v in zip(texts, values))
        if (exact or d >= digits) and len(set(texts)) == n_distinct:
            break
    return texts


def short_labels(labels: Sequence[str], max_length: int) -> list[str]:
    """Cut long texts in their middle; different texts stay different.

    Parameters
    ----------
    labels : sequence of str
    max_length : int
        Characters aimed at. Grows as far as is needed to tell the texts apart.

    Returns
    -------
    list of str
    """
    labels = [str(text) for text in labels]
    n_distinct = len(set(labels))
    longest = max((len(text) for text in labels), default=0)
    for length in range(max(max_length, 3), max(longest, 3) + 1):
        short = [_elide(text, length) for text in labels]
        if len(set(short)) == n_distinct:
            return short
    return labels


def _elide(text: str, length: int) -> str:
    """Replace the middle of a text by an ellipsis so that it has at most ``length`` characters."""
    if len(text) <= length:
        return text
    head = (length - 1 + 1) // 2
    tail = length - 1 - head
    return text[:head] + ELLIPSIS + (text[-tail:] if tail else "")


def thin(ticks: Sequence[Tick], min_gap: float) -> list[Tick]:
    """Drop ticks until no two are closer than ``min_gap`` (in axis positions).

    Evenly spaced ticks keep every k-th. Otherwise the first and the last stay, and between them
    each tick that has room.

    Parameters
    ----------
    ticks : sequence of Tick
        In any order.
    min_gap : float
        Smallest allowed distance of two positions.

    Returns
    -------
    list of Tick
        Ascending in position.
    """
    ordered = sorted(ticks, key=lambda tick: tick.position)
    if len(ordered) < 2:
        return ordered
    gaps = np.diff([tick.position for tick in ordered])
    tolerance = 1e-9
    if gaps.min() >= min_gap - tolerance:
        return ordered
    if gaps.max() - gaps.min() < 1e-6 and gaps.min() > 0:
        return ordered[:: math.ceil(min_gap / gaps.min() - tolerance)]
    kept = [ordered[0]]
    last = ordered[-1]
    for tick in ordered[1:-1]:
        far_from_last = last.position - tick.position >= min_gap - tolerance
        if tick.position - kept[-1].position >= min_gap - tolerance and far_from_last:
            kept.append(tick)
    if last.position - kept[-1].position >= min_gap - tolerance:
        kept.append(last)
    return kept
