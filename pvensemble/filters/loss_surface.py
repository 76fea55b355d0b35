"""Loss Surface: the loss over a plane of networks as a relief, and the runs' ways upon it.

Surfaces are computed by ``pvensemble surface`` and stored beside the groups; this filter finds the
file through the reader upstream. What depends on the time is the mark of the present step alone.
"""

from __future__ import annotations

import contextlib

import numpy as np
from vtkmodules.vtkCommonDataModel import vtkPolyData

from pvensemble.errors import MissingArrayError, OptionError, PVEnsembleError
from pvensemble.filters._base import upstream
from pvensemble.filters._news import first_finds
from pvensemble.filters._options import Labels
from pvensemble.filters.plot_space import SpaceSketch
from pvensemble.filters.plot_surface import (
    HEIGHT,
    SIDE,
    Relief,
    draw_frame,
    draw_heading,
    draw_present,
    draw_runs,
    write_contours,
    write_paths,
    write_relief,
)
from pvensemble.store import LossSurface as StoredSurface
from pvensemble.store.surfaces import read_surface, surface_names, surfaces_directory
from pvensemble.vtkdata.runs import RunsData
from pvensemble.vtkdata.time import requested_time


class LossSurface(Labels):
    """Runs -> surface, trajectories (cell i is run i), frame and labels, contour lines."""

    keeps_steps = False  # files may change

    def __init__(self) -> None:
        super().__init__(n_outputs=4)
        self._surface = ""
        self._log_scale = True
        self._clip = 0.0
        self._height_scale = 1.0
        self._show_contours = True
        self._show_step = True
        self._label_size = 3.0
        self._seen: float | None = None

    def SetSurface(self, name: str) -> None:
        """Name of the surface; empty for the newest."""
        self._set("surface", name or "")

    def SetLogScale(self, log: bool) -> None:
        """Show the logarithm of the loss."""
        self._set("log_scale", bool(log))

    def SetClip(self, clip: float) -> None:
        """Largest loss that is shown, 0 for a choice by quantile."""
        self._set("clip", float(clip))

    def SetHeightScale(self, factor: float) -> None:
        """Factor of all heights."""
        self._set("height_scale", float(factor))

    def SetShowContours(self, shown: bool) -> None:
        """Draw lines of equal loss upon the surface."""
        self._set("show_contours", bool(shown))

    def SetShowStep(self, shown: bool) -> None:
        """Mark where the trajectories are at the present step."""
        self._set("show_step", bool(shown))

    def GetSurfaceNames(self) -> list[str]:
        """Surfaces that are there, for the list in the panel."""
        with contextlib.suppress(PVEnsembleError):  # the update says what is wrong
            return ["", *surface_names(self._file())]
        return [""]

    def GetNeedsUpdate(self) -> bool:
        """Tell ParaView's live sources also of surfaces that were computed meanwhile."""
        if not first_finds(self._has_other_surfaces):
            return super().GetNeedsUpdate()
        self.Modified()
        return True

    def _has_other_surfaces(self) -> bool:
        before = self._seen
        with contextlib.suppress(PVEnsembleError, OSError):
            self._seen = surfaces_directory(self._file()).stat().st_mtime
        return before not in (None, self._seen)

    # -- pipeline --------------------------------------------------------------------------------
    def RequestData(self, request, inInfo, outInfo) -> int:
        self._check()
        runs = self.runs_input(inInfo)
        surface = self._stored()
        options = {"log": self._log_scale, "clip": self._clip, "height": self._height_scale}
        relief = Relief.of(surface, **options)
        write_relief(self.output(outInfo, 0), relief)
        for port in (0, 3):  # what VTK hands on of the input
            self.output(outInfo, port).GetFieldData().Initialize()
        outside = write_paths(self.output(outInfo, 1), runs, relief)
        if self._show_contours:
            write_contours(self.output(outInfo, 3), self.output(outInfo, 0), relief)
        step = requested_time(request, outInfo) if self._show_step else None
        self._draw(self.output(outInfo, 2), relief, runs, outside, step)
        return 1

    def _check(self) -> None:
        """Refuse options that cannot be used."""
        self.check_label_size()
        if not (np.isfinite(self._clip) and self._clip >= 0):
            raise OptionError(f"Clip must be a positive loss, or 0, got {self._clip}")
        if not (np.isfinite(self._height_scale) and self._height_scale > 0):
            raise OptionError(f"Height Scale must be a positive number, got {self._height_scale}")

    def _file(self) -> str:
        """Return the ensemble's file."""
        reader = next((a for a in upstream(self) if hasattr(a, "GetLayers")), None)
        if reader is None:
            raise MissingArrayError(
                "needs the runs of an ensemble as Ensemble Reader gives them, to find its file; "
                "got runs that come from no reader"
            )
        return reader.GetFileName()

    def _stored(self) -> StoredSurface:
        """Return the chosen surface, of which something can be shown."""
        surface = read_surface(self._file(), self._surface)
        known = ~np.isnan(surface.loss)
        if not (known[:-1, :-1] & known[1:, 1:]).any():
            raise OptionError(
                f"loss surface {surface.name!r} was interrupted before anything can be shown; the "
                "same `pvensemble surface` command goes on with it"
            )
        return surface

    def _draw(
        self, output: vtkPolyData, relief: Relief, runs: RunsData, outside: int, step: float | None
    ) -> None:
        """Write frame, labels and marks."""
        surface, sketch = relief.surface, SpaceSketch()
        size = self._label_size / 100 * (SIDE + HEIGHT)
        names = run_names(runs, surface)
        draw_frame(sketch, relief, axis_titles(surface, names), size)
        draw_runs(sketch, relief, names, size)
        marked = None if step is None else draw_present(sketch, relief, step, size)
        draw_heading(sketch, relief, heading(relief, names, outside), size, marked)
        sketch.write(output)


def run_names(runs: RunsData, surface: StoredSurface) -> list[str]:
    """Return what the surface's runs are called: by their number where they are in the input."""
    number = dict(zip(map(str, runs.column("run_id")), runs.run_index.tolist()))
    return [f"run {number.get(r, r)}" for r in surface.meta["runs"]]


def axis_titles(surface: StoredSurface, names: list[str]) -> tuple[str, str, str]:
    """Return what the axes show."""
    loss = "training loss" if surface.meta.get("split") == "train" else "validation loss"
    if surface.meta.get("directions") == "trajectory":
        shares = [f" ({100 * share:.0f} %)" for share in surface.meta.get("explained", ())]
        first, second = (*shares, "", "")[:2]
        return f"principal component 1{first}", f"principal component 2{second}", loss
    if len(names) == 3:
        return f"from {names[0]} to {names[1]}", f"towards {names[2]}", loss
    return "random direction 1", "random direction 2", loss


def heading(relief: Relief, names: list[str], outside: int) -> list[str]:
    """Return what is shown, and what one must know to read it, a line each."""
    surface, meta = relief.surface, relief.surface.meta
    what = names[0] if len(names) == 1 else f"runs {', '.join(n[4:] for n in names)}"
    steps = " and ".join(f"{s:,}" for s in dict.fromkeys(meta.get("steps", ())))
    images = f"{meta.get('images', 0):,} images"
    lines = [f"Loss around {what} (step {steps}), {images}"]
    notes = []
    if meta.get("directions") == "random":
        notes.append("directions normalized filter by filter")
    if relief.scale.n_cut:
        share = 100 * relief.scale.n_cut / max((~np.isnan(surface.loss)).sum(), 1)
        far = relief.scale.largest
        most = f"up to {far:.3g}" if np.isfinite(far) else "some not finite"
        notes.append(f"{share:.0f} % of the surface lie higher, {most}")
    if not meta.get("complete", True):
        notes.append(f"{int(np.isnan(surface.loss).sum())} points are not computed yet")
    if outside:
        notes.append(f"{outside} recorded networks lie outside")
    return [*lines, *(["; ".join(notes)] if notes else [])]
