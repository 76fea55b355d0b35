"""Metric multidimensional scaling by SMACOF, accelerated, in float32.

Stress is minimized by majorization (de Leeuw 1977): the Guttman transform of a layout never has
more stress. As it is the layout less its gradient, suitably scaled, a limited-memory quasi-Newton
method (Nocedal 1980) can build on it; it needs a half to a tenth of the iterations. Where its step
does not lower stress, the transform itself is taken.

One pass over the pairs is all that an iteration costs, in tiles that stay in the cache; no
temporary is larger than a tile. NumPy releases the interpreter's lock in such operations, so tiles
are shared by threads. They are dealt out to a fixed number of lanes whose sums are added in order,
so that results do not depend on the number of threads.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np

from pvensemble.numerics.pair_distances import PairDistances

LANES = 8
TILE_COLUMNS = 1024
THREADS_FROM = 800
MEMORY = 5
_FLOOR = 1e-6


@dataclass(frozen=True)
class Layout:
    """What `smacof` found.

    Attributes
    ----------
    points : numpy.ndarray
        (n, 2) float64, centred.
    raw_stress : float
        Sum over pairs of the squared difference of distance in the layout and distance given.
    stress : float
        Square root of raw stress divided by the sum of the squared given distances (scikit-learn's
        ``normalized_stress``); 0 where all of these are zero.
    n_iterations : int
    """

    points: np.ndarray
    raw_stress: float
    stress: float
    n_iterations: int


def smacof(
    distances: PairDistances,
    start: np.ndarray,
    *,
    max_iterations: int = 300,
    tolerance: float = 1e-6,
) -> Layout:
    """Minimize the stress of a layout.

    Parameters
    ----------
    distances : PairDistances
    start : numpy.ndarray
        (n, 2) finite layout to begin with, of any scale. Runs at the very same place cannot be
        told apart by majorization and stay together.
    max_iterations : int
    tolerance : float
        Iterations end when raw stress falls by less than this share of the sum of squared given
        distances (scikit-learn's ``eps`` since 1.7).

    Returns
    -------
    Layout
    """
    points = np.array(start, dtype=np.float64)
    points -= points.mean(axis=0)
    total = distances.sum_of_squares()
    spread = distances.n * np.sum(points**2)
    if total == 0 or spread == 0:
        return Layout(np.zeros_like(points), total, float(total > 0), 0)
    best, target, steps, n_iterations = np.inf, points, _QuasiNewton(), 0
    with ExitStack() as stack:
        sums = _PairSums(distances, stack)
        points *= sums.guttman(points)[1] / spread
        while n_iterations < max_iterations:
            n_iterations += 1
            transformed, cross = sums.guttman(points)
            stress = total - 2 * cross + distances.n * np.sum(points**2)
            if stress < best:
                has_converged = best - stress < tolerance * total
                best, target = stress, transformed
                if has_converged:
                    break
                points = points - steps.next_step(points, points - transformed)
            elif steps.is_plain:  # less than rounding errors is left
                break
            else:
                steps = _QuasiNewton()
                points = target
        raw = sums.raw_stress(target)
    return Layout(target, raw, float(np.sqrt(raw / total)), n_iterations)


class _QuasiNewton:
    """Steps of the L-BFGS method, in the scale in which the first is the gradient."""

    def __init__(self) -> None:
        self._pairs: list[tuple[np.ndarray, np.ndarray, float]] = []
        self._before: tuple[np.ndarray, np.ndarray] | None = None

    @property
    def is_plain(self) -> bool:
        """Whether the last step was the gradient."""
        return not self._pairs

    def next_step(self, points: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        """Return what to subtract from (n, 2) points; the arrays are kept."""
        if self._before is not None:
            moved, turned = points - self._before[0], gradient - self._before[1]
            curvature = np.vdot(moved, turned)
            if curvature > 1e-12 * np.vdot(turned, turned):
                self._pairs = [*self._pairs, (moved, turned, curvature)][-MEMORY:]
        self._before = points, gradient
        step = gradient.copy()
        shares = []
        for moved, turned, curvature in reversed(self._pairs):
            shares.append(np.vdot(moved, step) / curvature)
            step -= shares[-1] * turned
        if self._pairs:
            _, turned, curvature = self._pairs[-1]
            step *= curvature / np.vdot(turned, turned)
        for (moved, turned, curvature), share in zip(self._pairs, reversed(shares)):
            step += (share - np.vdot(turned, step) / curvature) * moved
        return step


class _PairSums:
    """Sums over all pairs, by threads that end with ``stack``."""

    def __init__(self, distances: PairDistances, stack: ExitStack) -> None:
        self._n = distances.n
        strips = list(distances.strips())
        self._lanes = [strips[i::LANES] for i in range(min(LANES, len(strips)))]
        largest = max((len(strip) * min(strip.shape[1], TILE_COLUMNS) for *_, strip in strips))
        self._buffers = [np.empty((2, largest), np.float32) for _ in self._lanes]
        self._map = map
        n_threads = min(len(self._lanes), os.cpu_count() or 1)
        if self._n >= THREADS_FROM and n_threads > 1:
            self._map = stack.enter_context(ThreadPoolExecutor(n_threads)).map

    def guttman(self, points: np.ndarray) -> tuple[np.ndarray, float]:
        """Return the Guttman transform of a layout, and the sum of given times layout distance.

        Parameters
        ----------
        points : numpy.ndarray
            (n, 2) float64, centred.
        """
        floor = np.float32(_FLOOR * np.sqrt(np.mean(points**2))) ** 2
        xy1 = np.ones((3, self._n), np.float32)
        xy1[:2] = points.T
        by_rows = np.ascontiguousarray(xy1.T)

        def lane_sums(i: int) -> np.ndarray:
            sums = np.zeros((3, self._n))
            for rows, columns, given, layout, other in self._tiles(i, xy1):
                np.add(layout, floor, out=layout)
                ratio = np.divide(given, np.sqrt(layout, out=layout), out=other)
                if rows.start != columns.start:  # else it holds its pairs in both orders
                    sums[:, columns] += xy1[:, rows] @ ratio
                sums[:, rows] += (ratio @ by_rows[columns]).T
            return sums

        sums = np.zeros((3, self._n))
        for part in self._map(lane_sums, range(len(self._lanes))):
            sums += part
        target = (points * sums[2][:, None] - sums[:2].T) / self._n
        target -= target.mean(axis=0)
        return target, float(self._n * np.sum(points * target))

    def raw_stress(self, points: np.ndarray) -> float:
        """Return the sum over pairs of the squared difference of layout and given distance."""
        xy = np.ascontiguousarray(points.T, dtype=np.float32)

        def lane_sum(i: int) -> float:
            total = 0.0
            for rows, columns, given, layout, _ in self._tiles(i, xy):
                difference = np.subtract(np.sqrt(layout, out=layout), given, out=layout)
                share = 0.5 if rows.start == columns.start else 1.0
                total += share * float(np.vdot(difference, difference))
            return total

        return sum(self._map(lane_sum, range(len(self._lanes))))

    def _tiles(self, lane: int, xy: np.ndarray):
        """Yield (rows, columns, given distances, squared layout distances, scratch) of a lane.

        The first tile of a strip is the square on the diagonal. Layout distances and scratch may
        be overwritten.
        """
        x, y = xy[0], xy[1]
        for first, last, strip in self._lanes[lane]:
            edges = [first, *range(last, self._n, TILE_COLUMNS), self._n]
            for begin, end in zip(edges[:-1], edges[1:]):
                rows, columns = slice(first, last), slice(begin, end)
                shape = (last - first, end - begin)
                layout, other = (
                    b[: shape[0] * shape[1]].reshape(shape) for b in self._buffers[lane]
                )
                np.subtract(x[rows, None], x[columns], out=layout)
                np.subtract(y[rows, None], y[columns], out=other)
                np.multiply(layout, layout, out=layout)
                np.multiply(other, other, out=other)
                np.add(layout, other, out=layout)
                yield rows, columns, strip[:, begin - first : end - first], layout, other
