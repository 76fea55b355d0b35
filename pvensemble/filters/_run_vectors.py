"""What runs are compared by: vectors of the runs, computed once for all filters that need them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pvensemble import schema
from pvensemble.errors import OptionError
from pvensemble.filters._options import Labels, check_choice, check_threshold, one_of
from pvensemble.filters._tensors import Block, TensorFilter, cached
from pvensemble.numerics.ordering import LINKAGES
from pvensemble.numerics.similarity import (
    MEASURES,
    cka_vectors,
    matched_similarity,
    run_vectors,
    similarity,
)

PAPER, MATCHED, CKA = MEASURES
MAX_MATCHED = 500
"""Filters are matched for every pair of runs, which takes minutes for more runs."""
MEASURE_TEXTS = {
    PAPER: "similarity (ordered filters)",
    MATCHED: "similarity (matched filters)",
    CKA: "similarity (CKA)",
}


@dataclass(frozen=True)
class Comparison:
    """Options: ``measure`` of ``MEASURES``, and of the order of filters for ``paper``."""

    measure: str = PAPER
    threshold: float = 0.7
    linkage: str = "average"
    upper: bool = False

    def check(self) -> None:
        """Refuse options that mean nothing."""
        check_choice("Measure", self.measure, MEASURES)
        check_choice("Linkage", self.linkage, LINKAGES)
        check_threshold(self.threshold)

    @property
    def kind(self) -> str:
        """Kind of tensors that is needed."""
        return schema.GRAM if self.measure == CKA else schema.CORRELATION


@dataclass(frozen=True)
class Comparable:
    """Runs that can be compared with each other, those of equal shape.

    Attributes
    ----------
    cells : numpy.ndarray
        (n,) int64 cells of the input, ascending.
    vectors : numpy.ndarray or None
        (n, length) float32; the similarity of two runs is the product of their rows.
    matrix : numpy.ndarray or None
        (n, n) float32 similarities, where there are no vectors.
    """

    cells: np.ndarray
    vectors: np.ndarray | None
    matrix: np.ndarray | None = None

    def only(self, rows: np.ndarray) -> Comparable:
        """Return some of the runs, by position."""
        if len(rows) == len(self.cells):
            return self
        if self.matrix is not None:
            return Comparable(self.cells[rows], None, self.matrix[np.ix_(rows, rows)])
        return Comparable(self.cells[rows], self.vectors[rows])

    def similarities(self) -> np.ndarray:
        """Return the similarities (n, n) float32 of all pairs."""
        return similarity(self.vectors) if self.matrix is None else self.matrix


def comparable_runs(blocks: list[Block], options: Comparison) -> list[Comparable]:
    """Return the runs of the blocks in sets that can be compared, the largest set first.

    Correlations of layers with different numbers of filters cannot be compared; Gram matrices can,
    because they are of the images.
    """
    shapes: dict[tuple, list[Block]] = {}
    for block in blocks:
        shapes.setdefault(block.stack.shape[1:], []).append(block)
    found = [_comparable(alike, options) for alike in shapes.values()]
    return sorted(found, key=lambda c: -len(c.cells))


def _comparable(blocks: list[Block], options: Comparison) -> Comparable:
    cells = np.concatenate([block.cells for block in blocks])
    order = np.argsort(cells, kind="stable")
    if options.measure == MATCHED:
        return Comparable(cells[order], None, _matched(blocks, order))
    parts = [_vectors(block, options) for block in blocks]
    vectors = parts[0] if len(parts) == 1 else np.concatenate(parts)[order]
    return Comparable(cells[order], vectors)


def _vectors(block: Block, options: Comparison) -> np.ndarray:
    """Return the vectors (n, length) of the block's runs."""

    def compute() -> np.ndarray:
        if options.measure == CKA:
            n_runs, n_batches, size = block.stack.shape
            side = round(size**0.5)
            return cka_vectors(block.stack.reshape(n_runs, n_batches, side, side)).copy()
        return run_vectors(block.stack, options.threshold, options.linkage, options.upper)

    key = ("run_vectors", options) if options.measure != CKA else ("cka_vectors",)
    vectors = cached(block.array, key, compute)
    is_all = np.array_equal(block.rows, np.arange(len(vectors)))
    return vectors if is_all else vectors[block.rows]


def _matched(blocks: list[Block], order: np.ndarray) -> np.ndarray:
    """Return the similarities after matching filters, of all pairs of the blocks' runs."""
    if len(order) > MAX_MATCHED:
        raise OptionError(
            f"Measure 'matched' compares every pair of runs on its own, which takes too long for "
            f"{len(order):,} runs (at most {MAX_MATCHED}); use 'paper' or 'cka', or leave out "
            f"sessions in the Ensemble Reader"
        )
    key = ("matched", order.tobytes(), *((b.array.__this__, b.array.GetMTime()) for b in blocks))
    return cached(
        blocks[0].array,
        key,
        lambda: matched_similarity(np.concatenate([block.chosen() for block in blocks])[order]),
    )


class ComparisonFilter(Labels, TensorFilter):
    """Base of filters that compare runs: the properties that say how."""

    def __init__(self, *, n_outputs: int) -> None:
        super().__init__(n_outputs=n_outputs)
        self._comparison = Comparison()

    @property
    def kind(self) -> str:
        """Kind of tensors that the measure needs."""
        return self._comparison.kind

    def _choose(self, **options) -> None:
        self._set("comparison", Comparison(**{**vars(self._comparison), **options}))

    def SetMeasure(self, measure: int | str) -> None:
        """``paper``, ``matched`` or ``cka``, or its position in ``MEASURES``."""
        self._choose(measure=one_of(MEASURES, measure))

    def SetThreshold(self, threshold: float) -> None:
        """Correlation above which filters belong to one cluster, when they are ordered."""
        self._choose(threshold=float(threshold))

    def SetLinkage(self, linkage: int | str) -> None:
        """Linkage of the clusters, or its position in ``LINKAGES``."""
        self._choose(linkage=one_of(LINKAGES, linkage))

    def SetUpperTriangle(self, upper: bool) -> None:
        """Compare each pair of filters once, without the diagonal."""
        self._choose(upper=bool(upper))
