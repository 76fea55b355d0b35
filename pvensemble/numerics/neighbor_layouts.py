"""Layouts that keep neighbours together rather than distances: t-SNE and UMAP."""

from __future__ import annotations

import sys
import warnings

import numpy as np

from pvensemble.errors import OptionError
from pvensemble.numerics.pair_distances import PairDistances

PERPLEXITY = 30.0
N_NEIGHBORS = 15


def tsne(
    distances: PairDistances, first: np.ndarray, seed: int, *, goes_on: bool
) -> tuple[np.ndarray, int, str]:
    """Return t-SNE's points, its number of iterations, and perplexity and divergence in words.

    Parameters
    ----------
    distances : PairDistances
    first : numpy.ndarray
        (n, 2) layout to begin with, n > 3.
    seed : int
    goes_on : bool
        Whether ``first`` is already a layout by t-SNE. It is then begun with at its own scale and
        without early exaggeration, which would tear it to pieces.
    """
    from sklearn.manifold import TSNE  # slow to import, and seldom needed
    from threadpoolctl import threadpool_limits  # comes with scikit-learn

    perplexity = min(PERPLEXITY, (distances.n - 1) / 3)
    if not goes_on:
        first = first * (1e-4 / max(first.std(axis=0).max(), 1e-30))  # as scikit-learn's "pca"
    model = TSNE(
        perplexity=perplexity,
        early_exaggeration=1.0 if goes_on else 12.0,
        metric="precomputed",
        init=first.astype(np.float32),
        learning_rate="auto",
        random_state=seed,
    )
    with threadpool_limits(1, "openmp"):  # sums of several threads may differ from call to call
        points = model.fit_transform(distances.matrix()).astype(np.float64)
    words = f"perplexity {perplexity:.3g}, Kullback-Leibler divergence {model.kl_divergence_:.3g}"
    return points, int(model.n_iter_), words


def umap(distances: PairDistances, first: np.ndarray, seed: int) -> np.ndarray:
    """Return UMAP's points, begun with a layout ``first`` of (n, 2), n > 3."""
    model = import_umap().UMAP(
        n_neighbors=min(N_NEIGHBORS, distances.n - 1),
        metric="precomputed",
        init=first.astype(np.float32),
        random_state=seed,
        n_jobs=1,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that precomputed distances have no inverse
        return model.fit_transform(distances.matrix()).astype(np.float64)


def import_umap():
    """Import umap-learn, or raise OptionError with the command that installs it."""
    try:
        import umap as umap_learn
    except ImportError as error:
        raise OptionError(
            "method 'umap' needs umap-learn, which this Python does not have; install it: "
            f"{sys.executable} -m pip install umap-learn (or take method 'tsne')"
        ) from error
    return umap_learn
