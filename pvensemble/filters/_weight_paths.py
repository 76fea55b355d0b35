"""The weight vectors of a layer at all recorded steps, for each run: what paths are drawn of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pvensemble import schema
from pvensemble.errors import OptionError
from pvensemble.filters._local_tensors import per_run
from pvensemble.filters._step_folds import Fold
from pvensemble.filters._tensors import Block
from pvensemble.numerics.projections import sketched
from pvensemble.store.tiling import tile
from pvensemble.vtkdata.runs import RunsData

MAX_BYTES = 2**28
"""For the vectors of all runs at all steps; where they are larger, sketches of them are kept."""
MIN_SIZE = 1024
"""Numbers of a sketch, at least: inner products are then within a few per cent."""
UNIT_SIZE = 512
ENDED = (*schema.BROKEN, schema.PRUNED)


class VectorFold(Fold):
    """The whole vectors, or sketches of them, and two weights."""

    def __init__(self, block: Block, n_vectors: int, two: tuple[int, int]) -> None:
        super().__init__(block)
        self.n_weights = block.n_weights
        room = MAX_BYTES // (4 * n_vectors)  # the same for all groups
        self.size = min(self.n_weights, max(room, MIN_SIZE))
        self.vectors: list[np.ndarray] = []  # (n_runs, size) a step
        self.two: list[np.ndarray] = []  # (n_runs, 2) a step
        self._places = [_place(block, number) for number in two]

    def add(self, block: Block) -> None:
        super().add(block)
        vectors, two = block.per_run(sketches, self.size, self._places)
        self.vectors.append(vectors)
        self.two.append(two)


class UnitFold(Fold):
    """The vectors of each filter of one run."""

    def __init__(self, block: Block) -> None:
        super().__init__(block)
        self.n_units = block.n_filters
        self.vectors: list[np.ndarray] = []  # (n_units, size) a step

    def add(self, block: Block) -> None:
        super().add(block)
        units = block.slice(block.rows[0]).reshape(self.n_units, -1)
        self.vectors.append(np.array(sketched(units, UNIT_SIZE), np.float32))


@per_run
def sketches(stack: np.ndarray, size: int, places: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the weights of runs, or sketches of them, (n, size) and those at places (n, 2)."""
    flat = stack.reshape(len(stack), int(np.prod(stack.shape[1:])))
    return np.array(sketched(flat, size), np.float32), flat[:, places].astype(np.float64)


@dataclass(frozen=True)
class Path:
    """One run's path.

    Attributes
    ----------
    cell : int
        Of the run, in the input.
    steps : numpy.ndarray
        (n_steps,) int64.
    vectors : numpy.ndarray
        (n_steps, size) float32.
    two : numpy.ndarray
        (n_steps, 2) float64 two of the weights.
    n_weights : int
        Of the whole vector; larger than ``size`` where the vectors are sketches.
    """

    cell: int
    steps: np.ndarray
    vectors: np.ndarray
    two: np.ndarray
    n_weights: int


def _place(block: Block, number: int) -> int:
    """Return where a weight, numbered as PyTorch stores them, stands in a tiled tensor."""
    n_weights = block.n_weights
    if not 0 <= number < n_weights:
        raise OptionError(
            f"Weights: {block.layer!r} has {n_weights:,} weights, numbered 0 to {n_weights - 1}; "
            f"got {number}"
        )
    if int(np.prod(block.shape)) != n_weights:  # a data set made by hand, without the shape
        return number
    marked = np.zeros(n_weights, np.float32)
    marked[number] = 1
    return int(tile(marked.reshape(1, *block.shape)).argmax())


def last_steps(runs: RunsData) -> np.ndarray:
    """Return the step (n_runs,) after which a run's tensors only repeat, infinity for none."""
    last = np.full(runs.n_runs, np.inf)
    if schema.STATE in runs.columns and schema.LAST_STEP in runs.columns:
        ended = np.isin(runs.columns[schema.STATE], ENDED)
        last[ended] = runs.columns[schema.LAST_STEP][ended]
    return last


def paths_of(folds: list[VectorFold], which: np.ndarray, runs: RunsData) -> list[Path]:
    """Return the paths of the chosen runs.

    Parameters
    ----------
    folds : list of VectorFold
    which : (n_chosen,) int
        Cells of the input that the folds' cells count in.
    runs : RunsData
        The input.
    """
    last, paths = last_steps(runs), []
    for fold in folds:
        steps = np.array(fold.steps, np.int64)
        for row, position in enumerate(fold.cells.tolist()):
            cell = int(which[position])
            upto = int(np.searchsorted(steps, last[cell], side="right"))
            if upto:
                vectors = np.stack([part[row] for part in fold.vectors[:upto]])
                two = np.stack([part[row] for part in fold.two[:upto]])
                paths.append(Path(cell, steps[:upto], vectors, two, fold.n_weights))
    return sorted(paths, key=lambda path: path.cell)
