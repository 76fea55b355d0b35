"""One layer's tensors of all runs as a volume (run, y, x), and back.

The filters of a convolution are tiled: y counts (out, kernel row), x counts (in, kernel column), so
a slice of the volume shows one run's filters as a wall of small pictures.
"""

from __future__ import annotations

import math

import numpy as np

from pvensemble.errors import StoreError


def tiled_shape(shape: tuple) -> tuple[int, int]:
    """Return (y, x) of one run's tensor of shape ``shape``."""
    if len(shape) <= 1:
        return 1, math.prod(shape)
    out, inner, *kernel = shape
    return out * math.prod(kernel[:-1]), inner * math.prod(kernel[-1:])


def tile(tensors: np.ndarray) -> np.ndarray:
    """Return (n_runs, y, x) float32, C-contiguous.

    Parameters
    ----------
    tensors
        (n_runs, \\*shape): convolutions (n_runs, out, in, kh, kw) become (n_runs, out*kh, in*kw),
        matrices stay, vectors get y = 1.

    Raises
    ------
    StoreError
        There are no elements.
    """
    if tensors.ndim < 1 or tensors.size == 0:
        raise StoreError(f"a tensor of shape {tensors.shape} has no elements; expected (n_runs, …)")
    n_runs, *shape = tensors.shape
    if len(shape) > 2:  # (run, out, in, …, kx) -> (run, out, …, in, kx)
        tensors = np.moveaxis(tensors, 2, -2)
    return np.ascontiguousarray(
        tensors.reshape(n_runs, *tiled_shape(tuple(shape))), dtype=np.float32
    )


def untile(stack: np.ndarray, shape: tuple) -> np.ndarray:
    """Return (n_runs, \\*shape) from (n_runs, y, x): the inverse of `tile`."""
    shape = tuple(shape)
    if len(shape) <= 2:
        return stack.reshape(len(stack), *shape)
    out, inner, *kernel = shape
    return np.moveaxis(stack.reshape(len(stack), out, *kernel[:-1], inner, kernel[-1]), -2, 2)
