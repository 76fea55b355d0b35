"""Weight images: the kernels of a layer as tiles, and how its weights are distributed over time.

Statistics and histograms are of all recorded steps. Each step is read once and reduced to some
numbers a run; another time, and as a rule another run, reads nothing.
"""

from __future__ import annotations

import numpy as np
from vtkmodules.vtkCommonExecutionModel import vtkStreamingDemandDrivenPipeline as _Pipeline

from pvensemble.filters._local_tensors import per_run
from pvensemble.filters._options import check_choice, one_of
from pvensemble.filters._tensors import Block
from pvensemble.filters._weights import (
    MAX_PANELS,
    WeightFilter,
    WeightPanel,
    largest_of_filters,
    layer_and_step,
    shape_note,
)
from pvensemble.filters.plot_boxes import (
    add_arrays,
    all_places,
    cell_arrays,
    draw_panels,
    tile_map,
    write_image,
    write_quads,
)
from pvensemble.filters.plot_geometry import Sketch
from pvensemble.filters.plot_histograms import (
    Scales,
    Series,
    Summary,
    common_scales,
    draw_histogram,
    panel_at,
    write_histograms,
    write_statistics,
)
from pvensemble.filters.plot_matrix_panels import Caption, Layout, draw_heading, place_panels
from pvensemble.numerics.weight_statistics import (
    BINS,
    STATISTICS,
    Histogram,
    common_limits,
    extents_of_statistics,
    histogram,
    statistics,
)
from pvensemble.vtkdata.runs import RunsData
from pvensemble.vtkdata.runs_output import copy_fields
from pvensemble.vtkdata.time import requested_time

PER_FILTER, COMMON = "per filter", "common"
RANGES = (PER_FILTER, COMMON)
MAX_QUADS = 512 * 512
"""More weights become an image."""
MAX_WEIGHTS = 4_000_000
"""Of all runs at a step: up to so many all runs are looked at when a step is read."""
_BESIDE = 1.3  # room for a histogram, of a panel's side
_LABELS = 6.5  # font sizes at the left of a histogram


class WeightImages(WeightFilter):
    """Runs, tensors -> tiles (cell i is a weight), axes, image, histograms, statistics."""

    keeps_steps = False  # an update tells the image's extent

    def __init__(self) -> None:
        types = "vtkPolyData", "vtkPolyData", "vtkImageData", "vtkPolyData", "vtkTable"
        super().__init__(n_outputs=5, output_type=types)
        self._range = COMMON
        self._show_histograms = True
        self._extent = (0, -1, 0, -1, 0, -1)

    def SetRange(self, ranges: int | str) -> None:
        """``per filter`` or ``common``, or its position in ``RANGES``."""
        self._set("range", one_of(RANGES, ranges))

    def SetShowHistograms(self, on: int) -> None:
        """Draw the histograms beside the tiles."""
        self._set("show_histograms", bool(on))

    def RequestInformation(self, request, inInfo, outInfo) -> int:
        outInfo.GetInformationObject(2).Set(_Pipeline.WHOLE_EXTENT(), self._extent, 6)
        return 1

    def RequestData(self, request, inInfo, outInfo) -> int:
        runs = self.runs_input(inInfo)
        self._check()
        outputs = [self.output(outInfo, port) for port in range(5)]
        copy_fields(runs.polydata, outputs[0])
        sketch, panels, all_series, now = Sketch(), [], [], requested_time(request, outInfo)
        n_left_out = 0
        if runs.n_runs:
            history = self._summaries(request, inInfo, outInfo, now, runs)
            runs = self.runs_input(inInfo)  # reading other steps may have changed what was there
            blocks = self.blocks_input(request, inInfo, outInfo, runs)
            panels, n_left_out = self.panels(runs, blocks)
            all_series = [Series(p.run_index, history.get(p.cell, [])) for p in panels]
        self.report(0.7, "Tiles")
        self._draw(sketch, outputs, panels, all_series, now, n_left_out)
        write_statistics(outputs[4], all_series)
        sketch.write(outputs[1])
        self._extent = outputs[2].GetExtent()
        outInfo.GetInformationObject(2).Set(_Pipeline.WHOLE_EXTENT(), self._extent, 6)
        return 1

    def _check(self) -> None:
        super()._check()
        check_choice("Range", self._range, RANGES)

    def _summaries(self, request, inInfo, outInfo, now, runs: RunsData) -> dict:
        """Return the summaries of recorded steps by cell, ascending by step."""
        run_index, layer, kind = runs.run_index.copy(), self._layer, self.kind

        def find(tensors):
            return tensors.blocks(layer, kind, run_index)

        blocks = find(self.tensors_input(request, inInfo, outInfo))
        wanted = {cell for cell, _, _ in self.chosen(runs, blocks)[:MAX_PANELS]}
        if sum(len(block.rows) * block.n_weights for block in blocks) <= MAX_WEIGHTS:
            wanted = set(range(len(run_index)))

        def reduce(some):
            return [pair for block in some for pair in summarized(block, wanted)]

        present = reduce(blocks)
        key = "statistics", layer, kind, run_index.tobytes(), frozenset(wanted)
        steps = self._history.update(self, key, now, find, reduce)
        found: dict[int, dict[int, Summary]] = {}
        for cell, summary in [*(pair for step in steps.values() for pair in step), *present]:
            found.setdefault(cell, {})[summary.step] = summary
        return {cell: [of[s] for s in sorted(of)] for cell, of in found.items()}

    def _draw(self, sketch: Sketch, outputs: list, panels, all_series, now, n_left_out) -> None:
        """Write tiles or an image, and histograms, with what stands around them."""
        tiles_output, _, image, histograms, _ = outputs
        shown = [s for series in all_series for s in series.summaries]
        known = extents_of_statistics(np.array([s.statistics for s in shown]))
        limit = common_limits(known)[1]
        is_short = len(panels) > 1
        captions = [
            Caption(panel.title, self._notes(panel, limit, is_short=is_short)) for panel in panels
        ]
        beside = _BESIDE * self._show_histograms
        layout = place_panels(captions, self._label_size, beside=beside)
        tiles = tile_map(panels, layout)
        divisors = [self._divisor(panel, limit) for panel in panels]
        arrays = cell_arrays(panels, self.kind, divisors)
        x, y = all_places(panels, tiles)
        if len(x) > MAX_QUADS:
            write_image(image, x, y, tiles.unit, arrays)
            arrays = cell_arrays([], self.kind, [])
        else:
            write_quads(tiles_output, x, y, tiles.unit)
        add_arrays(tiles_output, arrays)
        draw_panels(sketch, panels, captions, layout, tiles)
        scales = common_scales(all_series)
        drawn = list(zip(panels, all_series, layout.squares)) if self._show_histograms else []
        self._draw_histograms(sketch, histograms, drawn, layout, tiles.unit, scales, now)
        if is_short:
            draw_heading(sketch, layout, self._heading(panels, limit, n_left_out))

    def _draw_histograms(
        self, sketch, output, drawn: list, layout: Layout, unit: float, scales: Scales, now
    ) -> None:
        """Draw a histogram at the right of each panel's tiles."""
        size = 0.85 * layout.size
        corners, places = [], []
        for panel, _, square in drawn:
            left = unit * panel.grid.shape[1] if panel.block is not None else square.side
            left += _LABELS * size
            corners.append((square.x + left, square.y))
            width = max(layout.width - left - size, 0.3 * square.side)
            bottom = min(3.4 * size, 0.4 * square.side)
            top = square.side - min(1.6 * size, 0.2 * square.side)
            places.append(panel_at(scales, self.kind, width, bottom, top))
        all_series = [series for _, series, _ in drawn]
        write_histograms(output, all_series, places, corners, scales)
        for series, place, corner in zip(all_series, places, corners):
            draw_histogram(sketch, series, place, corner, now, size)

    def _divisor(self, panel: WeightPanel, limit: float) -> np.ndarray | np.float32:
        """Return what a panel's weights are divided by for their colours."""
        if self._range == COMMON:
            return np.float32(limit)
        return largest_of_filters(panel.values)

    def _notes(self, panel: WeightPanel, limit: float, *, is_short: bool) -> list[str]:
        """Return what stands below a panel's title: the shape and the statistics of the weights."""
        if panel.block is None:
            return [f"no {self.kind}s of this run"]
        now = dict(zip(STATISTICS, statistics(panel.values)))
        notes = [shape_note(panel)] if is_short else [layer_and_step([panel]), shape_note(panel)]
        if np.isfinite(now["mean"]):
            notes += [f"mean {now['mean']:.3g}", f"std {now['std']:.3g}"]
        if not is_short:
            notes += [f"{now['min']:.3g} to {now['max']:.3g}"] * bool(np.isfinite(now["min"]))
            notes += [self._range_note(limit)]
        notes += [f"{100 * now['zeros']:.3g} % zeros"] if now["zeros"] > 0 else []
        notes += [f"{int(now['not_finite']):,} not finite"] if now["not_finite"] else []
        return notes

    def _range_note(self, limit: float) -> str:
        note = f"full colour at ±{limit:.3g}" if self._range == COMMON else "colours per filter"
        return note + f", lines at 5, 50 and 95 % of the {self.kind}s" * self._show_histograms

    def _heading(self, panels: list[WeightPanel], limit: float, n_left_out: int) -> str:
        """Return what all panels have in common."""
        text = f"{layer_and_step(panels)}: {self.kind}s, {self._range_note(limit)}"
        more = f"; first {len(panels)} of {len(panels) + n_left_out} chosen runs"
        return text + more * (n_left_out > 0)


def summarized(block: Block, wanted: set[int]) -> list[tuple[int, Summary]]:
    """Return cell and summary of those runs of a block that are wanted."""
    is_wanted = np.isin(block.cells, list(wanted))
    found = block.volume.per_run(summaries, rows=block.rows[is_wanted])
    return [
        (cell, Summary(block.step, of_run, Histogram(int(exponent), counts)))
        for cell, of_run, exponent, counts in zip(block.cells[is_wanted].tolist(), *found)
    ]


@per_run
def summaries(stack: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return statistics, and exponent and counts of the histogram, of the weights of runs."""
    n = len(stack)
    found = np.empty((n, len(STATISTICS)))
    exponents, counts = np.empty(n, np.int64), np.empty((n, BINS), np.int64)
    for run, values in enumerate(stack.reshape(n, int(np.prod(stack.shape[1:])))):
        shown = histogram(values)
        found[run], exponents[run], counts[run] = statistics(values), shown.exponent, shown.counts
    return found, exponents, counts
