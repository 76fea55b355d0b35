"""A finding of a study: a claim, statistics with their uncertainty, and a rule that judges them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

HOLDS, PARTLY, FAILS = "holds", "partly", "does not hold"
N_RESAMPLES = 1000
SEED = 2019


@dataclass(frozen=True)
class Statistic:
    """A number with its uncertainty.

    Attributes
    ----------
    name : str
    value : float
    low, high : float or None
        Ends of the 95 % interval.
    p : float or None
        Of the permutation or simulation test that ``name`` speaks of.
    """

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    p: float | None = None


@dataclass(frozen=True)
class Finding:
    """One finding, judged.

    Attributes
    ----------
    key : str
        Of the claim.
    rule : str
        When it holds, and when partly.
    statistics : tuple of Statistic
    verdict : str
    said : str
        What came out, in a sentence.
    """

    key: str
    rule: str
    statistics: tuple[Statistic, ...]
    verdict: str
    said: str


def judge(whole: bool, part: bool) -> str:
    """Return the verdict of a rule."""
    return HOLDS if whole else PARTLY if part else FAILS


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Rank correlation with ties shared; 0 when one side is constant."""
    a, b = (rankdata(x) - (len(x) + 1) / 2 for x in (a, b))
    scale = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / scale) if scale > 0 else 0.0


def bootstrap(name: str, statistic: Callable[..., float], *arrays: np.ndarray) -> Statistic:
    """Statistic of arrays over runs with its percentile bootstrap interval (95 %)."""
    rng = np.random.default_rng(SEED)
    n = len(arrays[0])
    draws = [
        statistic(*(x[chosen] for x in arrays)) for chosen in rng.integers(0, n, (N_RESAMPLES, n))
    ]
    low, high = np.percentile(draws, [2.5, 97.5])
    return Statistic(name, float(statistic(*arrays)), float(low), float(high))


def spread(values: np.ndarray) -> tuple[float, float, float]:
    """Return mean, smallest and largest: a statistic over few runs."""
    return float(np.mean(values)), float(np.min(values)), float(np.max(values))
