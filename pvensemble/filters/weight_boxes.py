"""Weight boxes: every weight of a layer a box whose height and colour are its value.

Boxes stand on the plane z = 0, positive ones up and negative ones down; all that is written lies on
that plane. More weights than a computer without a graphics card can turn smoothly as boxes become
an image of the same layout.
"""

from __future__ import annotations

import numpy as np
from vtkmodules.vtkCommonDataModel import vtkImageData, vtkPolyData
from vtkmodules.vtkCommonExecutionModel import vtkStreamingDemandDrivenPipeline as _Pipeline

from pvensemble.errors import OptionError
from pvensemble.filters._options import check_choice, one_of
from pvensemble.filters._weights import (
    WeightFilter,
    WeightPanel,
    difference,
    layer_and_step,
    limits_of,
    shape_note,
)
from pvensemble.filters.plot_boxes import (
    add_arrays,
    all_places,
    cell_arrays,
    draw_height_axis,
    draw_panels,
    tile_map,
    write_boxes,
    write_image,
)
from pvensemble.filters.plot_geometry import Sketch
from pvensemble.filters.plot_matrix_panels import Caption, draw_heading, place_panels
from pvensemble.numerics.weight_statistics import extents
from pvensemble.vtkdata.arrays import add_field
from pvensemble.vtkdata.runs import RunsData
from pvensemble.vtkdata.runs_output import copy_fields
from pvensemble.vtkdata.time import requested_time

AUTOMATIC, BOXES, IMAGE = "automatic", "boxes", "image"
DETAILS = (AUTOMATIC, BOXES, IMAGE)
MAX_BOXES = 60_000
"""Boxes that two cores draw five times a second in software (docs/benchmarks.md)."""
COLOR_LIMIT, HEIGHT_LIMIT, HEIGHT_SCALE = "color_limit", "height_limit", "height_scale"
"""Field data: the value that ``normalized`` counts in, the largest height, plot units per value."""
_HEIGHT, _MAX_CELLS = 0.16, 6.0  # largest height: of a panel's side, and in unit cells
_OVER = 0.14  # free above a panel, of its side: what the highest boxes hide from a tilted camera
_OVER_IMAGE = 0.06
_BEYOND = 1.25  # heights are cut at so many times the limit


class WeightBoxes(WeightFilter):
    """Runs, tensors -> boxes (cell i is a weight), axes, image."""

    keeps_steps = False  # an update tells the image's extent

    def __init__(self) -> None:
        super().__init__(n_outputs=3, output_type=("vtkPolyData", "vtkPolyData", "vtkImageData"))
        self._difference = False
        self._height_scale = 0.0
        self._detail = AUTOMATIC
        self._extent = (0, -1, 0, -1, 0, -1)

    def SetDifference(self, on: int) -> None:
        """Show the first chosen run minus the second."""
        self._set("difference", bool(on))

    def SetHeightScale(self, scale: float) -> None:
        """Plot units for a weight of 1; 0 fits the largest of all recorded steps."""
        self._set("height_scale", float(scale))

    def SetDetail(self, detail: int | str) -> None:
        """``automatic``, ``boxes`` or ``image``, or its position in ``DETAILS``."""
        self._set("detail", one_of(DETAILS, detail))

    def RequestInformation(self, request, inInfo, outInfo) -> int:
        outInfo.GetInformationObject(2).Set(_Pipeline.WHOLE_EXTENT(), self._extent, 6)
        return 1

    def RequestData(self, request, inInfo, outInfo) -> int:
        runs = self.runs_input(inInfo)
        self._check()
        sketch = Sketch()
        boxes, image = self.output(outInfo, 0), self.output(outInfo, 2)
        copy_fields(runs.polydata, boxes)
        if runs.n_runs:
            now = requested_time(request, outInfo)
            known = self._all_extents(request, inInfo, outInfo, now, runs)
            runs = self.runs_input(inInfo)  # reading other steps may have changed what was there
            blocks = self.blocks_input(request, inInfo, outInfo, runs)
            panels, n_left_out = self._panels(runs, blocks)
            limits = limits_of(known, [0] if self._difference else [p.cell for p in panels])
            self._draw(sketch, boxes, image, panels, n_left_out, limits)
        else:
            add_arrays(boxes, cell_arrays([], self.kind, []))
        sketch.write(self.output(outInfo, 1))
        self._extent = image.GetExtent()
        outInfo.GetInformationObject(2).Set(_Pipeline.WHOLE_EXTENT(), self._extent, 6)
        return 1

    def _check(self) -> None:
        super()._check()
        check_choice("Detail", self._detail, DETAILS)
        if not (np.isfinite(self._height_scale) and self._height_scale >= 0):
            raise OptionError(
                f"Height Scale must be 0 (automatic) or positive, got {self._height_scale:g}"
            )

    def _panels(self, runs: RunsData, blocks: list) -> tuple[list[WeightPanel], int]:
        if not self._difference:
            return self.panels(runs, blocks)
        chosen = self.chosen(runs, blocks)
        return [difference(runs, chosen, self._runs)], 0

    def _all_extents(self, request, inInfo, outInfo, now, runs: RunsData) -> np.ndarray:
        """Return extents (n_steps, n, 2) over all steps: of each run, or of the difference."""
        if not self._difference:
            return self.all_extents(request, inInfo, outInfo, now, runs)
        cells = runs.run_index.copy()
        layer, kind = self._layer, self.kind

        def find(tensors):
            return tensors.blocks(layer, kind, cells)

        def reduce(blocks):
            return extents(difference(runs, self.chosen(runs, blocks), self._runs).values[None])

        present = reduce(find(self.tensors_input(request, inInfo, outInfo)))
        key = "difference", layer, kind, cells.tobytes(), self._runs
        steps = self._history.update(self, key, now, find, reduce)
        return np.stack([present, *steps.values()])

    def _draw(
        self,
        sketch: Sketch,
        boxes: vtkPolyData,
        image: vtkImageData,
        panels: list[WeightPanel],
        n_left_out: int,
        limits: tuple[float, float],
    ) -> None:
        """Write boxes or image, and what stands around them."""
        height_limit, color_limit = limits
        is_image = self._is_image(sum(panel.values.size for panel in panels))
        is_short = len(panels) > 1
        captions = [
            Caption(panel.title, self._notes(panel, limits, is_short, is_image)) for panel in panels
        ]
        over = _OVER_IMAGE if is_image else _OVER
        layout = place_panels(captions, self._label_size, over=over)
        tiles = tile_map(panels, layout)
        side = layout.squares[0].side
        automatic = min(_HEIGHT * side, _MAX_CELLS * tiles.unit) / height_limit
        scale = self._height_scale or automatic
        self.report(0.5, "Boxes")
        arrays = cell_arrays(panels, self.kind, [np.float32(color_limit)] * len(panels))
        x, y = all_places(panels, tiles)
        if is_image:
            write_image(image, x, y, tiles.unit, arrays)
            add_arrays(boxes, cell_arrays([], self.kind, []))
        else:
            end = _BEYOND * height_limit if not self._height_scale else np.inf
            write_boxes(boxes, x, y, scale * np.clip(arrays[self.kind], -end, end), tiles.unit)
            add_arrays(boxes, arrays)
        for name, value in zip((COLOR_LIMIT, HEIGHT_LIMIT, HEIGHT_SCALE), (*limits[::-1], scale)):
            for output in (boxes, image):
                add_field(output.GetFieldData(), name, np.array([value]))
        self.report(0.8, "Axes")
        draw_panels(sketch, panels, captions, layout, tiles, over=over)
        if not is_image:
            height = scale * height_limit
            corner = -0.5 * layout.size, layout.squares[0].top
            draw_height_axis(sketch, corner, height_limit, height, layout.size)
        if is_short:
            draw_heading(sketch, layout, self._heading(panels, color_limit, n_left_out))

    def _is_image(self, n_weights: int) -> bool:
        if self._detail == AUTOMATIC:
            return n_weights > MAX_BOXES
        return self._detail == IMAGE

    def _notes(self, panel: WeightPanel, limits, is_short: bool, is_image: bool) -> list[str]:
        """Return what stands below a panel's title."""
        if panel.block is None:
            return [f"no {self.kind}s of this run"]
        notes = [shape_note(panel)] if is_short else [layer_and_step([panel]), shape_note(panel)]
        if not is_short:
            notes.append(f"{self.kind}s, full colour at ±{limits[1]:.3g}")
        if panel.n_broken:
            notes.append(f"{panel.n_broken:,} not finite")
        n_cut = int((np.abs(panel.values) > _BEYOND * limits[0]).sum())
        if n_cut and not is_image and not self._height_scale:
            notes.append(f"{n_cut:,} beyond the scale")
        return notes

    def _heading(self, panels: list[WeightPanel], color_limit: float, n_left_out: int) -> str:
        """Return what all panels have in common."""
        text = f"{layer_and_step(panels)}: {self.kind}s, full colour at ±{color_limit:.3g}"
        more = f"; first {len(panels)} of {len(panels) + n_left_out} chosen runs"
        return text + more * (n_left_out > 0)
