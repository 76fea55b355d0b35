"""Counts of high correlations that stay in the processes that hold the runs."""

from __future__ import annotations

import numpy as np

from pvensemble.filters._local_tensors import of_runs
from pvensemble.filters._tensors import Block
from pvensemble.filters._volumes import Gathered
from pvensemble.numerics.filter_counts import FilterCounts


@of_runs
class PairCounts:
    """What one process keeps of the correlations of its runs, by step."""

    def __init__(self, max_bytes: int) -> None:
        self._counts = FilterCounts(max_bytes)

    def add(self, stack: np.ndarray, step: int, threshold: float) -> None:
        """Take the correlations of a step, which are also counted for a threshold."""
        self._counts.add(step, stack, threshold)

    def results(
        self, _numbers: np.ndarray, threshold: float, what: str, steps: list[int]
    ) -> tuple[np.ndarray]:
        """Return the counts (n, n_steps), -1 where a step must be added again for it."""
        place = {step: k for k, step in enumerate(self._counts.keys)}
        return (self._counts.known(threshold, what)[[place[step] for step in steps]].T,)


class SpreadCounts:
    """Like FilterCounts, of the runs of a block, wherever they are; keys are steps.

    Parameters
    ----------
    block : Block
        At any step.
    key : int
        Of these counts alone, in one algorithm.
    max_bytes : int
        See ``FilterCounts``; for all processes together.
    """

    def __init__(self, block: Block, key: int, max_bytes: int) -> None:
        self.keys: list[int] = []
        self._n_runs, n = len(block.rows), block.n_filters
        self._n_pairs, self._max_bytes = n * (n - 1) // 2, max_bytes
        room = max_bytes // (len(block.volume.starts) - 1)
        self._gathered = Gathered(block.volume.ask, key, PairCounts, [room])
        self._known: tuple = ()

    @property
    def n_bytes(self) -> int:
        """Memory of the correlations that are kept, about."""
        return min(4 * len(self.keys) * self._n_runs * self._n_pairs, self._max_bytes)

    def add(self, block: Block, threshold: float) -> None:
        """Take the correlations of a step, in place of earlier ones."""
        self._gathered.add(block.volume, block.rows, block.step, threshold)
        if block.step not in self.keys:
            self.keys.append(block.step)
        self._known = ()

    def missing(self, threshold: float, what: str) -> list[int]:
        """Return the steps to add again, with this threshold, before it can be counted."""
        again = (self.count(threshold, what) < 0).any(axis=1)
        return [step for step, is_missing in zip(self.keys, again) if is_missing]

    def count(self, threshold: float, what: str) -> np.ndarray:
        """Return the counts (n_keys, n_runs), negative for steps that are missing."""
        if not self.keys:
            return np.zeros((0, self._n_runs), np.int64)
        if self._known[:2] != (threshold, what):
            numbers = np.zeros(self._n_runs, np.int64)
            (found,) = self._gathered.results(numbers, threshold, what, self.keys)
            self._known = threshold, what, found.T
        return self._known[2]

    def forget(self) -> None:
        """Drop them."""
        self._gathered.forget()
