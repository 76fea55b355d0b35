"""Gram matrices of a layer's outputs, from which the similarity of two layers or runs follows.

For each minibatch of b images the linear Gram matrix of their flattened outputs, K = X X^T, is
U-centred, so that the unbiased HSIC of two layers on a minibatch is ``<K, L> / (b (b - 3))`` and
their minibatch CKA, the ratio of means over minibatches, is the cosine of all their matrices.
A constant added to X, such as a bias, changes nothing: outputs are shifted by the mean of each
filter, multiplied in float32 and centred in float64.

References
----------
Székely and Rizzo (2014), "Partial distance correlation with methods for dissimilarities".
Nguyen, Raghu and Kornblith (2021), "Do wide and deep networks learn the same things?".
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

BATCH = 32
"""Images in a minibatch; a last smaller one is left out, unless it is the only one."""
IMAGES = 128
"""Images of the probe batch at most: the estimator is unbiased with any number of minibatches, and
more cost more time than all the rest of recording."""
LEAST = 4
"""Images in a minibatch at least: the unbiased estimator divides by b - 3."""
PATCH_VALUES = 2**24
"""Numbers that :func:`patch_products` may take at most, 64 MiB."""


def gram_shape(n_images: int) -> tuple[int, int, int]:
    """Return (n_batches, b, b) for a probe batch of ``n_images``, at least ``LEAST``."""
    batch = min(BATCH, n_images)
    return min(IMAGES, n_images) // batch, batch, batch


def u_centred(gram: Tensor) -> Tensor:
    """Return Gram matrices (…, b, b), float64, U-centred: rows sum to 0 and the diagonal is 0."""
    b = gram.shape[-1]
    hollow = gram - torch.diag_embed(gram.diagonal(dim1=-2, dim2=-1))
    rows = hollow.sum(-1, keepdim=True)
    total = rows.sum(-2, keepdim=True)
    centred = hollow - (rows + rows.mT) / (b - 2) + total / ((b - 1) * (b - 2))
    centred.diagonal(dim1=-2, dim2=-1).zero_()
    return centred


def grams_of(gram: Tensor, energy: Tensor) -> Tensor:
    """Return U-centred matrices of all minibatches together of norm 1, float32.

    Parameters
    ----------
    gram
        (n_runs, n_batches, b, b) float32; the diagonal does not matter.
    energy
        As :func:`unit` takes it.
    """
    centred = u_centred(gram.double()).flatten(1)
    norm = torch.linalg.vector_norm(centred, dim=1)
    return unit(centred, norm, energy).view(gram.shape)


def unit(values: Tensor, norm: Tensor, energy: Tensor) -> Tensor:
    """Return centred values divided by their norm, float32.

    Parameters
    ----------
    values
        (n_runs, n) float64.
    norm
        (n_runs,): of the matrices.
    energy
        (n_runs,): sum of squares of the outputs. What is left far below it is rounding: the
        layer is dead, as one whose outputs are not finite, and its matrices are 0.
    """
    alive = torch.isfinite(norm) & (norm > 1e-13 * energy)
    return torch.where(alive[:, None], values / norm[:, None], 0.0).float()


class Grams:
    """Gram matrices of the minibatches of a probe batch; feed chunks in order.

    Values are less by a constant of each filter (the same for all images), which makes no
    difference but for rounding.

    Parameters
    ----------
    n_images
        Images of the whole probe batch.
    """

    def __init__(self, n_images: int) -> None:
        n_batches, self._batch, _ = gram_shape(n_images)
        self._left = n_batches * self._batch
        self._rest: Tensor | None = None
        self._grams: list[Tensor] = []
        self._energy: Tensor | float = 0.0

    def add(self, rows: Tensor, shift: Tensor) -> None:
        """Add the outputs of some images.

        Parameters
        ----------
        rows
            (n_runs, n, n_values) float32: flattened, the filter last, and shifted.
        shift
            (n_runs, 1, n_filters): what was taken from every value of a filter.
        """
        rows = rows[:, : self._left]
        self._left -= rows.shape[1]
        if not rows.shape[1]:
            return
        n_values = rows.shape[1] * rows.shape[2] // shift.shape[2]
        self._energy = self._energy + n_values * shift.double().square().sum((1, 2))
        if self._rest is not None:
            rows = torch.cat([self._rest, rows], dim=1)
        whole = rows.shape[1] // self._batch * self._batch
        self._rest = rows[:, whole:] if whole < rows.shape[1] else None
        if whole:
            batches = rows[:, :whole].unflatten(1, (-1, self._batch))
            gram = batches @ batches.mT
            self._grams.append(gram)
            own = gram.diagonal(dim1=2, dim2=3).double().sum((1, 2))
            self._energy = self._energy + own

    def result(self) -> Tensor:
        """Return the matrices, (n_runs, n_batches, b, b) float32, of unit norm or 0."""
        return grams_of(torch.cat(self._grams, dim=1), self._energy)


# -- a convolution of the images themselves --------------------------------------------------------


class PatchProducts:
    """Products of the patches of all pairs of images in a minibatch, which no run changes.

    The outputs of a convolution are its weights times patches, so all Gram matrices of its outputs
    are linear in the products of its weights; centring is linear as well, and done here once.

    Parameters
    ----------
    images
        (n, channels, height, width).
    layer
        A convolution of which :func:`~pvensemble.train.correlation.has_patches` is true.
    """

    def __init__(self, images: Tensor, layer: nn.Conv2d) -> None:
        self._n_batches, self._batch, _ = gram_shape(len(images))
        k = layer.weight[0].numel()
        self._places = torch.triu_indices(k, k)
        self._pairs = torch.triu_indices(self._batch, self._batch, 1)
        n_pairs = self._pairs.shape[1]
        # Where each entry of a matrix is found among the pairs; those of the diagonal behind them.
        self._entries = torch.full((self._batch, self._batch), n_pairs)
        for rows in (self._pairs, self._pairs.flip(0)):
            self._entries[tuple(rows)] = torch.arange(n_pairs)
        products = []
        self._moment: Tensor | float = 0.0
        for part in images.split(self._batch)[: self._n_batches]:
            patches = functional.unfold(
                part, layer.kernel_size, layer.dilation, layer.padding, layer.stride
            )
            rows = patches.movedim(1, 0).flatten(1).double()
            self._moment = self._moment + rows @ rows.T
            products.append(self._of_batch(patches - patches.mean(0)))
        self._products = torch.cat(products)

    @staticmethod
    def fits(n_images: int, layer: nn.Conv2d) -> bool:
        """Tell whether the products are few enough to keep."""
        n_batches, batch, _ = gram_shape(n_images)
        k = layer.weight[0].numel()
        return n_batches * batch * (batch - 1) // 2 * (k * (k + 1) // 2) <= PATCH_VALUES

    def _of_batch(self, patches: Tensor) -> Tensor:
        """Return (n_pairs, k (k + 1) / 2) float32, centred, of patches (b, k, n_positions)."""
        b, k, _ = patches.shape
        rows = patches.flatten(0, 1)
        products = (rows @ rows.T).view(b, k, b, k).transpose(1, 2)[tuple(self._pairs)]
        products = products + products.mT
        products.diagonal(dim1=1, dim2=2).mul_(0.5)
        products = products[:, self._places[0], self._places[1]]
        for some in products.split(256, dim=1):
            gram = some.new_zeros((some.shape[1], b, b), dtype=torch.float64)
            gram[:, self._pairs[0], self._pairs[1]] = some.T.double()
            some[:] = u_centred(gram + gram.mT)[:, self._pairs[0], self._pairs[1]].T
        return products

    def gram(self, weight: Tensor) -> Tensor:
        """Return the matrices of a run's outputs as :meth:`Grams.result` does.

        Parameters
        ----------
        weight
            (n_filters, channels, kernel height, kernel width).

        Returns
        -------
        Tensor
            (1, n_batches, b, b) float32.
        """
        rows = weight.flatten(1).double()
        squares = rows.T @ rows
        values = (self._products @ squares[tuple(self._places)].float()).double()
        energy = (squares * self._moment).sum()
        values = unit(values[None], 2**0.5 * torch.linalg.vector_norm(values)[None], energy[None])
        pairs = functional.pad(values.view(1, self._n_batches, -1), (0, 1))
        return pairs[..., self._entries]
