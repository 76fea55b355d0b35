"""Planes in the space of a network's parameters: their origin, axes, and what lies in them.

A network is one vector: all parameters and buffers in the order of torch's ``state_dict``. Lengths,
angles and projections are taken over the trained parameters alone; buffers (the running means and
variances of batch norm) go along, so that a network in the plane has its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import nn

from pvensemble.numerics.planes import Plane, project

_BLOCK = 1 << 16


class NetworkLayout:
    """Where the parameters and buffers of a network are in its vector.

    Attributes
    ----------
    places : dict
        Name to (slice, shape), in order.
    trained : list of str
        Names of the parameters.
    """

    def __init__(self, model: nn.Module, shapes: Mapping[str, Sequence[int]]) -> None:
        self.places: dict[str, tuple[slice, tuple[int, ...]]] = {}
        end = 0
        for name, shape in shapes.items():
            size = int(np.prod(shape, dtype=np.int64))
            self.places[name] = slice(end, end + size), tuple(shape)
            end += size
        self.size = end
        state = model.state_dict()
        parameters = {name for name, _ in model.named_parameters()}
        self.trained = [name for name in self.places if name in parameters]
        fixed = [name for name in self.places if not state[name].is_floating_point()]
        self.is_trained = self._mask(self.trained)
        self.moves = ~self._mask(fixed)

    def _mask(self, names: Sequence[str]) -> np.ndarray:
        mask = np.zeros(self.size, bool)
        for name in names:
            mask[self.places[name][0]] = True
        return mask


@dataclass(frozen=True)
class SurfacePlane:
    """A plane of networks.

    Attributes
    ----------
    origin : numpy.ndarray
        (n_values,) float32, the network at (0, 0).
    axes : numpy.ndarray
        (2, n_values) float32: the network at (x, y) is ``origin + x * axes[0] + y * axes[1]``.
    explained : numpy.ndarray
        (2,) shares of the trajectory's variance; NaN where the axes are not made of one.
    """

    origin: np.ndarray
    axes: np.ndarray
    explained: np.ndarray

    def places(self, networks: np.ndarray, layout: NetworkLayout) -> tuple[np.ndarray, np.ndarray]:
        """Project networks (n, n_values); return coordinates (n, 2) and distances (n,)."""
        if not len(networks):
            return np.empty((0, 2)), np.empty(0)
        differences = networks - self.origin
        products = inner_products(np.concatenate([self.axes, differences]), layout)
        return project(products[:2, :2], products[:2, 2:], products.diagonal()[2:])


def inner_products(vectors: np.ndarray, layout: NetworkLayout) -> np.ndarray:
    """Return the inner products (n, n) float64 of vectors over the trained parameters."""
    products = np.zeros((len(vectors),) * 2)
    for start in range(0, layout.size, _BLOCK):
        part = slice(start, start + _BLOCK)
        block = vectors[:, part][:, layout.is_trained[part]].astype(np.float64)
        products += block @ block.T
    return products


def spanned(
    origin: np.ndarray, differences: np.ndarray, plane: Plane, layout: NetworkLayout
) -> SurfacePlane:
    """Return the plane whose axes are combinations of differences (n, n_values) from the origin."""
    axes = np.zeros((2, layout.size), np.float32)
    for start in range(0, layout.size, _BLOCK):
        part = slice(start, start + _BLOCK)
        axes[:, part] = plane.coefficients @ differences[:, part]
    axes[:, ~layout.moves] = 0
    return SurfacePlane(origin, axes, plane.explained)


def random_plane(
    origin: np.ndarray, layout: NetworkLayout, seed: int, *, biases: bool = False
) -> SurfacePlane:
    """Return a plane of two random directions, normalized filter by filter.

    Parameters
    ----------
    origin
        (n_values,) float32.
    seed
        Of numpy's Philox generator. All values of the first direction are drawn, then all of the
        second, whether they are used or not.
    biases
        Whether biases and the parameters of batch norm move as well, each of them normalized as a
        whole; else they stay.

    Notes
    -----
    A direction is Gaussian. Of a parameter with two axes or more, each slice of the first axis (a
    filter of a convolution, a unit of a linear layer) is scaled to the norm of that slice of the
    origin, so that a distance means the same in networks whose rectified layers are scaled up and
    down against each other. A filter that is 0 stays 0.

    References
    ----------
    H. Li, Z. Xu, G. Taylor, C. Studer, T. Goldstein: Visualizing the Loss Landscape of Neural
    Nets, NeurIPS 2018, section 4.
    """
    generator = np.random.Generator(np.random.Philox(seed))
    axes = np.zeros((2, layout.size), np.float32)
    for axis in axes:
        drawn = generator.standard_normal(layout.size)
        for name in layout.trained:
            place, shape = layout.places[name]
            if len(shape) >= 2 or biases:
                rows = shape[0] if len(shape) >= 2 else 1
                axis[place] = _normalized(drawn[place], origin[place], rows)
    return SurfacePlane(origin, axes, np.full(2, np.nan))


def _normalized(direction: np.ndarray, values: np.ndarray, rows: int) -> np.ndarray:
    """Give each row of a direction the norm of the same row of the values."""
    direction, values = direction.reshape(rows, -1), values.reshape(rows, -1).astype(np.float64)
    norms = np.linalg.norm(values, axis=1) / np.linalg.norm(direction, axis=1)
    return (direction * norms[:, None]).ravel()
