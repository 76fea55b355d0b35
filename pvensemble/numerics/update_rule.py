"""Do recorded weights follow the update rule of gradient descent?

Plain: W(t+1) = W(t) - eta(t) dE/dW(t). With weight decay the gradient is dE/dW + decay W; with
momentum m the step is v(t) = m v(t-1) + gradient (Nesterov's: gradient + m v(t)) with v = 0 before
step 0, which is known only when every step from 0 on is recorded.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


class UpdateCheck:
    """Compares weights of consecutive steps with the rule.

    Parameters
    ----------
    rate : callable
        Returns the learning rate of the update after a step.
    momentum, weight_decay : float
    nesterov : bool

    Attributes
    ----------
    n_updates : int
        Updates that could be looked at.
    largest : float
        Largest deviation of any weight, NaN before the first update.
    of_weights, of_update : float
        Largest norm of the deviations of one update, relative to the norm of the weights and to
        that of the update. Single precision leaves about 1e-7 of the weights.
    """

    def __init__(
        self,
        rate: Callable[[int], float],
        *,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        self._rate = rate
        self._momentum, self._decay, self._nesterov = momentum, weight_decay, nesterov
        self._before: tuple[int, tuple] | None = None
        self._velocity: np.ndarray | None = None
        self.n_updates = 0
        self.largest = self.of_weights = self.of_update = float("nan")

    def add(self, step: int, weights: np.ndarray, gradient: np.ndarray) -> None:
        """Take the weights and their gradient at the next recorded step.

        Parameters
        ----------
        step : int
        weights, gradient : float arrays of one shape
            Before the update of this step.
        """
        weights = np.asarray(weights, np.float64)
        if self._before is not None and self._before[0] == step - 1:
            self._compare(weights, *self._before[1])
        change = self._change(step, weights, np.asarray(gradient, np.float64))
        if change is None:
            self._before = None
        else:
            self._before = step, (weights, self._rate(step) * change)

    def _change(self, step: int, weights, gradient) -> np.ndarray | None:
        """Return what the learning rate multiplies; None where momentum makes it unknown."""
        gradient = gradient + self._decay * weights
        if self._momentum == 0:
            return gradient
        follows = self._before is not None and self._before[0] == step - 1
        if step == 0:
            self._velocity = gradient
        elif follows:
            self._velocity = self._momentum * self._velocity + gradient
        else:
            self._velocity = None
            return None
        return gradient + self._momentum * self._velocity if self._nesterov else self._velocity

    def _compare(self, weights, before, update) -> None:
        rest = weights - (before - update)
        if not np.isfinite(rest).all():  # diverged
            return
        size, whole, moved = (float(np.linalg.norm(a)) for a in (rest, before, update))
        self.n_updates += 1
        self.largest = np.fmax(self.largest, np.abs(rest).max(initial=0.0))
        self.of_weights = np.fmax(self.of_weights, size / whole if whole else np.nan)
        self.of_update = np.fmax(self.of_update, size / moved if moved else np.nan)
