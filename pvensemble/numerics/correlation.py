"""Pearson correlation of the filters of a layer, and of layers, from their outputs.

The activation vector of a filter is its output over the whole probe batch, all positions
concatenated. Sums are shifted by the mean of the first rows, products are formed in float32 and
accumulated in float64, so that one pass suffices; sums of parts can be merged (Chan, Golub and
LeVeque 1979). `pvensemble.train.correlation` does the same on the training device.
"""

from __future__ import annotations

import numpy as np

from pvensemble.errors import OptionError
from pvensemble.numerics.similarity import cka_vectors

ROWS = 1024
"""Rows whose products are summed in float32 before float64 takes over."""
_CHUNK = 2**22
"""Activations that are rearranged at once."""


class CorrelationSums:
    """Shifted sums over activation rows; feed chunks with :meth:`add`, then :meth:`result`.

    Leading axes, such as runs, are independent of each other.
    """

    def __init__(self) -> None:
        self._count = 0
        self._shift: np.ndarray | None = None
        self._sum: np.ndarray | None = None
        self._products: np.ndarray | None = None

    def add(self, rows: np.ndarray) -> None:
        """Add ``rows``, (…, n_rows, n_filters); as float32."""
        rows = np.asarray(rows, np.float32)
        n_rows, n_filters = rows.shape[-2:]
        if not n_rows:
            return
        lead = rows.shape[:-2]
        if self._shift is None:
            with np.errstate(invalid="ignore", over="ignore"):
                self._shift = rows[..., :ROWS, :].mean(axis=-2, keepdims=True)
            self._sum = np.zeros((*lead, n_filters))
            self._products = np.zeros((*lead, n_filters, n_filters))
        elif self._sum.shape != (*lead, n_filters):
            wanted = (*self._sum.shape[:-1], "n_rows", self._sum.shape[-1])
            raise OptionError(f"rows of shape {wanted} must follow, got {rows.shape}")
        self._count += n_rows
        with np.errstate(invalid="ignore", over="ignore"):
            for first in range(0, n_rows, ROWS):
                part = rows[..., first : first + ROWS, :] - self._shift
                self._sum += part.sum(axis=-2)
                self._products += np.matmul(part.swapaxes(-1, -2), part)

    def merge(self, other: CorrelationSums) -> None:
        """Add the sums of other rows, of another chunk, step or process."""
        if other._shift is None:
            return
        if self._shift is None:
            self._shift = other._shift.copy()
            self._sum, self._products = other._sum.copy(), other._products.copy()
            self._count = other._count
            return
        if self._sum.shape != other._sum.shape:
            raise OptionError(
                f"sums of {other._sum.shape} filters cannot be merged with those of "
                f"{self._sum.shape}"
            )
        with np.errstate(invalid="ignore", over="ignore"):
            # Their sums, as if their shift were ours.
            apart = (other._shift.astype(np.float64) - self._shift)[..., 0, :]
            cross = other._sum[..., :, None] * apart[..., None, :]
            square = other._count * (apart[..., :, None] * apart[..., None, :])
            self._products += other._products + cross + cross.swapaxes(-1, -2) + square
            self._sum += other._sum + other._count * apart
        self._count += other._count

    @property
    def dead(self) -> np.ndarray:
        """(…, n_filters) bool: filters without variance, or with values that are not finite."""
        return ~self._moments()[1]

    def result(self) -> np.ndarray:
        """Return the correlations, (…, n_filters, n_filters) float32 in [-1, 1].

        A dead filter correlates 0 with all others. The diagonal is exactly 1.
        """
        covariance, alive = self._moments()
        diagonal = np.arange(covariance.shape[-1])
        variance = covariance[..., diagonal, diagonal]
        deviation = np.sqrt(np.where(alive, variance, 1.0))
        both = alive[..., :, None] & alive[..., None, :]
        covariance = np.where(both, covariance, 0.0)
        covariance /= deviation[..., :, None]
        covariance /= deviation[..., None, :]
        np.nan_to_num(covariance, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
        np.clip(covariance, -1.0, 1.0, out=covariance)
        covariance[..., diagonal, diagonal] = 1.0
        return covariance.astype(np.float32)

    def _moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Return covariances (…, n_filters, n_filters) and which filters are not dead."""
        if self._shift is None:
            raise OptionError("a correlation needs activations, none were added")
        with np.errstate(invalid="ignore", over="ignore"):
            mean = self._sum / self._count
            squares = self._products / self._count
            covariance = squares - mean[..., :, None] * mean[..., None, :]
            shift = self._shift[..., 0, :].astype(np.float64)
            # Below this, what is left of the variance is rounding of the shifted float32 values.
            floor = 1e-12 * np.diagonal(squares, axis1=-2, axis2=-1) + 1e-13 * shift * shift
            variance = np.diagonal(covariance, axis1=-2, axis2=-1)
            return covariance, np.isfinite(variance) & (variance > floor)


def filter_correlation(
    activations: np.ndarray, n_positions: int = 2
) -> tuple[np.ndarray, np.ndarray]:
    """Return the correlations of filters from stored activations.

    Parameters
    ----------
    activations : numpy.ndarray
        (…, n_images, n_filters, *positions).
    n_positions : int
        Number of axes of positions: 2 for a convolution of images, 0 for a linear layer.

    Returns
    -------
    matrix : numpy.ndarray
        (…, n_filters, n_filters) float32, see :meth:`CorrelationSums.result`.
    dead : numpy.ndarray
        (…, n_filters) bool.
    """
    activations = np.asarray(activations)
    if activations.ndim < 2 + n_positions:
        raise OptionError(
            f"activations (…, n_images, n_filters, {n_positions} axes of positions) are needed, "
            f"got an array of shape {activations.shape}"
        )
    images = activations.ndim - n_positions - 2
    lead, n_images = activations.shape[:images], activations.shape[images]
    n_filters = activations.shape[images + 1]
    values = np.moveaxis(activations, (images, images + 1), (0, -1))
    step = max(1, _CHUNK // max(1, activations.size // max(1, n_images)))
    sums = CorrelationSums()
    for first in range(0, n_images, step):
        rows = np.moveaxis(values[first : first + step], 0, images)
        sums.add(rows.reshape(*lead, -1, n_filters))
    return sums.result(), sums.dead


def dead_filters(matrix: np.ndarray) -> np.ndarray:
    """Tell which filters of stored correlations are dead: those that correlate 0 with all others.

    Filters that were merged away are none of them; see :func:`existing_filters`.

    Parameters
    ----------
    matrix : numpy.ndarray
        (…, n_filters, n_filters).

    Returns
    -------
    numpy.ndarray
        (…, n_filters) bool; False for the only filter of a layer, of which this cannot be known.
    """
    matrix = np.asarray(matrix)
    n = matrix.shape[-1]
    if n < 2:
        return np.zeros(matrix.shape[:-1], bool)
    others = np.count_nonzero(matrix, axis=-1)
    others -= np.diagonal(matrix, axis1=-2, axis2=-1) != 0
    return (others == 0) & existing_filters(matrix)


def existing_filters(matrix: np.ndarray) -> np.ndarray:
    """Tell which filters of stored correlations are there: not merged away during training.

    Those that are there correlate 1 with themselves, the others 0. Of a run that failed nothing is
    stored but zeros: all its filters count as there.

    Parameters
    ----------
    matrix : numpy.ndarray
        (…, n_filters, n_filters).

    Returns
    -------
    numpy.ndarray
        (…, n_filters) bool, at least one of them True.
    """
    own = np.diagonal(np.asarray(matrix), axis1=-2, axis2=-1) != 0
    return own | ~own.any(axis=-1, keepdims=True)


def layer_correlation(grams: list[np.ndarray]) -> np.ndarray:
    """Return how similar the layers of each run are: minibatch linear CKA, unbiased.

    Layers may have any number of filters and positions, because what is compared is how alike
    they find pairs of images.

    Parameters
    ----------
    grams : list of numpy.ndarray
        For each layer (n_runs, n_batches, b, b): U-centred Gram matrices, as the kind ``gram`` is
        recorded, of the same images for all layers.

    Returns
    -------
    numpy.ndarray
        (n_runs, n_layers, n_layers) float32 in [-1, 1]; a dead layer has 0 with all others and 1
        with itself.
    """
    shapes = {np.shape(gram) for gram in grams}
    if len(shapes) != 1:
        raise OptionError(
            f"Gram matrices of layers need one shape (n_runs, n_batches, b, b), got "
            f"{sorted(shapes) or 'none'}"
        )
    vectors = np.stack([cka_vectors(gram) for gram in grams], axis=1)
    result = np.clip(np.matmul(vectors, vectors.transpose(0, 2, 1)), -1.0, 1.0)
    diagonal = np.arange(len(grams))
    result[:, diagonal, diagonal] = 1.0
    return result
