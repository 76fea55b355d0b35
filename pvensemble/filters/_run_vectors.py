"""What runs are compared by: vectors of the runs, computed once for all filters that need them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pvensemble import schema
from pvensemble.errors import OptionError
from pvensemble.filters._cache import cached
from pvensemble.filters._local_tensors import per_run
from pvensemble.filters._options import Labels, check_choice, check_threshold, one_of
from pvensemble.filters._tensor_filter import TensorFilter
from pvensemble.filters._tensors import Block
from pvensemble.numerics.ordering import LINKAGES
from pvensemble.numerics.similarity import (
    MEASURES,
    block_places,
    block_similarity,
    cka_vectors,
    matched_similarity,
    put_block,
    run_vectors,
)
from pvensemble.vtkdata.parallel import Message

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


def _vectors(block: Block, options: Comparison) -> np.ndarray:
    """Return the vectors (n, length) of the block's runs."""
    if options.measure == CKA:
        (vectors,) = block.per_run(vectors_of_grams, keep=True)
    else:
        order = (options.threshold, options.linkage, options.upper)
        (vectors,) = block.per_run(vectors_of_correlations, *order, keep=True)
    return vectors


@per_run
def vectors_of_correlations(
    stack: np.ndarray, threshold: float, linkage: str, upper: bool
) -> tuple[np.ndarray]:
    """Return the ``run_vectors`` (n, length)."""
    return (run_vectors(stack, threshold, linkage, upper),)


@per_run
def vectors_of_grams(stack: np.ndarray) -> tuple[np.ndarray]:
    """Return the ``cka_vectors`` (n, length)."""
    n_runs, n_batches, size = stack.shape
    side = round(size**0.5)
    return (cka_vectors(stack.reshape(n_runs, n_batches, side, side)),)


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

    # -- runs that are compared ------------------------------------------------------------------
    def comparable_runs(self, blocks: list[Block]) -> list[Comparable]:
        """Return the runs of the blocks in sets that can be compared, the largest set first.

        Correlations of layers with different numbers of filters cannot be compared; Gram matrices
        can, because they are of the images.
        """
        shapes: dict[tuple, list[Block]] = {}
        for block in blocks:
            shapes.setdefault(block.size, []).append(block)
        found = [self._comparable(alike) for alike in shapes.values()]
        return sorted(found, key=lambda c: -len(c.cells))

    def _comparable(self, blocks: list[Block]) -> Comparable:
        cells = np.concatenate([block.cells for block in blocks])
        order = np.argsort(cells, kind="stable")
        if self._comparison.measure == MATCHED:
            return Comparable(cells[order], None, self._matched(blocks, order))
        parts = [_vectors(block, self._comparison) for block in blocks]
        vectors = parts[0] if len(parts) == 1 else np.concatenate(parts)[order]
        return Comparable(cells[order], vectors)

    def _matched(self, blocks: list[Block], order: np.ndarray) -> np.ndarray:
        """Return the similarities after matching filters, of all pairs of the blocks' runs."""
        if len(order) > MAX_MATCHED:
            raise OptionError(
                f"Measure 'matched' compares every pair of runs on its own, which takes too long "
                f"for {len(order):,} runs (at most {MAX_MATCHED}); use 'paper' or 'cka', or leave "
                f"out sessions in the Ensemble Reader"
            )

        def compute() -> np.ndarray:
            stack = np.concatenate([block.chosen() for block in blocks])[order]
            matrix = sum(part.arrays[0] for part in self.everywhere("matching", {}, [stack]))
            np.fill_diagonal(matrix, 1.0)
            return matrix

        arrays = [block.volume.array for block in blocks]
        if None in arrays:  # they lie in other processes too
            return compute()
        key = ("matched", order.tobytes(), *((a.__this__, a.GetMTime()) for a in arrays))
        return cached(arrays[0], key, compute)

    def part_matching(self, _options: dict, arrays: Sequence[np.ndarray]) -> Message:
        """Compare this process's part of all pairs of runs (n, n_filters, n_filters)."""
        return Message({}, [matched_similarity(arrays[0], self.place)])

    def all_pairs(self, vectors: np.ndarray) -> np.ndarray:
        """Return the similarities (n, n) float32 of all pairs, computed by all processes."""
        vectors = np.ascontiguousarray(vectors, np.float32)
        places = block_places(len(vectors))
        matrix = np.empty((len(vectors), len(vectors)), np.float32)
        parts = self.everywhere("products", {}, [vectors])
        for rank, part in enumerate(parts):
            for place, product in zip(places[rank :: len(parts)], part.arrays):
                put_block(matrix, place, product)
        return matrix

    def part_products(self, _options: dict, arrays: Sequence[np.ndarray]) -> Message:
        """Multiply this process's part of the blocks of all pairs of vectors (n, length)."""
        rank, size = self.place
        places = block_places(len(arrays[0]))[rank::size]
        return Message({}, [block_similarity(arrays[0], place) for place in places])
