"""What is gathered of a layer from all recorded steps, in their order, group by group.

Steps are read once, the first one first. Another time reads nothing, and a training that goes on
only its new steps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pvensemble.filters._recorded_steps import RecordedSteps
from pvensemble.filters._tensor_filter import TensorFilter
from pvensemble.filters._tensors import Block

MAX_KEPT = 4


class Fold:
    """One group's part.

    Parameters
    ----------
    block : Block
        At any step.

    Attributes
    ----------
    cells : numpy.ndarray
        (n,) int64 cells of the input.
    steps : list of int
        Steps that were gathered, ascending.
    """

    def __init__(self, block: Block) -> None:
        self.cells = block.cells
        self.steps: list[int] = []
        self.seen = -1.0

    def add(self, block: Block) -> None:
        """Gather a step that is later than all before; to be extended."""
        self.steps.append(block.step)

    def drop(self) -> None:
        """Forget what was gathered elsewhere; to be extended."""

    def expect_more(self) -> None:
        """After the last step that was gathered there may be new ones."""
        self.seen = float(self.steps[-1]) if self.steps else -1.0


class StepFolds:
    """Folds of the layers and runs that were asked for last."""

    def __init__(self) -> None:
        self._kept: dict[tuple, dict[str, Fold]] = {}
        self._version = -1

    def gather(
        self,
        algorithm: TensorFilter,
        blocks: list[Block],
        run_index: np.ndarray,
        now: float | None,
        make: Callable[[Block], Fold],
        key: Any = None,
    ) -> list[Fold]:
        """Return the fold of each group, with all recorded steps that could be read.

        Parameters
        ----------
        algorithm : TensorFilter
            Whose tensors are read; it may be stopped.
        blocks : list of Block
            Of the runs, at the present step.
        run_index : (n_runs,) int
            Of the chosen runs.
        now : float, optional
            Time of the update that goes on.
        make : callable
            Returns an empty fold for a block.
        key : hashable
            What else the fold depends on.
        """
        if not blocks:
            return []
        layer, kind = blocks[0].layer, blocks[0].kind
        recorded = RecordedSteps(algorithm)
        if recorded.version != self._version:
            self._version = recorded.version
            for fold in (fold for kept in self._kept.values() for fold in kept.values()):
                fold.expect_more()
        shapes = tuple((b.group, b.size, b.where) for b in blocks)
        key = (recorded.ensemble, layer, kind, run_index.tobytes(), shapes, key)
        folds = self._kept.pop(key, None) or {block.group: make(block) for block in blocks}
        self._kept[key] = folds
        while len(self._kept) > MAX_KEPT:
            for fold in self._kept.pop(next(iter(self._kept))).values():
                fold.drop()
        for block in blocks:
            folds[block.group].cells = block.cells
        if not recorded.steps:
            _add(folds, blocks, -1.0)
            return list(folds.values())
        unknown = [s for s in recorded.steps if any(s > fold.seen for fold in folds.values())]
        with recorded.visit(now) as read:
            for done, step in enumerate(unknown):
                if algorithm.aborted():
                    break
                algorithm.report(0.9 * done / len(unknown), f"Reading step {step:g}")
                found = read(step).blocks(layer, kind, run_index)
                del self._kept[key]  # a step that one process took and another could not
                _add(folds, found, step)
                self._kept[key] = folds
        return list(folds.values())


def _add(folds: dict[str, Fold], blocks: list[Block], asked: float) -> None:
    """Gather what was read when a step was asked for."""
    for block in blocks:
        fold = folds.get(block.group)
        if fold is not None and (not fold.steps or block.step > fold.steps[-1]):
            fold.add(block)
    for fold in folds.values():
        fold.seen = max(fold.seen, asked)
