"""Ensemble Similarity Plot: runs as points in the plane, similar ones close together.

Cell i is run i: a filled glyph with all arrays of the run, its place ``x``, ``y`` in the layout and
its colour ``lab_color`` by two hyper-parameters. Runs that cannot be placed stand below the frame.
"""

from __future__ import annotations

import numpy as np

from pvensemble.errors import OptionError
from pvensemble.filters._layouts import Layout, Layouts, frame, key_steps
from pvensemble.filters._options import TwoColumnColors, at_step, check_choice, one_of
from pvensemble.filters._recorded_steps import RecordedSteps
from pvensemble.filters._run_vectors import MATCHED, Comparable, ComparisonFilter
from pvensemble.filters._tensors import Block
from pvensemble.filters.plot_curves import drawn_runs
from pvensemble.filters.plot_scatter import Scatter, draw_scatter, write_points
from pvensemble.numerics.embedding import METHODS, Embedding, embed
from pvensemble.vtkdata.runs import RunsData
from pvensemble.vtkdata.time import requested_time, snap

MAX_KEPT = 8
MATCHED_EFFORT = 16
"""Matching filters takes seconds a step even for a hundred runs: fewer key steps."""


class EnsembleSimilarityPlot(TwoColumnColors, ComparisonFilter):
    """Runs, tensors -> glyphs (cell i is run i), frame and legend."""

    def __init__(self) -> None:
        super().__init__(n_outputs=2)
        self._method = METHODS[0]
        self._seed = 0
        self._runs = ""
        self._point_size = 2.6
        self._align_over_time = True
        self._layouts: dict[tuple, Layouts] = {}
        self._version = -1

    def SetMethod(self, method: int | str) -> None:
        """Embedding, of ``embedding.METHODS``, or its position there."""
        self._set("method", one_of(METHODS, method))

    def SetSeed(self, seed: int) -> None:
        """Seed of everything random in the embedding."""
        self._set("seed", int(seed))

    def SetRuns(self, text: str) -> None:
        """Runs that are drawn larger, ``0-4,9``."""
        self._set("runs", text or "")

    def SetPointSize(self, size: float) -> None:
        """Diameter of a point in percent of the side of the plot."""
        self._set("point_size", float(size))

    def SetAlignOverTime(self, align: bool) -> None:
        """Let layouts of different steps have one orientation and scale."""
        self._set("align_over_time", bool(align))

    # -- pipeline --------------------------------------------------------------------------------
    def RequestData(self, request, inInfo, outInfo) -> int:
        self._check_options()
        now = requested_time(request, outInfo)
        run_index = self.runs_input(inInfo).run_index.copy()
        layer = self.tensors_input(request, inInfo, outInfo).layer(self._layer, self.kind)
        recorded = RecordedSteps(self)
        layouts = self._layouts_of(recorded, layer, run_index)
        chain = self._chain(layouts, recorded, layer, run_index, now)
        runs = self.runs_input(inInfo)  # reading other steps may have changed what was there
        blocks = self.blocks_input(request, inInfo, outInfo, runs)
        latest = max((block.step for block in blocks), default=0)
        self.report(0.7, "Layout")
        shown = layouts.after(
            snap(recorded.steps, now) if recorded.steps else latest,
            chain,
            lambda step, start: self._layout(blocks, step, start, runs.n_runs),
        )
        self._draw(outInfo, runs, at_step(layer, latest), shown, frame([*chain, shown]))
        return 1

    def _chain(
        self, layouts: Layouts, recorded: RecordedSteps, layer: str, run_index, now: float | None
    ) -> list[Layout]:
        """Return the layouts of the key steps, those that are not known by reading them."""
        if not self._align_over_time:
            return []
        effort = MATCHED_EFFORT if self._comparison.measure == MATCHED else 1
        steps = key_steps(recorded.steps, effort * len(run_index))
        with recorded.visit(now) as read:

            def at_step(step: float, start) -> Layout | None:
                if self.aborted():
                    return None
                self.report(0.7 * steps.index(step) / len(steps), f"Layout of step {step:g}")
                found = read(step).blocks(layer, self.kind, run_index)
                return self._layout(found, step, start, len(run_index))

            return layouts.chain(steps, at_step)

    def _check_options(self) -> None:
        self.check_label_size()
        self._comparison.check()
        check_choice("Method", self._method, METHODS)
        if not (np.isfinite(self._point_size) and self._point_size > 0):
            raise OptionError(f"Point Size must be a positive number, got {self._point_size}")

    def _layouts_of(self, recorded: RecordedSteps, layer: str, run_index: np.ndarray) -> Layouts:
        """Return what is known of the layouts with the present options."""
        if recorded.version != self._version:
            for layouts in self._layouts.values():
                layouts.look_again()
            self._version = recorded.version
        options = (self._comparison, self._method, self._seed, self._align_over_time)
        key = (recorded.ensemble, layer, options, run_index.tobytes())
        found = self._layouts.pop(key, None) or Layouts()
        self._layouts[key] = found  # those used last are dropped last
        while len(self._layouts) > MAX_KEPT:
            del self._layouts[next(iter(self._layouts))]
        return found

    def _layout(self, blocks: list[Block], step: float, start, n_runs: int) -> Layout:
        """Lay out the runs at a step."""
        found = self.comparable_runs(blocks)
        embedding = embedding_of(found, n_runs, self._method, self._seed, start)
        return Layout(embedding, all(block.step == step for block in blocks))

    def _draw(self, outInfo, runs: RunsData, heading: str, shown: Layout, square: tuple) -> None:
        """Write both outputs."""
        scatter = Scatter.of(
            runs,
            shown.embedding,
            square,
            large=drawn_runs(self._runs, runs.n_runs) & bool(self._runs.strip()),
            point_size=self._point_size / 100,
            columns=self.color_columns(runs),
        )
        write_points(self.output(outInfo, 0), runs, scatter)
        self.report(0.9, "Legend")
        sketch = draw_scatter(
            runs, scatter, self._label_size / 100, heading, self._method, self._comparison.measure
        )
        sketch.write(self.output(outInfo, 1))


def embedding_of(
    found: list[Comparable], n_runs: int, method: str, seed: int, start: np.ndarray | None
) -> Embedding:
    """Embed the largest set of comparable runs; points are (n_runs, 2), NaN for all others."""
    points = np.full((n_runs, 2), np.nan)
    if not found:
        return Embedding(points)
    largest = found[0]
    if largest.matrix is None:
        given = {"vectors": largest.vectors}
    else:
        given = {"distances": 1.0 - largest.matrix}
    start = None if start is None else start[largest.cells]
    embedding = embed(**given, method=method, seed=seed, start=start)
    points[largest.cells] = embedding.points
    notes = [embedding.note] if embedding.note else []
    others = sum(len(other.cells) for other in found[1:])
    if others:
        notes.append(f"{others} runs with other numbers of filters are left out")
    return Embedding(**{**vars(embedding), "points": points, "note": "; ".join(notes)})
