"""Layouts of runs in the plane over the steps of a training, so that an animation is calm.

A layout is known up to rotation, reflection and shift, and one that is computed anew at each step
would jump. So a few *key steps*, spread over the training, are laid out in turn, each beginning
from the one before. Every other step begins from the key step before it. The picture of a step
therefore depends on the step alone, not on how one got there; and its scale is that of all key
steps. Key steps stay key steps while a training goes on, until their number doubles.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pvensemble.numerics.embedding import Embedding

MAX_KEYS, MIN_KEYS = 64, 2
RUNS_FOR_KEYS = 8000
"""So many runs times key steps: with many runs, key steps are fewer, but at least two."""


def key_steps(steps: list[float], n_runs: int) -> list[float]:
    """Return the key steps among the recorded steps: every 1st, 2nd, 4th … of them.

    Parameters
    ----------
    steps : list of float
        Recorded steps, ascending.
    n_runs : int
        The more runs, the fewer key steps.
    """
    most = int(np.clip(RUNS_FOR_KEYS // max(n_runs, 1), MIN_KEYS, MAX_KEYS))
    stride = 1
    while -(-len(steps) // stride) > most:
        stride *= 2
    return steps[::stride]


@dataclass(frozen=True)
class Layout:
    """Where the runs lie at a step.

    Attributes
    ----------
    embedding : Embedding
        Of all runs of the input, NaN for those without a place.
    is_final : bool
        False while some runs' tensors are older than the step: a running training may bring newer.
    """

    embedding: Embedding
    is_final: bool = True

    @property
    def points(self) -> np.ndarray:
        """(n_runs, 2) float64."""
        return self.embedding.points


class Layouts:
    """Layouts that were computed, of one set of runs and options."""

    def __init__(self) -> None:
        self._keys: list[float] = []
        self._known: dict[tuple, Layout] = {}

    def look_again(self) -> None:
        """Forget what a training that goes on may have changed."""
        self._known = {key: layout for key, layout in self._known.items() if layout.is_final}

    def chain(self, keys: list[float], compute: Callable) -> list[Layout]:
        """Return the layouts of the key steps, each begun from the one before.

        Parameters
        ----------
        keys : list of float
        compute : callable
            ``compute(step, start)`` returns the Layout of a step that begins from points
            (n_runs, 2) or None; or None when the user wants to stop.
        """
        if keys[: len(self._keys)] != self._keys:
            self._known.clear()
        self._keys = list(keys)
        layouts: list[Layout] = []
        for k, step in enumerate(keys):
            found = self.layout(step, keys[k - 1] if k else None, _start(layouts), compute)
            if found is None:
                break
            layouts.append(found)
        return layouts

    def after(self, step: float, chain: list[Layout], compute: Callable) -> Layout | None:
        """Return the layout of any step, begun from that of the key step before it."""
        before = [key for key in self._keys[: len(chain)] if key < step]
        if step in self._keys[: len(chain)]:
            return chain[self._keys.index(step)]
        key = before[-1] if before else None
        return self.layout(step, key, _start(chain[: len(before)]), compute)

    def layout(self, step: float, key: float | None, start, compute: Callable) -> Layout | None:
        """Return the layout of a step that begins from the points of a key step."""
        if (key, step) not in self._known:
            found = compute(step, start)
            if found is None:
                return None
            self._known[key, step] = found
        return self._known[key, step]


def _start(layouts: list[Layout]) -> np.ndarray | None:
    """Return the points of the last layout in which not all runs coincide, or None."""
    for layout in reversed(layouts):
        points = layout.points[np.isfinite(layout.points).all(axis=1)]
        if len(points) and np.ptp(points, axis=0).max() > 1e-6:
            return layout.points
    return None


def frame(layouts: list[Layout]) -> tuple[np.ndarray, float]:
    """Return the centre (2,) and half the side, at least 1e-6, of a square around all layouts."""
    points = np.concatenate([np.zeros((0, 2)), *(layout.points for layout in layouts)])
    points = points[np.isfinite(points).all(axis=1)]
    if len(points) == 0:
        return np.zeros(2), 1.0
    low, high = points.min(axis=0), points.max(axis=0)
    return (low + high) / 2, float(max(np.max(high - low) / 2, 1e-6))
