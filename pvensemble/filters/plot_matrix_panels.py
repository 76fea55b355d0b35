"""Panels of Filter Correlation: where they stand, and what is written around a matrix."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pvensemble import schema
from pvensemble.filters._options import at_step
from pvensemble.filters.plot_geometry import DARK, Z_GRID, Sketch
from pvensemble.filters.plot_matrix import (
    TREE_GAP,
    TREE_WIDTH,
    Square,
    draw_clusters,
    draw_column_labels,
    draw_dendrogram,
    draw_frame,
    draw_row_labels,
)
from pvensemble.filters.plot_panels import NO_RUN
from pvensemble.filters.plot_text import text_height, text_width
from pvensemble.numerics.ticks import number_labels
from pvensemble.vtkdata.runs import RunsData

SIDE = 9.0
_SHRINK = 0.75  # text of n rows of panels is n ** -_SHRINK as large
_LABELS = 3.0  # font sizes that column labels take below a matrix
_NOTES = 0.85  # of the font size
_LEAST = 0.6
_MAX_PARAMETERS = 4
_ID = 8  # characters of a run's id that tell it from others, as a rule


@dataclass(frozen=True)
class Caption:
    """What stands above a panel: a title in black, notes below it; parts of lists."""

    title: list[str]
    notes: list[str]

    def fitted(self, width: float, size: float) -> tuple[float, str, float, str]:
        """Return font size and lines of the title and of the notes for a width."""
        return (*joined(self.title, width, size), *joined(self.notes, width, _NOTES * size))

    def height(self, width: float, size: float) -> float:
        """Height with the room below it and between its parts."""
        large, title, small, notes = self.fitted(width, size)
        return text_height(title, large) + text_height(notes, small) + 1.2 * size

    def draw(self, sketch: Sketch, x: float, y: float, width: float, size: float) -> None:
        """Draw it above (x, y)."""
        large, title, small, notes = self.fitted(width, size)
        y += 0.6 * size
        sketch.text(notes, x, y, small, color=DARK)
        sketch.text(title, x, y + text_height(notes, small) + 0.55 * size, large)


@dataclass(frozen=True)
class Layout:
    """Places of the panels.

    Attributes
    ----------
    squares : list of Square
        The matrix of each panel.
    size : float
        Font size in plot units, of a panel's text.
    width : float
        Of a panel without its row labels.
    top : float
        Upper end of the highest caption.
    has_trees : bool
        Whether dendrograms are drawn.
    """

    squares: list[Square]
    size: float
    width: float
    top: float
    has_trees: bool


def place_panels(
    captions: Sequence[Caption],
    label_size: float,
    *,
    has_trees: bool = False,
    beside: float = 0.0,
    over: float = 0.0,
) -> Layout:
    """Place panels in a grid, row after row; one panel has the side ``SIDE``.

    Parameters
    ----------
    captions : sequence of Caption
        One a panel.
    label_size : float
        Font size in percent of ``SIDE``; several panels get smaller text.
    has_trees : bool
    beside, over : float
        Room for something else at the right of each square, and free room above it, of its side.
    """
    n_columns = max(math.ceil(math.sqrt(len(captions) / (1.0 + beside))), 1)
    n_rows = max(math.ceil(len(captions) / n_columns), 1)
    size = label_size / 100 * SIDE / n_rows**_SHRINK
    wide = 1.0 + (TREE_GAP + TREE_WIDTH) * has_trees + beside
    side, above = SIDE / n_rows, 0.0
    for _ in range(3):  # smaller panels have captions of more lines
        above = max((c.height(side * wide, size) for c in captions), default=0.0)
        free = SIDE - (n_rows - 1) * (above + over * side + (_LABELS + 0.8) * size)
        side = max(free / n_rows, 0.3 * SIDE / n_rows)
    above += over * side
    pitch = side + above + (_LABELS + 0.8) * size
    squares = []
    for k in range(len(captions)):
        row, column = divmod(k, n_columns)
        x = column * (side * wide + 4.0 * size)
        squares.append(Square(x, (n_rows - 1 - row) * pitch, side, 0))
    top = (n_rows - 1) * pitch + side + above
    return Layout(squares, float(size), side * wide, top, has_trees)


def draw_panel(sketch: Sketch, panel, square: Square, layout: Layout, threshold: float) -> None:
    """Draw frame, labels, outlines of clusters and dendrogram of a panel.

    Parameters
    ----------
    sketch : Sketch
    panel : filter_correlation.Panel
    square : Square
    layout : Layout
    threshold : float
    """
    size = layout.size
    draw_frame(sketch, square)
    if panel.block is None:
        sketch.box(square.x, square.y, square.right, square.top, NO_RUN, Z_GRID)
        middle = square.x + 0.5 * square.side, square.y + 0.5 * square.side
        sketch.text("not recorded", *middle, size, align="center", valign="middle", color=DARK)
        return
    labels, dead = [str(f) for f in panel.shown], panel.dead[panel.shown]
    left = draw_row_labels(sketch, square, labels, dead, size)
    below = draw_column_labels(sketch, square, labels, dead, size)
    if len(layout.squares) == 1:
        x, y = square.x + 0.5 * square.side, square.y + 0.5 * square.side
        at, small = square.y - below - 0.6 * size, _NOTES * size
        sketch.text("filter", x, at, small, align="center", valign="top")
        sketch.text("filter", square.x - left - 0.6 * size, y, small, align="center", angle=90.0)
    if panel.is_clustered:
        draw_clusters(sketch, square, panel.clusters())
    if layout.has_trees and panel.n_filters > 1:
        draw_dendrogram(sketch, square, panel.order, threshold, size)


def draw_heading(sketch: Sketch, layout: Layout, text: str) -> None:
    """Write above all panels what they have in common."""
    size = layout.size * 1.3
    sketch.text(text, 0.0, layout.top + 0.8 * size, size)


# -- text ------------------------------------------------------------------------------------------
def joined(parts: Sequence[str], width: float, size: float) -> tuple[float, str]:
    """Join parts by commas into lines that fit if they can; return font size and text.

    The size goes down to 0.6 of what is wished where a part alone is too wide.
    """
    widest = max((text_width(f"{part},", size) for part in parts), default=0.0)
    size = size * min(1.0, max(_LEAST, width / max(widest, 1e-9)))
    lines = [""]
    for part in parts:
        longer = f"{lines[-1]}, {part}" if lines[-1] else part
        if lines[-1] and text_width(longer + ",", size) > width:
            lines[-1] += ","
            lines.append(part)
        else:
            lines[-1] = longer
    return size, "\n".join(lines)


def run_title(runs: RunsData, cell: int, *, is_short: bool = False) -> list[str]:
    """Return a run's number and its hyper-parameters: those that vary, a few of many.

    A title that is not short names the run's id, too.
    """
    name = f"run {int(runs.run_index[cell])}"
    if schema.RUN_ID in runs.columns and not is_short:
        run_id = str(runs.columns[schema.RUN_ID][cell])
        name += f" ({run_id[:_ID]})" if run_id else ""
    known = [p for p in runs.hyper_parameters if p in runs.columns]
    varying = [p for p in known if len(np.unique(runs.columns[p])) > 1] or known
    varying = [p for p in varying if _is_there(runs.columns[p][cell])]
    n = 2 if is_short else _MAX_PARAMETERS
    parts = [f"{p} {_value(runs.columns[p][cell])}" for p in varying[:n]]
    if len(varying) > n:
        parts[-1] += ", …"
    if is_short:
        return [name, *parts]
    return [f"{name}: {parts[0]}", *parts[1:]] if parts else [name]


def _is_there(value) -> bool:
    """Tell whether a run has a hyper-parameter, which other runs have."""
    return bool(value == value and value != "")  # NaN is not equal to itself


def _value(value) -> str:
    """Return a hyper-parameter's value for people."""
    if isinstance(value, (str, np.str_)):
        return str(value)
    return number_labels([float(value)], digits=3)[0]


def summary(panel, threshold: float, width: int, *, is_short: bool = False) -> list[str]:
    """Return what a panel says in words: layer, step, pairs, clusters, dead filters.

    Parameters
    ----------
    panel : filter_correlation.Panel
    threshold : float
    width : int
        Filters that share a row.
    is_short : bool
        Leave out what stands above all panels.
    """
    if panel.block is None:
        return ["no tensors of this run"]
    sizes = np.bincount(panel.order.cluster)
    n, n_clusters = panel.n_filters, int((sizes > 1).sum())
    n_pairs, n_dead = panel.n_pairs_above(threshold), int(panel.dead.sum())
    clusters = f"{n_clusters} cluster{'s' * (n_clusters != 1)}"
    if is_short:
        parts = [f"{n_pairs:,} pair{'s' * (n_pairs != 1)}", clusters]
        parts[:0] = [of_filters(n, len(panel.matrix))] if n < len(panel.matrix) else []
    else:
        parts = [
            f"{at_step(panel.block.layer, panel.block.step)}, {of_filters(n, len(panel.matrix))}",
            f"{n_pairs:,} of {n * (n - 1) // 2:,} pairs with |r| > {threshold:.3g}",
            f"{clusters}, {int((sizes == 1).sum())} single",
        ]
    parts += [f"{n_dead} dead"] if n_dead else []
    parts += [f"means of {width} x {width}"] if width > 1 else []
    return parts


def of_filters(n: int, n_before: int) -> str:
    """Return how many filters there are, and how many there were before some were merged."""
    number = f"{n} of {n_before}" if n < n_before else f"{n}"
    return f"{number} filter{'s' * (n_before != 1)}"


def heading(panels, threshold: float, n_left_out: int) -> str:
    """Return what several panels have in common, and that there are more runs."""
    blocks = [panel.block for panel in panels if panel.block is not None]
    steps = sorted({block.step for block in blocks})
    layer = "".join({block.layer: None for block in blocks})
    text = f"{at_step(layer, *steps)}: pairs with |r| > {threshold:.3g}" if blocks else ""
    more = f"first {len(panels)} of {len(panels) + n_left_out} chosen runs" if n_left_out else ""
    return "; ".join(part for part in (text, more) if part)
