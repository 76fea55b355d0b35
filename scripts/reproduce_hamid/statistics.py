"""Statistics of the findings: each with an uncertainty from a seeded resampling.

Bootstraps resample runs (cells of the grid). They tell how much a number hangs on single cells,
not how much it would change with other initial weights.
"""

from __future__ import annotations

import numpy as np
from reproduction import finding
from reproduction.finding import Statistic, bootstrap, spearman
from scipy.spatial import cKDTree
from scipy.stats import rankdata


def neighbours(x: np.ndarray, k: int) -> np.ndarray:
    """Weights (n, n) that average each run's ``k`` nearest others in ``x`` (n,) or (n, d).

    All others at exactly the distance of the k-th count, so ties do not hang on the order of runs:
    on an 11 x 11 grid and one of its axes, ``k = 10`` are the other runs with the same value.
    """
    x = np.asarray(x, np.float64).reshape(len(x), -1)
    distance = np.linalg.norm(x[:, None] - x[None], axis=2)
    np.fill_diagonal(distance, np.inf)
    k = min(k, len(x) - 1)
    reach = np.partition(distance, k - 1, axis=1)[:, k - 1]
    near = distance <= reach[:, None] * (1 + 1e-9) + 1e-12
    return near / near.sum(axis=1, keepdims=True)


def prediction_errors(x: np.ndarray, y: np.ndarray, k: int | None = None) -> np.ndarray:
    """Errors (n,) when ``y`` of each run is predicted as the mean of its ``k`` nearest others.

    By default as many as a square grid has other runs with the same value: 10 of 121, 5 of 36.
    """
    return y - neighbours(x, k or max(2, round(len(y) ** 0.5) - 1)) @ y


def explained(residuals: np.ndarray, y: np.ndarray) -> float:
    """Share of the variance of ``y`` that is explained: ``1 - sum r^2 / sum (y - mean)^2``."""
    centred = y - y.mean()
    total = centred @ centred
    return float(1 - residuals @ residuals / total) if total > 0 else 0.0


def smoothness(
    name: str, points: np.ndarray, parameters: np.ndarray, k: int = 5, *, n: int | None = None
) -> Statistic:
    """How well neighbours in a plot tell a run's hyper-parameters.

    Parameters
    ----------
    points : (n_runs,) or (n_runs, d)
        Places of the runs.
    parameters : (n_runs, n_parameters)
        Compared by rank.

    Returns
    -------
    Statistic
        Mean over the parameters of the share of variance explained by the ``k`` nearest others
        (1: colours change smoothly, 0 or below: they are mixed). ``p``: share of permutations of
        the runs that reach it. The interval is a bootstrap of the residuals.
    """
    ranks = np.column_stack([rankdata(p) for p in parameters.T])
    weights = neighbours(points, k)

    def mean(errors: np.ndarray, ranks: np.ndarray) -> float:
        return float(np.mean([explained(e, r) for e, r in zip(errors.T, ranks.T)]))

    found = bootstrap(name, mean, ranks - weights @ ranks, ranks)
    rng = np.random.default_rng(finding.SEED)
    n = n or finding.N_RESAMPLES
    shuffled = (ranks[rng.permutation(len(ranks))] for _ in range(n))
    reached = sum(mean(s - weights @ s, s) >= found.value for s in shuffled)
    return Statistic(name, found.value, found.low, found.high, (reached + 1) / (n + 1))


def rising(lines: np.ndarray) -> np.ndarray:
    """Least-squares non-decreasing fit of each row: ``max over a <= i, min over b >= i`` of the
    means of ``[a, b]``."""
    n = lines.shape[1]
    sums = np.concatenate([np.zeros((len(lines), 1)), np.cumsum(lines, axis=1)], axis=1)
    start, end = np.arange(n)[:, None], np.arange(n)[None]
    with np.errstate(divide="ignore", invalid="ignore"):
        means = (sums[:, None, 1:] - sums[:, :-1, None]) / (end - start + 1)
    means = np.where(end >= start, means, np.inf)
    least = np.minimum.accumulate(means[..., ::-1], axis=2)[..., ::-1]
    return np.where(end >= start, least, -np.inf).max(axis=1)


def isotonic(grid: np.ndarray) -> np.ndarray:
    """Least-squares fit (rows, columns) that rises along both axes (Dykstra's projections)."""
    fit = np.array(grid, np.float64)
    by_row, by_column = np.zeros_like(fit), np.zeros_like(fit)
    for _ in range(100):
        before = fit
        half = rising(fit + by_row)
        by_row += fit - half
        fit = rising((half + by_column).T).T
        by_column += half - fit
        if np.abs(fit - before).max() <= 1e-6 * np.ptp(grid):
            break
    return fit


def unmonotonic(name: str, grid: np.ndarray, *, n: int | None = None) -> Statistic:
    """Share of a map's variance that the best fit monotone along both axes leaves.

    Parameters
    ----------
    grid : (rows, columns)
        Values over two hyper-parameters; each axis may rise or fall.

    Returns
    -------
    Statistic
        ``p``: share of monotone maps with noise that leave as much, where the monotone map is the
        fit, and the noise has the strength of the second differences along the rows.
    """
    grid = np.asarray(grid, np.float64)
    total = ((grid - grid.mean()) ** 2).sum()
    if total == 0:
        return Statistic(name, 0.0, p=1.0)
    turned = [grid[::i, ::j] for i in (1, -1) for j in (1, -1)]
    fits = [isotonic(g) for g in turned]
    left = [((g - f) ** 2).sum() for g, f in zip(turned, fits)]
    best = int(np.argmin(left))
    n = n or finding.N_RESAMPLES // 5
    noise = np.sqrt((np.diff(turned[best], 2, axis=0) ** 2).mean() / 6)
    rng = np.random.default_rng(finding.SEED)
    reached = 0
    for _ in range(n):
        drawn = fits[best] + rng.normal(0, noise, grid.shape)
        share = ((drawn - isotonic(drawn)) ** 2).sum() / ((drawn - drawn.mean()) ** 2).sum()
        reached += share >= left[best] / total
    return Statistic(name, float(left[best] / total), p=(reached + 1) / (n + 1))


def interior_peak(name: str, x: np.ndarray, y: np.ndarray, n_bins: int = 9) -> Statistic:
    """How far the best values of ``y`` along ``x`` lie above those at its nearer end.

    Runs are sorted by ``x`` into bins of equal number; the value is the mean of the best bin minus
    that of the better of the two end bins, in units of the range of the bin means: 0 when an end is
    best (no stripe), towards 1 for a stripe in the middle. The interval is a bootstrap.
    """

    def peak(x: np.ndarray, y: np.ndarray) -> float:
        means = [b.mean() for b in np.array_split(y[np.argsort(x, kind="stable")], n_bins)]
        span = max(means) - min(means)
        return (max(means) - max(means[0], means[-1])) / span if span > 0 else 0.0

    return bootstrap(name, peak, x, y)


def area_under_curve(high: np.ndarray, low: np.ndarray) -> float:
    """Probability that a value of ``high`` exceeds one of ``low``, ties half."""
    above = (high[:, None] > low[None]).mean()
    return float(above + (high[:, None] == low[None]).mean() / 2)


def torus_p(a: np.ndarray, b: np.ndarray) -> float:
    """Test the rank correlation of two maps against one map shifted cyclically and mirrored.

    Shuffling single cells would break the smoothness that both maps have; this keeps it.
    """
    found = spearman(a.ravel(), b.ravel())
    moved = [
        spearman(a.ravel(), np.roll(b[::i, ::j], (r, c), (0, 1)).ravel())
        for i in (1, -1)
        for j in (1, -1)
        for r in range(b.shape[0])
        for c in range(b.shape[1])
    ]
    return float(np.mean(np.array(moved) >= found - 1e-12))


def compactness(
    name: str, points: np.ndarray, chosen: np.ndarray, *, n: int | None = None
) -> Statistic:
    """Mean distance among chosen runs relative to that among all (below 1: a cluster).

    ``p``: share of equally many random runs that lie as close.
    """
    distance = np.linalg.norm(points[:, None] - points[None], axis=2)

    def mean(some: np.ndarray) -> float:
        return distance[np.ix_(some, some)].sum() / max(len(some) * (len(some) - 1), 1)

    overall = mean(np.arange(len(points)))
    value = mean(chosen)
    n = n or finding.N_RESAMPLES
    rng = np.random.default_rng(finding.SEED)
    reached = sum(
        mean(rng.choice(len(points), len(chosen), replace=False)) <= value for _ in range(n)
    )
    return Statistic(name, float(value / overall) if overall else 1.0, p=(reached + 1) / (n + 1))


def outlyingness(points: np.ndarray, k: int = 5) -> np.ndarray:
    """Percentile (0 to 100) of each run's distance to its ``k``-th nearest other."""
    distance, _ = cKDTree(points).query(points, k=min(k, len(points) - 1) + 1)
    return 100 * (rankdata(distance[:, -1]) - 1) / max(len(points) - 1, 1)
