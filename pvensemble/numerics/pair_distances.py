"""Distances between all pairs of runs, the upper triangle only, in float32.

A distance is one minus a similarity, so it is computed from the vectors whose products the
similarities are, or taken from a matrix. 13,000 runs need 0.35 GB.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pvensemble.errors import OptionError

PANEL_ROWS = 256
STRIP_ROWS = 64

ALIKE = 1e-12
"""Mean square of distances below which runs count as one: the rounding errors of float32."""


class PairDistances:
    """Distances between the runs of which vectors or a matrix of distances are given.

    Parameters
    ----------
    vectors : numpy.ndarray, optional
        (n, length) finite float32; each row has unit norm, or is zero where a run's values are
        constant. The distance of two runs is 1 minus the product of their vectors.
    matrix : numpy.ndarray, optional
        (n, n) finite symmetric distances; used in place of ``vectors``. The diagonal is not read.
    """

    def __init__(self, vectors: np.ndarray | None = None, matrix: np.ndarray | None = None) -> None:
        self._vectors = None if vectors is None else np.ascontiguousarray(vectors, np.float32)
        self._matrix = matrix
        self.n = len(matrix if vectors is None else vectors)
        self._panels: list[tuple[int, np.ndarray]] | None = None

    def between(self, first: int, last: int, columns) -> np.ndarray:
        """Return (last - first, n_columns) float32 distances of a range of runs to others.

        Parameters
        ----------
        first, last : int
            The runs first, first + 1, … last - 1.
        columns : slice or numpy.ndarray
            Runs.
        """
        if self._vectors is None:
            block = np.array(self._matrix[first:last, columns], dtype=np.float32, order="C")
        else:
            block = self._vectors[first:last] @ self._vectors[columns].T
            np.subtract(np.float32(1), block, out=block)
        np.maximum(block, np.float32(0), out=block)
        others = np.arange(self.n)[columns]
        itself = np.flatnonzero((others >= first) & (others < last))
        block[others[itself] - first, itself] = 0
        return block

    def to_runs(self, runs: np.ndarray) -> np.ndarray:
        """Return (n, n_runs) float64 distances of all runs to chosen ones."""
        parts = [
            self.between(i, min(i + PANEL_ROWS, self.n), runs) for i in range(0, self.n, PANEL_ROWS)
        ]
        return np.concatenate(parts).astype(np.float64)

    def matrix(self) -> np.ndarray:
        """Return the whole (n, n) float32 matrix, symmetric to the bit, with a zero diagonal."""
        whole = np.empty((self.n, self.n), np.float32)
        for first, panel in self.panels():
            last = first + len(panel)
            whole[first:last, first:] = panel
            whole[last:, first:last] = panel[:, last - first :].T
            square = whole[first:last, first:last]
            square[:] = np.triu(square, 1) + np.triu(square, 1).T
        return whole

    def panels(self) -> list[tuple[int, np.ndarray]]:
        """Return pairs of a first run and its panel's (n_rows, n - first) distances; kept."""
        if self._panels is None:
            self._panels = [
                (i, self.between(i, min(i + PANEL_ROWS, self.n), slice(i, None)))
                for i in range(0, self.n, PANEL_ROWS)
            ]
        return self._panels

    def strips(self) -> Iterator[tuple[int, int, np.ndarray]]:
        """Cut panels into low strips, (first, last, (last - first, n - first) distances).

        A single panel is one strip: few calls are worth more than each pair only once.
        """
        n_rows = STRIP_ROWS if self.n > PANEL_ROWS else PANEL_ROWS
        for start, panel in self.panels():
            for i in range(0, len(panel), n_rows):
                first, last = start + i, min(start + i + n_rows, start + len(panel))
                yield first, last, panel[i : last - start, i:]

    def sum_of_squares(self) -> float:
        """Sum of the squared distances of all pairs."""
        total = 0.0
        for _, panel in self.panels():
            square = panel[:, : len(panel)]  # holds its pairs in both orders
            total += np.einsum("ij,ij->i", panel, panel).sum(dtype=np.float64)
            total -= np.einsum("ij,ij->i", square, square).sum(dtype=np.float64) / 2
        return float(total)


def usable_runs(vectors: np.ndarray | None, matrix: np.ndarray | None) -> np.ndarray:
    """Return the ascending indices of the runs that can be embedded together.

    Of vectors, those without NaN. Of a matrix of distances, a set without NaN between any two: the
    run with most distances, those that it has distances to, less the worst until none lacks.
    """
    if vectors is not None:
        return np.flatnonzero(np.isfinite(vectors.sum(axis=1)))
    known = np.isfinite(matrix)
    np.fill_diagonal(known, True)
    counts = known.sum(axis=1)
    if not len(counts) or counts.min() == len(counts):
        return np.arange(len(counts))
    runs = np.flatnonzero(known[np.argmax(counts)])
    while len(runs) > 1:
        missing = len(runs) - known[np.ix_(runs, runs)].sum(axis=1)
        if not missing.any():
            break
        runs = np.delete(runs, len(runs) - 1 - np.argmax(missing[::-1]))
    return runs


def check_vectors(vectors: np.ndarray) -> None:
    """Raise OptionError unless each (finite) vector has unit norm or is zero."""
    norms = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    wrong = (np.abs(norms - 1) > 1e-3) & (norms > 1e-6)
    if wrong.any():
        raise OptionError(
            f"vectors must have unit norm or be zero, but number {np.argmax(wrong)} has norm "
            f"{norms[np.argmax(wrong)]:.3g}: standardize them, or give distances"
        )


def check_matrix(matrix: np.ndarray) -> None:
    """Raise OptionError unless a finite matrix holds symmetric distances."""
    least = most = asymmetry = 0.0
    for i in range(0, len(matrix), PANEL_ROWS):
        rows, columns = matrix[i : i + PANEL_ROWS, i:], matrix[i:, i : i + PANEL_ROWS].T
        apart = np.abs(rows - columns)
        np.fill_diagonal(apart, 0)
        asymmetry = max(asymmetry, apart.max())
        least = np.fmin.reduce(rows, axis=None, initial=least)  # skips NaN
        most = np.fmax.reduce(rows, axis=None, initial=most)
    if least < -1e-6:
        raise OptionError(f"distances must not be negative, but there is {least:.3g}")
    if asymmetry > 1e-4 * most:
        raise OptionError(f"distances must be symmetric, but differ by up to {asymmetry:.3g}")
