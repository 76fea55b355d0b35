"""Embedding of runs in the plane: similar runs lie close together.

The distance of two runs is 1 minus their similarity (design: run similarity). Metric
multidimensional scaling, the default, shows distances themselves; t-SNE and UMAP show neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pvensemble.errors import OptionError, did_you_mean
from pvensemble.numerics.alignment import canonical, procrustes
from pvensemble.numerics.neighbor_layouts import import_umap, tsne, umap
from pvensemble.numerics.pair_distances import (
    ALIKE,
    PairDistances,
    check_matrix,
    check_vectors,
    usable_runs,
)
from pvensemble.numerics.scaling import (
    classical_scaling,
    landmark_scaling,
    principal_components,
    quick_scaling,
    sample_runs,
)
from pvensemble.numerics.smacof import smacof

__all__ = ["METHODS", "Embedding", "canonical", "embed", "procrustes"]

METHODS = ("mds", "classical", "landmark", "tsne", "umap", "pca")

MAX_PAIRWISE = 30_000
"""Above as many runs no method looks at all pairs; landmark scaling takes its place."""

WORSE_AT_MOST = 0.05
"""Share of stress that going on from a given layout may cost."""

MAX_AFRESH = 2000
"""Up to as many runs that cost is looked at, which doubles the time."""

_STRESS_SAMPLE = 500
_NAN = float("nan")


@dataclass(frozen=True)
class Embedding:
    """Places of runs in the plane, and how far they can be trusted.

    Attributes
    ----------
    points : numpy.ndarray
        (n_runs, 2) float64; NaN for runs that could not be embedded.
    stress : float
        Square root of raw stress divided by the sum of squared given distances, 0 for a perfect
        layout (scikit-learn's ``normalized_stress``). For ``classical``, ``landmark`` and ``pca``
        that of the layout at its best scale, above 1,000 runs from the distances to 500 of them.
        NaN for ``tsne`` and ``umap``.
    raw_stress : float
        Sum over pairs of squared differences between distance in the plane and distance given;
        NaN for all methods but ``mds``.
    n_iterations : int
        0 for methods without iterations.
    negative_eigenvalues : float
        Share of negative eigenvalues in the sum of magnitudes of all; NaN for methods without.
    note : str
        What was done differently from what was asked, or "".
    """

    points: np.ndarray
    stress: float = _NAN
    raw_stress: float = _NAN
    n_iterations: int = 0
    negative_eigenvalues: float = _NAN
    note: str = ""


def embed(
    vectors: np.ndarray | None = None,
    distances: np.ndarray | None = None,
    method: str = "mds",
    seed: int = 0,
    start: np.ndarray | None = None,
) -> Embedding:
    """Place runs in the plane. The same input gives the same bits.

    Parameters
    ----------
    vectors : numpy.ndarray, optional
        (n_runs, length); rows of unit norm (see `similarity.run_vectors`), zero for runs whose
        values are constant, NaN for runs without data. Distance is 1 minus the product of rows.
    distances : numpy.ndarray, optional
        (n_runs, n_runs) symmetric, in place of ``vectors``; NaN between runs that cannot be
        compared, of which the largest comparable set is embedded.
    method : str
        ``mds``: metric, by SMACOF from a classical start; ``classical`` scaling, ``landmark``: the
        same from distances to 400 runs; ``pca``: principal components of the vectors; ``tsne``;
        ``umap``, which needs umap-learn.
    seed : int
        Of everything random.
    start : numpy.ndarray, optional
        (n_runs, 2) layout, such as that of the time step before, NaN for new runs. ``mds``,
        ``tsne`` and ``umap`` begin there, and the result of any method is rotated, reflected and
        shifted to it. Without it the result has canonical orientation. ``mds`` of up to 2,000 runs
        begins afresh where that finds less stress by more than 5 %.

    Returns
    -------
    Embedding

    Raises
    ------
    OptionError
        For an unknown method, an absent umap-learn, unusable vectors or distances.
    """
    vectors, distances, start = _checked(vectors, distances, method, start)
    n_runs = len(distances if vectors is None else vectors)
    runs = usable_runs(vectors, distances)
    notes = []
    if len(runs) < n_runs:
        vectors = None if vectors is None else vectors[runs]
        distances = None if distances is None else distances[np.ix_(runs, runs)]
        notes.append(f"{n_runs - len(runs)} of {n_runs} runs could not be compared")
    if vectors is not None:
        check_vectors(vectors)
    else:
        check_matrix(distances)
    before = None if start is None else start[runs]
    found = _embed_comparable(PairDistances(vectors, distances), method, seed, before, notes)
    points = np.full((n_runs, 2), np.nan)
    points[runs] = found.pop("points")
    return Embedding(points, note="; ".join(notes), **found)


def _checked(vectors, distances, method: str, start) -> tuple:
    """Return the arrays as such, or raise OptionError."""
    if method not in METHODS:
        raise OptionError(f"unknown embedding method {method!r}{did_you_mean(method, METHODS)}")
    if (vectors is None) == (distances is None):
        raise OptionError("an embedding needs either vectors or distances")
    if vectors is not None:
        vectors = np.asarray(vectors, dtype=np.float32)
    else:
        distances = np.asarray(distances)
    given = distances if vectors is None else vectors
    if given.ndim != 2 or (vectors is None and given.shape[0] != given.shape[1]):
        wanted = "distances (n_runs, n_runs)" if vectors is None else "vectors (n_runs, length)"
        raise OptionError(f"{wanted} are needed, got an array of shape {given.shape}")
    if start is not None:
        start = np.asarray(start, dtype=np.float64)
        if start.shape != (len(given), 2):
            raise OptionError(
                f"start must have shape ({len(given)}, 2), a row for each run, got {start.shape}"
            )
    return vectors, distances, start


def _embed_comparable(
    distances: PairDistances,
    method: str,
    seed: int,
    before: np.ndarray | None,
    notes: list[str],
) -> dict:
    """Embed runs that all have distances; return the fields of an Embedding."""
    n = distances.n
    if method == "umap":
        import_umap()  # before any work
    if n > MAX_PAIRWISE and method != "landmark":
        notes.append(f"landmark scaling in place of {method}: there are more than {MAX_PAIRWISE:,}")
        method = "landmark"
    if n < 4 and method in ("tsne", "umap"):
        notes.append(f"mds in place of {method}: there are only {n} runs")
        method = "mds"
    if n < 2 or (method != "landmark" and distances.sum_of_squares() <= ALIKE * n * n):
        found = {"points": np.zeros((n, 2)), "stress": 0.0, "raw_stress": 0.0}
    else:
        n_known = 0 if before is None else np.isfinite(before).all(axis=1).sum()
        found = _LAYOUTS[method](distances, seed, before if n_known > 2 else None, notes)
    found["points"] = canonical(found["points"])
    if before is not None:
        found["points"] = procrustes(found["points"], before)
    return found


def _mds(distances: PairDistances, seed: int, before: np.ndarray | None, notes: list[str]) -> dict:
    layout = smacof(distances, _first_layout(distances, seed, before))
    if before is not None and distances.n <= MAX_AFRESH:
        afresh = smacof(distances, _first_layout(distances, seed, None))
        if afresh.stress < (1 - WORSE_AT_MOST) * layout.stress:
            layout = afresh
            notes.append("began afresh: going on from the given layout is a dead end")
    return {
        "points": layout.points,
        "stress": layout.stress,
        "raw_stress": layout.raw_stress,
        "n_iterations": layout.n_iterations,
    }


def _classical(distances: PairDistances, seed: int, before, notes: list[str]) -> dict:
    return _of_scaling(distances, classical_scaling(distances, seed), seed, notes)


def _landmark(distances: PairDistances, seed: int, before, notes: list[str]) -> dict:
    return _of_scaling(distances, landmark_scaling(distances, seed), seed, notes)


def _of_scaling(distances: PairDistances, scaling, seed: int, notes: list[str]) -> dict:
    if scaling.n_sampled < distances.n:
        notes.append(f"negative eigenvalues are those of {scaling.n_sampled} runs")
    return {
        "points": scaling.points,
        "stress": _stress_at_best_scale(distances, scaling.points, seed),
        "negative_eigenvalues": scaling.negative,
    }


def _pca(distances: PairDistances, seed: int, before, notes: list[str]) -> dict:
    points = principal_components(distances, seed)
    return {"points": points, "stress": _stress_at_best_scale(distances, points, seed)}


def _tsne(distances: PairDistances, seed: int, before, notes: list[str]) -> dict:
    first = _first_layout(distances, seed, before)
    points, n_iterations, words = tsne(distances, first, seed, goes_on=before is not None)
    notes.append(words)
    return {"points": points, "n_iterations": n_iterations}


def _umap(distances: PairDistances, seed: int, before, notes: list[str]) -> dict:
    return {"points": umap(distances, _first_layout(distances, seed, before), seed)}


_LAYOUTS = {
    "mds": _mds,
    "classical": _classical,
    "landmark": _landmark,
    "tsne": _tsne,
    "umap": _umap,
    "pca": _pca,
}


def _first_layout(distances: PairDistances, seed: int, before: np.ndarray | None) -> np.ndarray:
    """Return a finite layout to begin with, in which no two runs lie at the very same place."""
    known = np.zeros(distances.n, bool) if before is None else np.isfinite(before).all(axis=1)
    if known.all():
        points = before.copy()
    else:
        points = quick_scaling(distances, seed)
        if before is not None:
            points = procrustes(points, before)
            points[known] = before[known]
    spread = points.std(axis=0)
    moved = spread < 1e-3 * spread.max()
    noise = np.random.default_rng(seed).standard_normal(points.shape) * max(spread.max(), 1e-3)
    if moved.any():
        points[:, moved] += 0.01 * noise[:, moved]
    _, place, count = np.unique(points, axis=0, return_inverse=True, return_counts=True)
    together = count[place.ravel()] > 1
    points[together] += 0.01 * noise[together]
    return points


def _stress_at_best_scale(distances: PairDistances, points: np.ndarray, seed: int) -> float:
    """Return the stress of a layout when it is scaled as fits the distances best."""
    runs = sample_runs(distances.n, distances.n if distances.n <= 1000 else _STRESS_SAMPLE, seed)
    given_squares = layout_squares = products = 0.0
    for run, given in zip(runs, np.ascontiguousarray(distances.to_runs(runs).T)):
        layout = np.sqrt(np.sum((points - points[run]) ** 2, axis=1))
        given_squares += given @ given
        layout_squares += layout @ layout
        products += given @ layout
    if given_squares <= ALIKE * distances.n * len(runs):
        return 0.0
    if not layout_squares:
        return 1.0
    return float(np.sqrt(max(0.0, 1 - products**2 / (given_squares * layout_squares))))
