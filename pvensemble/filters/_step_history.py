"""What a filter keeps of every recorded step, reduced so that no step is read twice.

A step is read once (see ``_recorded_steps``), reduced to some numbers, and these are kept until
another ensemble is opened. What is asked about, a layer or the runs of the input, is part of the
key; the latest few keys are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable

from pvensemble.filters._recorded_steps import RecordedSteps
from pvensemble.filters._tensor_filter import TensorFilter
from pvensemble.filters._tensors import Block, Tensors

MAX_KEYS = 12


class StepHistory:
    """Results of a reduction for each recorded step, for several keys."""

    def __init__(self) -> None:
        self._ensemble: tuple = ()
        self._version: int | None = None
        self._kept: dict[Hashable, dict[float, object]] = {}
        self._incomplete: dict[Hashable, set[float]] = {}

    def update(
        self,
        algorithm: TensorFilter,
        key: Hashable,
        now: float | None,
        find: Callable[[Tensors], list[Block]],
        reduce: Callable[[list[Block]], object],
        steps: Callable[[list[float]], list[float]] = list,
    ) -> dict[float, object]:
        """Return the result of every recorded step, reading those that are not yet known.

        Blocks and arrays of the inputs that were got before are of no use after it.

        Parameters
        ----------
        algorithm : TensorFilter
            Its tensors are there (``tensors_input`` succeeded).
        key : hashable
            All that the results depend on but the step.
        now : float, optional
            Time of the update that goes on.
        find : callable
            Picks the blocks out of the tensors of a step.
        reduce : callable
            Turns them into what is kept, which must not share their memory.
        steps : callable
            Picks the steps that are of interest out of the recorded ones.

        Returns
        -------
        dict
            By step, ascending; fewer steps where the user has aborted, none where what comes before
            does not say its steps.
        """
        recorded = RecordedSteps(algorithm)
        self._begin(recorded)
        results = self._kept[key] = self._kept.pop(key, {})
        late = self._incomplete.setdefault(key, set())
        for old in list(self._kept)[:-MAX_KEYS]:
            del self._kept[old], self._incomplete[old]
        wanted = steps(recorded.steps)
        unknown = [step for step in wanted if step not in results]
        with recorded.visit(now) as read:
            for position, step in enumerate(unknown):
                if algorithm.aborted():
                    break
                algorithm.report(position / len(unknown), f"Reading step {step:g}")
                blocks = find(read(step))
                results[step] = reduce(blocks)
                if any(block.step < step for block in blocks):
                    late.add(step)
        return {step: results[step] for step in wanted if step in results}

    def _begin(self, recorded: RecordedSteps) -> None:
        """Forget what is of another ensemble, or may have changed as the training goes on."""
        if recorded.ensemble != self._ensemble:
            self._kept.clear()
            self._incomplete.clear()
        elif recorded.version != self._version:
            for key, late in self._incomplete.items():  # a group may have recorded the step since
                for step in late:
                    self._kept[key].pop(step, None)
                late.clear()
        self._ensemble, self._version = recorded.ensemble, recorded.version
