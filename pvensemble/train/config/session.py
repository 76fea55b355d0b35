"""Sessions: named rounds of training, each with its own search space and colour."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

SCALES = ("linear", "log", "categorical")
METHODS = ("grid", "random", "list")
TYPES = ("float", "int", "categorical", "bool")
COLORS = (
    "#1f77b4", "#ff7f0e", "#2ca02c", "#9467bd", "#8c564b",
    "#e377c2", "#17becf", "#bcbd22", "#7f7f7f", "#d62728",
)  # fmt: skip
"""Given to sessions that state no colour, in order."""


@dataclass(frozen=True)
class Dimension:
    """One searched hyper-parameter.

    Attributes
    ----------
    key
        Dotted key of the configuration, e.g. ``train.learning_rate``.
    type
        ``float``, ``int``, ``categorical`` or ``bool``.
    scale
        ``linear``, ``log`` or ``categorical``: how it is sampled and drawn.
    values
        The listed values; empty for a range.
    low, high, num
        A closed range; ``num`` values of it form a grid axis (None: not usable in a grid unless
        it is a range of whole numbers).
    """

    key: str
    type: str
    scale: str
    values: tuple = ()
    low: float | None = None
    high: float | None = None
    num: int | None = None


@dataclass(frozen=True)
class SessionConfig:
    """``[[session]]``: how the runs of one round are chosen.

    Attributes
    ----------
    method
        ``grid`` (product of the axes, the last fastest), ``random`` (``n`` draws of ``seed``) or
        ``list`` (``runs``, one table of hyper-parameters each).
    fixed
        Settings that this session holds constant, by dotted key.
    """

    name: str = "all"
    color: str = COLORS[0]
    method: str = "grid"
    n: int | None = None
    seed: int = 0
    space: tuple[Dimension, ...] = ()
    fixed: Mapping[str, Any] = field(default_factory=dict, hash=False)
    runs: tuple[Mapping[str, Any], ...] = field(default=(), hash=False)


def grid_values(dimension: Dimension) -> tuple:
    """Return the values of one grid axis, ascending for a range.

    The ends of a range are exact; inner values of a logarithmic range are
    ``low * (high / low) ** (i / (num - 1))``.
    """
    d = dimension
    if d.values:
        return d.values
    if d.num is None:
        return tuple(range(int(d.low), int(d.high) + 1))
    if d.num == 1:
        return (d.low,)
    inner = [_between(d, i / (d.num - 1)) for i in range(1, d.num - 1)]
    values = [d.low, *inner, d.high]
    if d.type == "int":
        return tuple(dict.fromkeys(round(v) for v in values))
    return tuple(float(v) for v in values)


def _between(d: Dimension, t: float) -> float:
    """Return the value at the fraction ``t`` of a range."""
    if d.scale == "log":
        return d.low * (d.high / d.low) ** t
    return d.low + t * (d.high - d.low)


def draw(dimension: Dimension, rng: Any) -> Any:
    """Draw one value with a ``numpy.random.Generator``."""
    d = dimension
    if d.values:
        return d.values[int(rng.integers(len(d.values)))]
    if d.num is not None:
        values = grid_values(d)
        return values[int(rng.integers(len(values)))]
    if d.type == "int" and d.scale != "log":
        return int(rng.integers(int(d.low), int(d.high) + 1))
    if d.type == "int":
        # Half a unit beyond both ends, so that the ends are as likely as their neighbours.
        low, high = math.log(d.low - 0.5), math.log(d.high + 0.5)
        value = round(math.exp(rng.uniform(low, high)))
        return int(min(max(value, d.low), d.high))
    return float(_between(d, rng.random()))


def infer_scale(values: tuple) -> str:
    """Return ``log`` for positive numbers whose ratios are more even than their differences."""
    if any(isinstance(v, (bool, str)) for v in values):
        return "categorical"
    numbers = sorted(set(values))
    if len(numbers) < 3 or numbers[0] <= 0:
        return "linear"
    steps = [b - a for a, b in zip(numbers, numbers[1:])]
    ratios = [math.log(b / a) for a, b in zip(numbers, numbers[1:])]
    return "log" if _spread(ratios) < _spread(steps) - 1e-9 else "linear"


def _spread(values: list[float]) -> float:
    """Return the standard deviation relative to the mean."""
    mean = sum(values) / len(values)
    return math.sqrt(sum((v - mean) ** 2 for v in values) / len(values)) / mean
