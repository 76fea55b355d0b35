"""Pearson correlation among the filters of a layer, on the training device, for a stack of runs.

The activation vector of a filter is its output over the whole probe batch, all positions
concatenated. Sums are shifted by the first chunk's mean, products are formed in float32 and
accumulated in float64, so one pass suffices and chunks may come in any number: against float64
throughout the error stays below 3e-6 even for activations far from zero.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

ROWS = 4096
"""Rows whose products are summed in float32 before float64 takes over."""


def activation_rows(output: Tensor) -> Tensor:
    """Return a layer's output as rows of filters.

    Parameters
    ----------
    output
        (n_runs, n_images, n_filters, *positions).

    Returns
    -------
    Tensor
        (n_runs, n_images * n_positions, n_filters) float32; a view where memory order allows it.
    """
    return output.movedim(2, -1).reshape(output.shape[0], -1, output.shape[2]).float()


def first_mean(rows: Tensor) -> Tensor:
    """Return the mean of the first rows, (n_runs, 1, n_filters): what sums are shifted by."""
    return rows[:, :ROWS].mean(1, keepdim=True)


class CorrelationSums:
    """Shifted sums over activation rows; feed chunks with :meth:`add`, then :meth:`result`.

    Those of disjoint chunks can be added up with :meth:`merge`.
    """

    def __init__(self) -> None:
        self._count = 0
        self._shift: Tensor | None = None
        self._sum: Tensor | None = None
        self._products: Tensor | None = None

    def add(self, rows: Tensor) -> None:
        """Add ``rows``, (n_runs, n_rows, n_filters) float32."""
        shift = first_mean(rows) if self._shift is None else self._shift
        self.add_shifted(rows - shift, shift)

    def add_shifted(self, shifted: Tensor, shift: Tensor) -> None:
        """Add rows from which ``shift``, (n_runs, 1, n_filters), was taken: always the same."""
        n_runs, n_rows, n_filters = shifted.shape
        if self._shift is None:
            self._shift = shift
            self._sum = shifted.new_zeros((n_runs, n_filters), dtype=torch.float64)
            squares = (n_runs, n_filters, n_filters)
            self._products = shifted.new_zeros(squares, dtype=torch.float64)
        self._count += n_rows
        whole = n_rows // ROWS * ROWS
        if whole:
            self._add_parts(shifted[:, :whole].reshape(-1, ROWS, n_filters), n_runs)
        if whole < n_rows:
            self._add_parts(shifted[:, whole:], n_runs)

    def merge(self, other: CorrelationSums) -> None:
        """Add what another one has seen, of other chunks, devices or processes."""
        if other._shift is None:
            return
        if self._shift is None:
            self._count, self._shift = other._count, other._shift
            self._sum, self._products = other._sum.clone(), other._products.clone()
            return
        device = self._shift.device
        n, sums = other._count, other._sum.to(device)
        apart = (other._shift.to(device).double() - self._shift.double())[:, 0]
        mixed = sums[:, :, None] * apart[:, None, :]
        squares = n * apart[:, :, None] * apart[:, None, :]
        self._count += n
        self._sum += sums + n * apart
        self._products += other._products.to(device) + mixed + mixed.mT + squares

    def _add_parts(self, parts: Tensor, n_runs: int) -> None:
        """Add (n_runs * n_parts, at most ROWS, n_filters): float32 in a part, float64 across."""
        sums, products = parts.sum(1), torch.bmm(parts.transpose(1, 2), parts)
        self._sum += sums.view(n_runs, -1, *sums.shape[1:]).sum(1, dtype=torch.float64)
        self._products += products.view(n_runs, -1, *products.shape[1:]).sum(1, dtype=torch.float64)

    def result(self) -> Tensor:
        """Return the correlations, (n_runs, n_filters, n_filters) float32 in [-1, 1].

        A dead filter (no variance, or values that are not finite) correlates 0 with all others.
        The diagonal is exactly 1.
        """
        mean = self._sum / self._count
        covariance = self._products / self._count - mean[:, :, None] * mean[:, None, :]
        # Below this, what is left of the variance is rounding of the shifted float32 values.
        scale = (self._products / self._count).diagonal(dim1=1, dim2=2)
        shift = self._shift[:, 0].double()
        return _normalized(covariance, 1e-12 * scale + 1e-13 * shift * shift)


def _normalized(covariance: Tensor, floor: Tensor) -> Tensor:
    """Return correlations from covariances, (n_runs, n_filters, n_filters) float64.

    A filter whose variance is not above ``floor``, (n_runs, n_filters), is dead.
    """
    variance = covariance.diagonal(dim1=1, dim2=2)
    alive = torch.isfinite(variance) & (variance > floor)
    scale = torch.where(alive, variance.rsqrt(), 0.0)
    correlation = covariance * scale[:, :, None] * scale[:, None, :]
    correlation = correlation.nan_to_num_(0.0, 0.0, 0.0).clamp_(-1.0, 1.0)
    correlation.diagonal(dim1=1, dim2=2).fill_(1.0)
    return correlation.float()


# -- a convolution of the images themselves --------------------------------------------------------


def has_patches(layer: nn.Module) -> bool:
    """Tell whether :func:`patch_covariance` knows the patches that a layer meets."""
    return (
        isinstance(layer, nn.Conv2d)
        and layer.groups == 1
        and layer.padding_mode == "zeros"
        and not isinstance(layer.padding, str)
    )


def patch_covariance(images: Tensor, layer: nn.Conv2d, chunk: int = 32) -> Tensor:
    """Return the covariance of the patches that a convolution meets in images.

    The output of a filter is its weight times a patch, so the covariance of all filters' outputs
    follows from this matrix, which no run changes: the outputs themselves are not needed.

    Parameters
    ----------
    images
        (n, channels, height, width).

    Returns
    -------
    Tensor
        (k, k) float64, with k = channels * kernel height * kernel width in the order of the weight.
    """

    def patches() -> Iterator[Tensor]:
        for part in images.split(chunk):
            unfolded = functional.unfold(
                part, layer.kernel_size, layer.dilation, layer.padding, layer.stride
            )
            yield unfolded.movedim(1, 0).flatten(1).double()

    count = 0
    total: Tensor | float = 0.0
    for part in patches():
        count += part.shape[1]
        total = total + part.sum(1, keepdim=True)
    mean = total / count
    products: Tensor | float = 0.0
    for part in patches():
        part -= mean
        products = products + part @ part.T
    return products / count


def correlation_of_patches(weight: Tensor, covariance: Tensor) -> Tensor:
    """Return the correlations of the outputs of filters, as :meth:`CorrelationSums.result` does.

    Parameters
    ----------
    weight
        (n_filters, channels, kernel height, kernel width).
    covariance
        From :func:`patch_covariance`.

    Returns
    -------
    Tensor
        (1, n_filters, n_filters) float32.
    """
    rows = weight.flatten(1).double()
    floor = 1e-13 * (rows * rows).sum(1) * covariance.trace()
    return _normalized((rows @ covariance @ rows.T)[None], floor[None])
