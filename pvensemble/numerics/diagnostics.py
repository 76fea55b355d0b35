"""What can go wrong in a training, told from norms and from how weights change.

Relative gradient
    |gradient| / |weight| of each weight tensor at the recorded steps. Its median over the steps is
    small where a layer learns nothing (vanishing), its largest value is large where an update can
    turn all weights over (exploding).
Movement
    Sum of |w(k+1) - w(k)| between recorded steps k in the second half of the training, relative to
    |w| at its beginning. Next to nothing where training is stuck.
Still filters
    Filters whose weights moved by less than a millionth of their norm in the second half: no
    gradient reaches them, as when a rectifier behind them lets nothing through.
Signs
    How often a weight changes its sign between recorded steps, and the share that never does (Chen
    et al. 2017: boxes seldom change from blue to red). A zero keeps the sign that was there before.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

VANISHING_BELOW = 1e-5
EXPLODING_ABOVE = 10.0
STUCK_BELOW = 1e-3
STILL_BELOW = 1e-6
FINE = "nothing found"


def gradient_ratios(
    norms: Sequence[tuple[np.ndarray, np.ndarray]],
) -> tuple[np.ndarray, np.ndarray]:
    """Return the extremes of the relative gradients of several weight tensors.

    Parameters
    ----------
    norms : sequence of (weight norms, gradient norms)
        (n_runs, n_steps) each, at the same steps; NaN where not recorded.

    Returns
    -------
    lowest : (n_runs,) float64
        Smallest of all tensors' medians over the steps.
    highest : (n_runs,) float64
        Largest value of all tensors at all steps. Both NaN for runs without any finite value.
    """
    n_runs = len(norms[0][0])
    lowest, highest = np.full(n_runs, np.inf), np.full(n_runs, -np.inf)
    for weight, gradient in norms:
        weight, gradient = np.asarray(weight, np.float64), np.asarray(gradient, np.float64)
        usable = np.isfinite(weight) & np.isfinite(gradient) & (weight > 0)
        ratio = np.where(usable, gradient / np.where(usable, weight, 1.0), np.nan)
        there = usable.any(axis=1)
        if there.any():
            lowest[there] = np.minimum(lowest[there], np.nanmedian(ratio[there], axis=1))
            highest[there] = np.maximum(highest[there], np.nanmax(ratio[there], axis=1))
    return (
        np.where(np.isfinite(lowest), lowest, np.nan),
        np.where(np.isfinite(highest), highest, np.nan),
    )


class WeightChanges:
    """Gathers how the weights of several runs change from each recorded step to the next.

    Parameters
    ----------
    n_filters : int
        The weights of a run are those of so many filters, one after the other.

    Attributes
    ----------
    moved : list of (n_runs,) float64
        Distance to the step before, for each step but the first.
    norms : list of (n_runs,) float64
        Norm at each step.
    flips : list of (n_runs,) int64
        Signs that changed since the step before, for each step but the first.
    n_weights : int
    """

    def __init__(self, n_filters: int = 1) -> None:
        self._n_filters = n_filters
        self._of_filters: list[np.ndarray] = []
        self.moved: list[np.ndarray] = []
        self.norms: list[np.ndarray] = []
        self.flips: list[np.ndarray] = []
        self.n_weights = 0
        self._last = self._sign = self._flipped = np.empty((0, 0))

    def add(self, weights: np.ndarray) -> None:
        """Take the weights (n_runs, n_weights) of the next step; they are copied."""
        weights = np.array(weights, np.float32)
        sign = np.sign(np.nan_to_num(weights)).astype(np.int8)
        if not self.norms:
            self.n_weights = weights.shape[1]
            self._sign, self._flipped = sign, np.zeros(weights.shape, bool)
        else:
            turned = (sign * self._sign) < 0
            self.flips.append(turned.sum(axis=1))
            self._flipped |= turned
            self._sign = np.where(sign == 0, self._sign, sign)
            with np.errstate(invalid="ignore", over="ignore"):
                by_filter = self._by_filter(weights - self._last)
                self._of_filters.append(by_filter)
                self.moved.append(np.sqrt(np.sum(by_filter**2, axis=1)))
        with np.errstate(invalid="ignore", over="ignore"):
            self.norms.append(np.sqrt(np.sum(self._by_filter(weights) ** 2, axis=1)))
        self._last = weights

    def _by_filter(self, weights: np.ndarray) -> np.ndarray:
        """Return the norms (n_runs, n_filters) of filters, summed in double precision."""
        filters = weights.reshape(len(weights), self._n_filters, -1)
        return np.sqrt(np.einsum("ijk,ijk->ij", filters, filters, dtype=np.float64))

    def still_filters(self, n_steps: np.ndarray) -> np.ndarray:
        """Return the number (n_runs,) of filters that do not move in the second half of a run.

        Parameters
        ----------
        n_steps : (n_runs,) int
            As in `movement`.

        Returns
        -------
        (n_runs,) float64
            NaN for fewer than three steps.
        """
        result = np.full(len(self._last), np.nan)
        norms = self._by_filter(self._last) if self.norms else result[:, None]
        for run, n in enumerate(np.asarray(n_steps).tolist()):
            if n >= 3:
                path = sum(moved[run] for moved in self._of_filters[(n - 1) // 2 : n - 1])
                result[run] = np.sum(path <= STILL_BELOW * norms[run])
        return result

    def never_flipped(self) -> np.ndarray:
        """Return the share (n_runs,) of weights that kept their sign; NaN before two steps."""
        if not self.flips:
            return np.full(len(self._last), np.nan)
        return 1.0 - self._flipped.mean(axis=1)

    def flips_per_weight(self) -> np.ndarray:
        """Return the mean number (n_runs,) of sign changes of a weight; NaN before two steps."""
        if not self.flips:
            return np.full(len(self._last), np.nan)
        return np.sum(self.flips, axis=0) / self.n_weights

    def movement(self, n_steps: np.ndarray) -> np.ndarray:
        """Return the movement in the second half of each run, relative to its norm then.

        Parameters
        ----------
        n_steps : (n_runs,) int
            How many of the steps count: fewer than there are for runs that ended early.

        Returns
        -------
        (n_runs,) float64
            NaN for fewer than three steps, or where weights are not finite or all 0.
        """
        result = np.full(len(self._last), np.nan)
        if len(self.norms) < 3:
            return result
        moved, norms = np.stack(self.moved, axis=1), np.stack(self.norms, axis=1)
        for run, n in enumerate(np.asarray(n_steps).tolist()):
            if n >= 3:
                half = (n - 1) // 2
                start = norms[run, half]
                path = moved[run, half : n - 1].sum()
                if np.isfinite(path) and 0 < start < np.inf:
                    result[run] = path / start
        return result


def diagnoses(flags: dict[str, np.ndarray], n_runs: int) -> np.ndarray:
    """Return what is found of each run, in words.

    Parameters
    ----------
    flags : dict of str to (n_runs,) bool
        Words for each finding.
    n_runs : int

    Returns
    -------
    (n_runs,) str
        Findings joined by commas; ``FINE`` where there is none.
    """
    found = [[words for words, flag in flags.items() if flag[run]] for run in range(n_runs)]
    return np.array([", ".join(words) or FINE for words in found], dtype=str)
