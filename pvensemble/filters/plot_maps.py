"""Feature maps in a grid: a row for each filter, a column for each image, images above.

Rows stand as high as those of a correlation matrix with as many filters, so that both can be
compared side by side; many filters may be broken into several columns.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from pvensemble.filters.plot_geometry import DARK, RED, Sketch
from pvensemble.filters.plot_matrix import OUTLINE, draw_box
from pvensemble.filters.plot_matrix_panels import SIDE
from pvensemble.filters.plot_text import text_width

_MARGIN = 0.06  # of a row: free on each side of a map
_LABEL = 0.9  # of a row: largest label
_GAP = 0.4  # of a row, between columns of filters beside the labels


@dataclass(frozen=True)
class MapGrid:
    """Places of the maps.

    Attributes
    ----------
    n_filters, n_images, n_columns : int
    size : float
        Font size in plot units.
    label : float
        Font size of the filters' numbers.
    """

    n_filters: int
    n_images: int
    n_columns: int
    size: float
    aspect: float

    @property
    def n_rows(self) -> int:
        return math.ceil(self.n_filters / self.n_columns)

    @property
    def row(self) -> float:
        """Height of a row."""
        return SIDE / max(self.n_rows, 1)

    @property
    def width(self) -> float:
        """Width of a map with its margin."""
        return self.row * self.aspect

    @property
    def label(self) -> float:
        """Font size of the filters' numbers."""
        return min(self.size, _LABEL * self.row)

    @property
    def pitch(self) -> float:
        """Distance of two columns of filters."""
        labels = text_width(str(max(self.n_filters - 1, 0)), self.label) + 0.9 * self.label
        return self.n_images * self.width + labels + _GAP * self.row

    @property
    def right(self) -> float:
        """Right end of the last column."""
        return (self.n_columns - 1) * self.pitch + self.n_images * self.width

    def boxes(self, position: np.ndarray, image: np.ndarray) -> np.ndarray:
        """Return (n, 4) x0, y0, x1, y1 of the maps of filters at positions."""
        column, row = np.divmod(position, max(self.n_rows, 1))
        x = column * self.pitch + image * self.width
        y = SIDE - (row + 1) * self.row
        margin = _MARGIN * self.row
        corners = [x + margin, y + margin, x + self.width - margin, y + self.row - margin]
        return np.stack(np.broadcast_arrays(*corners), axis=-1)

    def image_boxes(self, column: int) -> np.ndarray:
        """Return (n_images, 4) of the images above a column of filters."""
        x = column * self.pitch + np.arange(self.n_images) * self.width
        y = np.full(self.n_images, SIDE + 0.15 * self.row)
        side = np.stack([x, y, x + self.width, y + self.row], axis=-1)
        return side + _MARGIN * self.row * np.array([1, 1, -1, -1])


def place_maps(
    n_filters: int, n_images: int, n_columns: int, label_size: float, aspect: float = 1.0
) -> MapGrid:
    """Place the maps.

    Parameters
    ----------
    n_filters, n_images : int
    n_columns : int
        Columns of filters; 0 for about a square.
    label_size : float
        Font size in percent of the height.
    aspect : float
        Width of a map as a multiple of its height.
    """
    if n_columns == 0:
        wide = max(n_images * aspect + 1.2, 1e-9)
        n_columns = max(1, round(math.sqrt(n_filters / wide)))
    n_columns = min(max(n_columns, 1), max(n_filters, 1))
    return MapGrid(n_filters, n_images, n_columns, label_size / 100 * SIDE, aspect)


def pixel_grids(boxes: np.ndarray, h: int, w: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the pixels of pictures as quads; those of one picture share their corners.

    Parameters
    ----------
    boxes : (n, 4)
        x0, y0, x1, y1 of each picture.
    h, w : int
        Pixels of each picture.

    Returns
    -------
    points : (n * (h + 1) * (w + 1), 2)
    quads : (n * h * w, 4) int64
        Picture after picture, row after row from the top.
    """
    x = boxes[:, :1] + (boxes[:, 2:3] - boxes[:, :1]) * np.linspace(0, 1, w + 1)
    y = boxes[:, 3:4] - (boxes[:, 3:4] - boxes[:, 1:2]) * np.linspace(0, 1, h + 1)
    points = np.stack(np.broadcast_arrays(x[:, None, :], y[:, :, None]), axis=-1)
    first = np.arange(len(boxes))[:, None, None] * ((h + 1) * (w + 1))
    corner = first + np.arange(h)[:, None] * (w + 1) + np.arange(w)
    quads = corner.reshape(-1, 1) + np.array([w + 1, w + 2, 1, 0])
    return points.reshape(-1, 2), quads


def block_means(maps: np.ndarray, width: int) -> np.ndarray:
    """Return the means of blocks of ``width`` x ``width`` pixels of maps (..., h, w)."""
    if width == 1:
        return maps
    for axis in (-2, -1):
        starts = np.arange(0, maps.shape[axis], width)
        sizes = np.diff(np.append(starts, maps.shape[axis]))
        sizes = sizes[:, None] if axis == -2 else sizes
        maps = np.add.reduceat(maps, starts, axis=axis) / sizes
    return maps.astype(np.float32)


def draw_images(sketch: Sketch, grid: MapGrid, images: np.ndarray) -> None:
    """Draw the images above every column, in grey or, of three channels, in their colours.

    Parameters
    ----------
    sketch : Sketch
    grid : MapGrid
    images : (n_channels, n_images, h, w)
    """
    pixels = image_colors(images)
    n_images, h, w = pixels.shape[:3]
    for column in range(grid.n_columns):
        boxes = grid.image_boxes(column)[:n_images]
        points, quads = pixel_grids(boxes, h, w)
        sketch.polygons(points[quads], pixels.reshape(-1, 3))
        for box in boxes:
            draw_box(sketch, *box, DARK)


def image_colors(images: np.ndarray) -> np.ndarray:
    """Return images (n_channels, n_images, h, w) as (n_images, h, w, 3) uint8.

    The least value of all is black, the largest white.
    """
    values = images if len(images) in (1, 3) else images.mean(axis=0, keepdims=True)
    values = np.moveaxis(values, 0, -1).astype(np.float64)
    finite = values[np.isfinite(values)]
    low, high = (finite.min(), finite.max()) if finite.size else (0.0, 1.0)
    scaled = np.nan_to_num((values - low) / max(high - low, 1e-12), posinf=1.0, neginf=0.0)
    colors = np.round(255 * np.clip(scaled, 0, 1)).astype(np.uint8)
    return np.broadcast_to(colors, (*colors.shape[:3], 3))


def draw_labels(sketch: Sketch, grid: MapGrid, numbers: np.ndarray, dead: np.ndarray) -> None:
    """Number the filters at the left of their rows; dead ones are red.

    Parameters
    ----------
    sketch : Sketch
    grid : MapGrid
    numbers : (n_filters,) int
        Filter at each position.
    dead : (n_filters,) bool
        At each position.
    """
    boxes = grid.boxes(np.arange(grid.n_filters), 0)
    step = max(1, math.ceil(0.45 * grid.size / max(grid.label, 1e-9)))
    for position in range(0, grid.n_filters, step):
        x0, y0, _, y1 = boxes[position]
        color = RED if dead[position] else DARK
        x, y = x0 - 0.45 * grid.label, 0.5 * (y0 + y1)
        text = str(numbers[position])
        sketch.text(text, x, y, grid.label, align="right", valign="middle", color=color)


def draw_brackets(sketch: Sketch, grid: MapGrid, cluster: np.ndarray) -> None:
    """Draw a bar at the left of the rows of each cluster of two and more filters."""
    boxes = grid.boxes(np.arange(grid.n_filters), 0)
    starts = np.flatnonzero(np.diff(cluster, prepend=-1))
    for start, end in zip(starts, [*starts[1:], len(cluster)]):
        if end - start < 2:
            continue
        for first in sorted({start, *range(-(-start // grid.n_rows) * grid.n_rows, end)}):
            if first != start and first % grid.n_rows:
                continue
            last = min(end, (first // grid.n_rows + 1) * grid.n_rows) - 1
            x = boxes[first, 0] - 0.22 * grid.label
            width = 0.09 * grid.label
            sketch.box(x - width, boxes[last, 1], x + width, boxes[first, 3], OUTLINE)
