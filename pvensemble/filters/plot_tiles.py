"""Weights of a layer as cells in the plane: a block for each filter, in it a tile for each input.

Everything stands on a grid of unit cells, so that the same layout can be drawn as flat quads, as
boxes, or as an image. A convolution's tile is its kernel for one input channel; a fully connected
layer's tiles are single cells. Tiles and blocks are broken into rows so that they are about square:
the weights of a unit that sees an image of 28 x 28 stand as that image.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

_LABELLED = 100
"""Filters up to which there is room for a number below each block."""
_WASTE = 1.5
"""What an empty place costs against a shape that is not square."""


@dataclass(frozen=True)
class TileGrid:
    """Places of a layer's weights on a grid of unit cells, row 0 at the top.

    Attributes
    ----------
    n_filters, n_inputs, h, w : int
        Shape of the weights: filters, inputs of each, kernel.
    n_columns : int
        Blocks (filters) in a row.
    n_input_columns : int
        Tiles (inputs) in a row of a block.
    """

    n_filters: int
    n_inputs: int
    h: int
    w: int
    n_columns: int
    n_input_columns: int

    @property
    def tile_gap(self) -> int:
        """Cells between two tiles of a block."""
        return _tile_gap(self.h, self.w)

    @property
    def block(self) -> tuple[int, int]:
        """Height and width of a block."""
        return _extent(self.n_inputs, self.n_input_columns, self.h, self.w, self.tile_gap)

    @property
    def gaps(self) -> tuple[int, int]:
        """Cells between two rows of blocks, and between two blocks of a row."""
        return _block_gaps(self.n_filters, self.n_inputs, self.block, self.tile_gap)

    @property
    def is_labelled(self) -> bool:
        """Whether there is room for a number below each block."""
        return self.n_filters <= _LABELLED

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the whole, with the gap below the last row for its numbers."""
        height, width = _extent(self.n_filters, self.n_columns, *self.block, self.gaps)
        return height + self.gaps[0] * self.is_labelled, width

    def corners(self, position: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return row and column of the upper left cell of the blocks at positions."""
        row, column = np.divmod(position, self.n_columns)
        (h, w), (below, beside) = self.block, self.gaps
        return row * (h + below), column * (w + beside)

    def cells(self, position: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return row and column (n, n_inputs, h, w) of the weights of blocks at positions (n,)."""
        top, left = self.corners(np.asarray(position, np.int64))
        row, column = np.divmod(np.arange(self.n_inputs), self.n_input_columns)
        gap = self.tile_gap
        y = top[:, None] + row * (self.h + gap)
        x = left[:, None] + column * (self.w + gap)
        y = y[:, :, None, None] + np.arange(self.h)[:, None]
        x = x[:, :, None, None] + np.arange(self.w)
        return np.broadcast_arrays(y, x)


def tile_grid(n_filters: int, n_inputs: int, h: int, w: int) -> TileGrid:
    """Return a grid whose blocks, and itself, are about square."""
    gap = _tile_gap(h, w)
    inputs = _n_columns(n_inputs, h, w, gap)
    block = _extent(n_inputs, inputs, h, w, gap)
    filters = _n_columns(n_filters, *block, _block_gaps(n_filters, n_inputs, block, gap))
    return TileGrid(n_filters, n_inputs, h, w, filters, inputs)


def _tile_gap(h: int, w: int) -> int:
    return int(h * w > 1)


def _block_gaps(n_filters: int, n_inputs: int, block: tuple, tile_gap: int) -> tuple[int, int]:
    """Return the cells between rows of blocks and between blocks: more than between tiles."""
    beside = max(1 if n_inputs == 1 else 1 + 2 * tile_gap, round(0.08 * max(block)))
    below = max(beside, math.ceil(0.4 * block[0])) if n_filters <= _LABELLED else beside
    return min(below, max(beside, 2 + block[0] // 4)), beside


def _extent(n: int, n_columns: int, h: int, w: int, gap) -> tuple[int, int]:
    """Return height and width of n things of h x w in rows, with gaps between them."""
    below, beside = gap if isinstance(gap, tuple) else (gap, gap)
    n_rows = max(math.ceil(n / n_columns), 1)
    return n_rows * (h + below) - below, min(n, n_columns) * (w + beside) - beside


def _n_columns(n: int, h: int, w: int, gap) -> int:
    """Return how many of n things of h x w stand in a row, so that all are about a square."""
    below, beside = gap if isinstance(gap, tuple) else (gap, gap)
    columns = np.arange(1, max(n, 1) + 1)
    rows = -(-n // columns)
    ratio = np.log(columns * (w + beside) / (np.maximum(rows, 1) * (h + below)))
    empty = 1 - n / np.maximum(rows * columns, 1)
    cost = np.abs(ratio) + _WASTE * empty
    return int(columns[np.argmin(np.round(cost, 9))])
