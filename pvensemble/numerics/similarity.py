"""Similarity of runs by the correlations of their filters, or by the outputs of a layer.

``paper``: Pearson correlation of the two matrices of |r|, each in the order of its own clusters,
flattened (Hamid et al. 2019). ``matched``: the same after the filters of one run are matched with
those of the other. ``cka``: linear centred kernel alignment of the layer's outputs, minibatch and
unbiased (Nguyen et al. 2021), which depends neither on the order nor on the number of filters.

All but ``matched`` are products of one vector a run, so all pairs are one product of matrices.
"""

from __future__ import annotations

import numpy as np

from pvensemble.errors import OptionError
from pvensemble.numerics.filter_matching import match_filters
from pvensemble.numerics.ordering import checked_stack, reordered

MEASURES = ("paper", "matched", "cka")
BLOCK = 512
"""Runs whose products with as many others are formed at once."""
_CHUNK = 2**22
"""Matrix entries that are turned into vectors at once."""
_CONSTANT = 1e-6
"""Standard deviation of values of |r| below which they are one value, rounded to float32."""


# -- vectors of runs -------------------------------------------------------------------------------


def run_vectors(
    stack: np.ndarray, threshold: float = 0.7, linkage: str = "average", upper: bool = False
) -> np.ndarray:
    """Return vectors whose products are the similarity ``paper`` of runs.

    Parameters
    ----------
    stack : numpy.ndarray
        (n_runs, n_filters, n_filters) correlations in [-1, 1].
    threshold, linkage
        Of the clusters; see `pvensemble.numerics.ordering.cluster_order`.
    upper : bool
        Take each pair of filters once, without the diagonal, instead of the whole matrix.

    Returns
    -------
    numpy.ndarray
        (n_runs, length) float32 of zero mean and unit norm; zero where all values are equal.
    """
    stack = np.asarray(stack)
    checked_stack(stack[:0], threshold, linkage)
    n = stack.shape[1]
    places = np.flatnonzero(np.triu(np.ones((n, n), bool), 1)) if upper else None
    vectors = np.empty((len(stack), n * n if places is None else len(places)), np.float32)
    step = max(1, _CHUNK // max(1, n * n))
    for first in range(0, len(stack), step):
        flat = reordered(stack[first : first + step], threshold, linkage)
        flat = flat.reshape(len(flat), -1)
        vectors[first : first + step] = _standardized(flat if places is None else flat[:, places])
    return vectors


def _standardized(rows: np.ndarray) -> np.ndarray:
    """Return rows (n, length) with zero mean and unit norm, 0 where their values are equal."""
    if not rows.shape[1]:
        return rows
    rows = rows - rows.mean(axis=1, keepdims=True, dtype=np.float64)
    return _of_unit_norm(rows, _CONSTANT * rows.shape[1] ** 0.5)


def _of_unit_norm(rows: np.ndarray, least: float) -> np.ndarray:
    """Return rows (n, length) divided by their norm, 0 where it is ``least`` or not finite."""
    norm = np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float64))
    alive = (norm > least) & np.isfinite(norm)
    scale = np.where(alive, norm, 1.0)[:, None]
    return np.where(alive[:, None], rows / scale, 0.0)


def cka_vectors(gram: np.ndarray) -> np.ndarray:
    """Return vectors whose products are the similarity ``cka`` of runs.

    The unbiased HSIC of two runs on a minibatch of b images is ``<K, L> / (b (b - 3))`` for
    U-centred K and L; CKA is the ratio of its means over minibatches, so it is the cosine of all
    matrices of a run. They are symmetric with a zero diagonal: half of them suffices.

    Parameters
    ----------
    gram : numpy.ndarray
        (n_runs, n_batches, b, b) U-centred Gram matrices, as the kind ``gram`` is recorded.

    Returns
    -------
    numpy.ndarray
        (n_runs, n_batches * b * (b - 1) / 2) float32 of unit norm; zero for a dead layer.
    """
    gram = np.asarray(gram)
    if gram.ndim != 4 or gram.shape[2] != gram.shape[3]:
        raise OptionError(f"Gram matrices (n_runs, n_batches, b, b) are needed, got {gram.shape}")
    n_runs, n_batches, b, _ = gram.shape
    row, column = np.triu_indices(b, 1)
    vectors = np.empty((n_runs, n_batches * len(row)), np.float32)
    step = max(1, _CHUNK // max(1, gram[:1].size))
    for first in range(0, n_runs, step):
        part = gram[first : first + step, :, row, column].astype(np.float64)
        with np.errstate(invalid="ignore", over="ignore"):
            vectors[first : first + step] = _of_unit_norm(part.reshape(len(part), -1), 0.0)
    return vectors


# -- all pairs -------------------------------------------------------------------------------------


def similarity(
    vectors: np.ndarray, block: int = BLOCK, out: np.ndarray | None = None
) -> np.ndarray:
    """Return the similarity of all pairs of runs, as one product in blocks.

    Beside the result there is one block in memory, 1 MB. Every pair is computed once.

    Parameters
    ----------
    vectors : numpy.ndarray
        (n_runs, length) float32 from :func:`run_vectors` or :func:`cka_vectors`.
    block : int
        Runs in a block.
    out : numpy.ndarray, optional
        (n_runs, n_runs) float32 that takes the result, such as a `numpy.memmap`.

    Returns
    -------
    numpy.ndarray
        (n_runs, n_runs) float32 in [-1, 1], symmetric to the bit; the diagonal is 1. A zero vector
        has similarity 0 to all others.
    """
    vectors = np.ascontiguousarray(vectors, np.float32)
    n = len(vectors)
    if out is None:
        out = np.empty((n, n), np.float32)
    elif out.shape != (n, n) or out.dtype != np.float32:
        raise OptionError(f"out must be float32 ({n}, {n}), got {out.dtype} {out.shape}")
    for place in block_places(n, block):
        put_block(out, place, block_similarity(vectors, place, block))
    return out


def block_places(n_runs: int, block: int = BLOCK) -> list[tuple[int, int]]:
    """Return first row and column of the blocks of all pairs, each pair once."""
    firsts = range(0, n_runs, block)
    return [(i, j) for i in firsts for j in firsts if j >= i]


def block_similarity(vectors: np.ndarray, place: tuple[int, int], block: int = BLOCK) -> np.ndarray:
    """Return the similarity of the pairs of a block, see :func:`similarity`."""
    i, j = place
    product = np.matmul(vectors[i : i + block], vectors[j : j + block].T)
    np.clip(product, -1.0, 1.0, out=product)
    if i == j:
        product = np.triu(product) + np.triu(product, 1).T
        np.fill_diagonal(product, 1.0)
    return product


def put_block(out: np.ndarray, place: tuple[int, int], product: np.ndarray) -> None:
    """Put a block, and its mirror image, in its place in the matrix of all pairs."""
    (i, j), (n_rows, n_columns) = place, product.shape
    out[i : i + n_rows, j : j + n_columns] = product
    if i != j:
        out[j : j + n_columns, i : i + n_rows] = product.T


# -- matched filters -------------------------------------------------------------------------------


def matched_similarity(stack: np.ndarray, part: tuple[int, int] = (0, 1)) -> np.ndarray:
    """Return the similarity ``matched`` of all pairs of runs.

    It is the largest Pearson correlation of |A| and |B| with the filters of B permuted, over all
    permutations that were looked at: an exact maximum is NP-hard. The better of two matchings is
    taken (places in the order of clusters; the Hungarian matching of the filters' sorted rows of
    |r|), and filters are exchanged until no exchange of two helps. So the result

    - is at least the similarity ``paper`` with the default threshold and linkage;
    - never exceeds the maximum over all permutations;
    - is 1 for a run and the same run with its filters permuted;
    - depends neither on the numbers of the filters in any run nor on the order of the runs.

    A pair of runs with 50 filters takes about 0.5 ms, so 500 runs take a minute.

    Parameters
    ----------
    stack : numpy.ndarray
        (n_runs, n_filters, n_filters) correlations in [-1, 1].
    part : tuple of int
        Number of a part of the pairs, and of how many: the others are left at 0, so that the sum
        of all parts, with ones on the diagonal, is the whole.

    Returns
    -------
    numpy.ndarray
        (n_runs, n_runs) float32 in [-1, 1], symmetric; 0 for runs whose values are all equal, 1 on
        the diagonal.
    """
    ordered = reordered(stack)
    n_runs, n = ordered.shape[:2]
    result = np.eye(n_runs, dtype=np.float32)
    if n_runs < 2 or n < 2:
        return result
    diagonal = np.arange(n)
    ordered[:, diagonal, diagonal] = 1.0
    flat = ordered.reshape(n_runs, -1)
    unit = _standardized(flat).astype(np.float32).reshape(ordered.shape)
    # Of two runs the first in this order keeps its filters, whatever the order of the runs.
    runs = np.argsort(np.unique(flat, axis=0, return_inverse=True)[1].ravel(), kind="stable")
    step = max(1, _CHUNK // (n * n))
    for place, run in list(enumerate(runs[:-1]))[part[0] :: part[1]]:
        for first in range(place + 1, n_runs, step):
            part = runs[first : first + step]
            best = match_filters(unit[run], unit[part])
            result[run, part] = result[part, run] = best
    return np.clip(result, -1.0, 1.0, out=result)
