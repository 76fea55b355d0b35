"""When a pipeline is executed.

``every=N``
    at steps that N divides.
``seconds=T``
    at the first step that is seen T seconds after the last time.
``when=EXPRESSION``
    at the step where a condition on the runs becomes true (for any run, where it is one on each):
    ``when='max(validation_accuracy) > 0.9'``. With ``every`` or ``seconds``: then, while it holds.
``first=yes|no``, ``last=yes|no``
    also at the first and at the last step; yes unless there is a ``when``.

Without any of these: at every step whose tensors are recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from pvensemble import schema
from pvensemble.errors import ConfigError, ExpressionError
from pvensemble.numerics.expression import evaluate

Columns = Callable[[], Mapping[str, np.ndarray]]


@dataclass
class Trigger:
    """See the module; one is kept for each pipeline, because it remembers when it fired last."""

    every: int | None = None
    seconds: float | None = None
    when: str | None = None
    first: bool = True
    last: bool = True
    _fired: float | None = None
    _held: bool = False

    def __post_init__(self) -> None:
        if self.when is not None:
            _holds(self.when, {})  # a text that cannot be read is found before training

    @property
    def at_recorded(self) -> bool:
        """Whether nothing says when."""
        return self.every is None and self.seconds is None and self.when is None

    def steps(self, last: int) -> range:
        """Return steps at which runs must show themselves, whether they are recorded or not."""
        return range(0, last + 1, self.every) if self.every else range(0)

    def may(self, step: int, *, recorded: bool, first: bool, last: bool) -> bool:
        """Tell whether it may fire at a step, as far as that is known beforehand."""
        if (first and self.first) or (last and self.last):
            return True
        if self.at_recorded:
            return recorded
        return self.every is None or step % self.every == 0

    def due(self, now: float, columns: Columns, *, edge: bool) -> bool:
        """Tell whether it fires at a step where it may.

        Parameters
        ----------
        now
            Seconds.
        columns
            Table of runs with the metrics' values.
        edge
            Whether this is the first or last step, and it fires there.

        Raises
        ------
        ExpressionError
            The condition names what is not there.
        """
        held = self._held
        if self.when is not None:
            self._held = _holds(self.when, columns())
        fires = edge or self._fires(now, held)
        if fires:
            self._fired = now
        return fires

    def _fires(self, now: float, held: bool) -> bool:
        late = self.seconds is None or self._fired is None or now - self._fired >= self.seconds
        if self.when is None:
            return late
        if self.every is None and self.seconds is None:
            return self._held and not held
        return self._held and late


def _holds(expression: str, columns: Mapping[str, np.ndarray]) -> bool:
    """Tell whether any run fulfils a condition; metrics that come later are not known yet.

    Without any columns only the text is examined.
    """
    n_runs = len(next(iter(columns.values()))) if columns else 1
    absent = np.full(n_runs, np.nan)
    metrics = dict.fromkeys((*schema.ACCURACY_METRICS, *schema.LOSS_METRICS), absent)
    if columns:
        return bool(evaluate(expression, {**metrics, **columns}).any())
    try:
        evaluate(expression, _AnyColumn(absent))
    except ExpressionError as error:
        raise ConfigError(f"when: {error}") from None
    return False


class _AnyColumn(dict):
    """Has every column."""

    def __init__(self, values: np.ndarray) -> None:
        super().__init__(any=values)

    def __contains__(self, _name: object) -> bool:
        return True

    def __missing__(self, _name: str) -> np.ndarray:
        return self["any"]
