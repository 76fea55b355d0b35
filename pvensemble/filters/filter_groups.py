"""Filter groups: the filters of a layer as small images, similar ones in one colour, while some are
merged during the training.

A colour belongs to the filter that stands for others in the end: read from the last recorded step,
it is the same at every step. In a run that merges nothing, groups are those that a merge at a
threshold would make of it, so that what could be merged can be seen before.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from pvensemble import schema
from pvensemble.errors import OptionError
from pvensemble.filters._tensors import Block, Tensors
from pvensemble.filters._weights import (
    MAX_PANELS,
    WeightFilter,
    WeightPanel,
    largest_of_filters,
    layer_and_step,
)
from pvensemble.filters.plot_boxes import (
    add_arrays,
    all_places,
    cell_arrays,
    draw_panels,
    tile_map,
    write_quads,
)
from pvensemble.filters.plot_geometry import COLOR, Sketch
from pvensemble.filters.plot_matrix import draw_box
from pvensemble.filters.plot_matrix_panels import Caption, draw_heading, place_panels
from pvensemble.filters.plot_tiles import tile_grid
from pvensemble.filters.weight_images import MAX_QUADS
from pvensemble.numerics.group_colors import faded, group_colors, kernel_colors
from pvensemble.numerics.merging import all_standing, existing, similar_filters
from pvensemble.vtkdata.arrays import to_vtk
from pvensemble.vtkdata.runs import RunsData
from pvensemble.vtkdata.runs_output import copy_fields
from pvensemble.vtkdata.time import requested_time

STANDS_FOR, MERGED = "stands_for", "merged"
KINDS = (schema.FILTER_GROUP, schema.CORRELATION)
_FRAME = 0.15  # of a unit cell: distance of a frame from its block
_OVER = 0.02  # free above a panel, of its side


@dataclass(frozen=True)
class Grouping:
    """The filters of one run.

    Attributes
    ----------
    panel : WeightPanel
        With the filters that are shown.
    standing : numpy.ndarray
        (n_filters,) int64 filter that stands for each at the time.
    group : numpy.ndarray
        (n_filters,) int64 filter that stands for each in the end, or would.
    is_merged, is_predicted : bool
        Whether groups are of filters that are merged in the end, or were found in correlations.
    """

    panel: WeightPanel
    standing: np.ndarray
    group: np.ndarray
    is_merged: bool
    is_predicted: bool

    @property
    def is_there(self) -> np.ndarray:
        """(n_filters,) bool."""
        return existing(self.standing)

    @property
    def stands_for(self) -> np.ndarray:
        """(n_filters,) number of filters that each stands for; 0 when it was merged away."""
        return np.bincount(self.standing, minlength=len(self.standing))


class FilterGroups(WeightFilter):
    """Runs, tensors -> tiles (cell i is a weight) in the colours of groups, axes."""

    def __init__(self) -> None:
        super().__init__(n_outputs=2)
        self._threshold = 0.9
        self._keep_places = False

    def SetThreshold(self, threshold: float) -> None:
        """Correlation from which on filters of a run that merges nothing are a group."""
        self._set("threshold", float(threshold))

    def SetKeepPlaces(self, on: int) -> None:
        """Keep the places of filters that were merged away, faded."""
        self._set("keep_places", bool(on))

    def RequestData(self, request, inInfo, outInfo) -> int:
        runs = self.runs_input(inInfo)
        self._check()
        output, sketch = self.output(outInfo, 0), Sketch()
        copy_fields(runs.polydata, output)
        groupings, n_left_out = [], 0
        if runs.n_runs:
            last = self._last(request, inInfo, outInfo, requested_time(request, outInfo), runs)
            runs = self.runs_input(inInfo)  # reading another step may have changed what was there
            tensors = self.tensors_input(request, inInfo, outInfo)
            blocks = tensors.blocks(self._layer, self.kind, runs.run_index)
            panels, n_left_out = self.panels(runs, blocks)
            cells = {panel.cell for panel in panels}
            now = arrays_of(self._of_groups(tensors, runs.run_index), cells)
            groupings = [self._grouping(runs, panel, now, last or now) for panel in panels]
        self.report(0.7, "Tiles")
        self._draw(sketch, output, runs, groupings, n_left_out)
        sketch.write(self.output(outInfo, 1))
        return 1

    def _check(self) -> None:
        super()._check()
        if not 0 < self._threshold <= 1:
            raise OptionError(
                f"Threshold must lie above 0 and at most at 1 (of r), got {self._threshold:g}"
            )

    # -- groups --------------------------------------------------------------------------------
    def _of_groups(self, tensors: Tensors, run_index: np.ndarray) -> list[Block]:
        """Return the blocks that say or tell something of groups, as far as they are there."""
        layer = tensors.layer(self._layer, self.kind)
        there = [kind for kind in KINDS if layer in tensors.layers(kind)]
        return [b for kind in there for b in tensors.blocks(layer, kind, run_index)]

    def _last(self, request, inInfo, outInfo, now, runs: RunsData) -> dict:
        """Return what tells of groups at the last recorded step, by kind and cell of shown runs."""
        run_index = runs.run_index.copy()
        tensors = self.tensors_input(request, inInfo, outInfo)
        chosen = self.chosen(runs, tensors.blocks(self._layer, self.kind, run_index))
        cells = {cell for cell, _, _ in chosen[:MAX_PANELS]}
        steps = self._history.update(
            self,
            ("last", self._layer, run_index.tobytes(), frozenset(cells)),
            now,
            lambda some: self._of_groups(some, run_index),
            lambda blocks: {k: v.copy() for k, v in arrays_of(blocks, cells).items()},
            lambda every: every[-1:],
        )
        return next(iter(steps.values()), {})

    def _grouping(self, runs: RunsData, panel: WeightPanel, now: dict, last: dict) -> Grouping:
        """Return the groups of a run's filters."""
        n_filters = len(panel.values)
        standing = _standing(now.get((schema.FILTER_GROUP, panel.cell)), n_filters)
        group = _standing(last.get((schema.FILTER_GROUP, panel.cell)), n_filters)
        if _failed(runs, panel.cell):  # its tensors are 0, as if the first stood for all
            standing, group = all_standing(n_filters), all_standing(n_filters)
        is_merged = not existing(group).all()
        correlation = last.get((schema.CORRELATION, panel.cell))
        is_predicted = not is_merged and correlation is not None and n_filters > 0
        if is_predicted:
            for members in similar_filters(correlation, self._threshold):
                group[members] = members[0]
        shown = np.arange(n_filters) if self._keep_places else np.flatnonzero(existing(standing))
        panel = replace(_small(panel), shown=shown)
        return Grouping(panel, standing, group, is_merged, is_predicted)

    # -- drawing -------------------------------------------------------------------------------
    def _draw(self, sketch, output, runs: RunsData, groupings: list[Grouping], n_left_out) -> None:
        """Write the tiles, and what stands around them."""
        panels, is_short = [g.panel for g in groupings], len(groupings) > 1
        captions = [
            Caption(g.panel.title, self._notes(runs, g, is_short=is_short)) for g in groupings
        ]
        layout = place_panels(captions, self._label_size, over=_OVER)
        tiles = tile_map(panels, layout)
        x, y = all_places(panels, tiles)
        write_quads(output, x, y, tiles.unit)
        arrays = cell_arrays(panels, self.kind, [largest_of_filters(p.values) for p in panels])
        add_arrays(output, {**arrays, **group_arrays(groupings)})
        colors = [tile_colors(g) for g in groupings] or [np.empty((0, 3), np.uint8)]
        output.GetCellData().AddArray(to_vtk(np.concatenate(colors), COLOR))
        output.GetCellData().SetActiveScalars(COLOR)
        shown = [labels(g) for g in groupings]
        draw_panels(
            sketch, panels, captions, layout, tiles, over=_OVER, labels=shown, drop=2 * _FRAME
        )
        for k, grouping in enumerate(groupings):
            draw_frames(sketch, grouping, tiles.corners[k], tiles.unit)
        if is_short:
            draw_heading(sketch, layout, self._heading(panels, n_left_out))

    def _notes(self, runs: RunsData, grouping: Grouping, *, is_short: bool) -> list[str]:
        """Return what stands below a panel's title: how many filters are left, the accuracy."""
        if grouping.panel.block is None:
            return [f"no {self.kind}s of this run"]
        n, n_there = len(grouping.standing), int(grouping.is_there.sum())
        notes = [] if is_short else [layer_and_step([grouping.panel])]
        filters = f"filter{'s' * (n != 1)}"
        notes.append(f"{n_there} of {n} {filters}" if grouping.is_merged else f"{n} {filters}")
        notes += accuracy_note(runs, grouping.panel.cell, is_short=is_short)
        n_groups = int((np.bincount(grouping.group) > 1).sum())
        groups = f"{n_groups} group{'s' * (n_groups != 1)}"
        if grouping.is_merged:
            notes.append(f"{groups} in the end")
        elif grouping.is_predicted:
            notes.append(f"nothing merged, {groups} with r >= {self._threshold:g}")
        else:
            notes.append("nothing merged, no correlations for groups")
        if grouping.panel.n_broken:
            notes.append(f"{grouping.panel.n_broken:,} not finite")
        return notes

    def _heading(self, panels: list[WeightPanel], n_left_out: int) -> str:
        """Return what all panels have in common."""
        more = f"; first {len(panels)} of {len(panels) + n_left_out} chosen runs"
        return f"{layer_and_step(panels)}: one colour a group" + more * (n_left_out > 0)


def accuracy_note(runs: RunsData, cell: int, *, is_short: bool) -> list[str]:
    """Return the run's accuracy at the time as a list of one text, of none where it is unknown."""
    metric = runs.accuracy_metric
    if not metric or metric not in runs.columns or not np.isfinite(runs.columns[metric][cell]):
        return []
    value = float(runs.columns[metric][cell])
    name = "accuracy" if is_short else metric.replace("_", " ")
    return [f"{name} {100 * value:.2f} %" if value <= 1 else f"{name} {value:.4g}"]


def arrays_of(blocks: list[Block], cells: set[int]) -> dict[tuple[str, int], np.ndarray]:
    """Return the slices (y, x) of some runs by kind and cell."""
    return {
        (block.kind, cell): block.slice(row)
        for block in blocks
        for cell, row in zip(block.cells.tolist(), block.rows.tolist())
        if cell in cells
    }


def _standing(recorded: np.ndarray | None, n_filters: int) -> np.ndarray:
    """Return which filter stands for which, (n_filters,) int64; each for itself if not recorded."""
    if recorded is None or recorded.size != n_filters:
        return all_standing(n_filters)
    numbers = np.nan_to_num(recorded.ravel(), nan=-1).astype(np.int64)
    return np.where((numbers >= 0) & (numbers < n_filters), numbers, all_standing(n_filters))


def _failed(runs: RunsData, cell: int) -> bool:
    return schema.STATE in runs.columns and runs.columns[schema.STATE][cell] == schema.FAILED


def _small(panel: WeightPanel) -> WeightPanel:
    """Return a panel that is not too large to draw: kernels as root mean squares over inputs."""
    if panel.values.size <= MAX_QUADS:
        return panel
    values = np.sqrt(np.mean(panel.values.astype(np.float64) ** 2, axis=1, keepdims=True))
    return replace(panel, values=values.astype(np.float32), grid=tile_grid(*values.shape))


def group_arrays(groupings: list[Grouping]) -> dict[str, np.ndarray]:
    """Return the arrays of groups for the weights of all panels."""
    parts: dict[str, list[np.ndarray]] = {schema.FILTER_GROUP: [], STANDS_FOR: [], MERGED: []}
    for grouping in groupings:
        shown, n_weights = grouping.panel.shown, int(np.prod(grouping.panel.values.shape[1:]))
        of_each = {
            schema.FILTER_GROUP: grouping.group,
            STANDS_FOR: grouping.stands_for,
            MERGED: ~grouping.is_there,
        }
        for name, values in of_each.items():
            parts[name].append(np.repeat(values[shown].astype(np.int32), n_weights))
    return {name: np.concatenate([*p, np.empty(0, np.int32)]) for name, p in parts.items()}


def tile_colors(grouping: Grouping) -> np.ndarray:
    """Return the colour of each weight of a panel, (n, 3) uint8."""
    shown = grouping.panel.shown
    of_filter = group_colors(grouping.group)[shown]
    colors = kernel_colors(grouping.panel.values[shown], of_filter)
    gone = ~grouping.is_there[shown]
    colors[gone] = faded(of_filter[gone])[:, None, None, None]
    return colors.reshape(-1, 3)


def labels(grouping: Grouping) -> list[str]:
    """Return what stands below each shown filter: its number, and how many it stands for."""
    count = grouping.stands_for
    return [f"{f} ×{count[f]}" if count[f] > 1 else str(f) for f in grouping.panel.shown.tolist()]


def draw_frames(sketch: Sketch, grouping: Grouping, corner: tuple, unit: float) -> None:
    """Draw a frame in the colour of the group around each filter that is in one and there."""
    panel, colors = grouping.panel, group_colors(grouping.group)
    (height, width), sizes = panel.grid.block, np.bincount(grouping.group, minlength=1)
    rows, columns = panel.grid.corners(np.arange(len(panel.shown)))
    for f, row, column in zip(panel.shown.tolist(), rows.tolist(), columns.tolist()):
        if sizes[grouping.group[f]] > 1 and grouping.is_there[f]:
            x0, y1 = corner[0] + unit * (column - _FRAME), corner[1] - unit * (row - _FRAME)
            x1, y0 = x0 + unit * (width + 2 * _FRAME), y1 - unit * (height + 2 * _FRAME)
            draw_box(sketch, x0, y0, x1, y1, tuple(colors[f].tolist()))
