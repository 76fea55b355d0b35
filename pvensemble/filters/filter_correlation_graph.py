"""Filter Correlation Graph: how many filters of a layer are highly correlated, over the training.

One curve a run (cell i is run i). The correlations of all recorded steps are read once and reduced
to what the counts need; another threshold, time or choice of runs reads nothing, and a training
that goes on only its new steps.
"""

from __future__ import annotations

from itertools import count

import numpy as np

from pvensemble.filters._options import (
    FollowsTime,
    Labels,
    TwoColumnColors,
    check_choice,
    check_threshold,
    one_of,
)
from pvensemble.filters._recorded_steps import RecordedSteps
from pvensemble.filters._spread_counts import SpreadCounts
from pvensemble.filters._tensor_filter import TensorFilter
from pvensemble.filters._tensors import Block
from pvensemble.filters.plot_curves import (
    HEIGHT,
    WIDTH,
    Curves,
    draw_group_ends,
    drawn_runs,
    write_lines,
)
from pvensemble.filters.plot_geometry import Sketch
from pvensemble.filters.plot_scatter import LAB_COLOR, run_colors
from pvensemble.filters.plot_time_panels import Panel, draw_panel, draw_playhead
from pvensemble.numerics.axis_scales import LINEAR
from pvensemble.numerics.curves import CurveScale
from pvensemble.numerics.filter_counts import COUNTS, MAX_BYTES
from pvensemble.numerics.ticks import Tick
from pvensemble.vtkdata.arrays import to_vtk
from pvensemble.vtkdata.time import requested_time

PAIRS, FILTERS = COUNTS
HIGH_CORRELATIONS = "high_correlations"
"""Cell array (n_runs,) float64: the count at the present step, NaN where nothing was recorded."""


class FilterCorrelationGraph(FollowsTime, TwoColumnColors, Labels, TensorFilter):
    """Runs, tensors -> curves of high correlations (cell i is run i), axes with the playhead."""

    def __init__(self) -> None:
        super().__init__(n_outputs=2)
        self._threshold = 0.7
        self._count = PAIRS
        self._runs = ""
        self._show_playhead = True
        self._history = History()

    def SetThreshold(self, threshold: float) -> None:
        """Correlation (magnitude) above which two filters count as highly correlated."""
        self._set("threshold", float(threshold))

    def SetCount(self, count: int | str) -> None:
        """``pairs`` of filters or ``filters`` in such a pair, or its position in ``COUNTS``."""
        self._set("count", one_of(COUNTS, count))

    def SetRuns(self, text: str) -> None:
        """Runs that are drawn, ``0-4,9``; empty for all."""
        self._set("runs", text or "")

    def SetShowPlayhead(self, show: bool) -> None:
        """Mark the current time."""
        self._set("show_playhead", bool(show))

    def RequestInformation(self, _request, _inInfo, outInfo) -> int:
        if self.stays():
            self.leave_time(outInfo, 0)
        return 1

    def RequestData(self, request, inInfo, outInfo) -> int:
        self._check_options()
        now = requested_time(request, outInfo)
        tensors = self.tensors_input(request, inInfo, outInfo)
        layer = tensors.layer(self._layer, self.kind)
        run_index = self.runs_input(inInfo).run_index.copy()
        blocks = tensors.blocks(layer, self.kind, run_index)
        self._read_steps(run_index, blocks, now)
        runs = self.runs_input(inInfo)  # reading other steps may have changed what was there
        steps, values = self._history.counts(runs.n_runs)
        curves = Curves(self._title(), steps, values, drawn_runs(self._runs, runs.n_runs))
        panel = count_panel(curves)
        output = self.output(outInfo, 0)
        write_lines(output, runs, curves, panel)
        if self.stays():
            self.drop_present(output, runs)
        else:
            present = _present(steps, values, now)
            output.GetCellData().AddArray(to_vtk(present, HIGH_CORRELATIONS))
        colors = run_colors(runs, self.color_columns(runs))
        output.GetCellData().AddArray(to_vtk(colors, LAB_COLOR))
        sketch = self._draw(panel, _heading(layer, blocks), now)
        draw_group_ends(sketch, runs, curves, panel, self._label_size / 100 * HEIGHT)
        sketch.write(self.output(outInfo, 1))
        return 1

    def _check_options(self) -> None:
        self.check_label_size()
        check_threshold(self._threshold)
        check_choice("Count", self._count, COUNTS)

    def _read_steps(self, run_index: np.ndarray, blocks: list[Block], now: float | None) -> None:
        """Read the steps that are not yet known, the last ones first."""
        history, recorded = self._history, RecordedSteps(self)
        steps = recorded.steps
        history.start(recorded.ensemble, recorded.version, steps)
        history.use(blocks, run_index, self._threshold, self._count)
        history.add(blocks, steps[-1] if steps and now is None else now)
        total, asked = len(history.unknown()), set()
        with recorded.visit(now) as read:
            while not self.aborted():
                unknown = [step for step in history.unknown() if step not in asked]
                if not unknown:
                    break
                step = unknown[-1]
                asked.add(step)
                self.report(1 - len(unknown) / total, f"Reading step {step:g}")
                history.add(read(step).blocks(blocks[0].layer, self.kind, run_index), step)

    def _title(self) -> str:
        what = "pairs of filters" if self._count == PAIRS else "filters"
        return f"{what} with |r| > {self._threshold:g}"

    def _draw(self, panel: Panel, heading: str, now: float | None) -> Sketch:
        """Draw frame, ticks, titles and the playhead."""
        sketch = Sketch()
        size = self._label_size / 100 * HEIGHT
        draw_panel(sketch, panel, size, with_steps=True)
        sketch.text(heading, WIDTH / 2, HEIGHT + 1.9 * size, 1.2 * size, align="center")
        if self._show_playhead and now is not None:
            draw_playhead(sketch, [panel], now, size)
        return sketch


class History:
    """Counts of high correlations of all steps that were read, for each group of runs."""

    def __init__(self) -> None:
        self._series: dict[tuple, _Series] = {}
        self._numbers = count()
        self._ensemble: tuple = ()
        self._version = -1
        self._steps: list[float] = []
        self._used: dict[str, _Series] = {}
        self._wanted = (0.0, PAIRS)

    def start(self, ensemble: tuple, version: int, steps: list[float]) -> None:
        """Begin an update.

        Parameters
        ----------
        ensemble : tuple
            What the steps belong to; those of another one are forgotten.
        version : int
            Differs when steps may have been recorded since the last update.
        steps : list of float
            Recorded steps of the ensemble, ascending.
        """
        if ensemble != self._ensemble:
            for series in self._series.values():
                series.counts.forget()
            self._series.clear()
        if version != self._version:
            for series in self._series.values():
                series.expect_more()
        self._ensemble, self._version, self._steps = ensemble, version, steps

    def use(self, blocks: list[Block], run_index: np.ndarray, threshold: float, what: str) -> None:
        """Choose what is counted: the runs and the layer of the blocks at the present step.

        Parameters
        ----------
        blocks : list of Block
        run_index : (n_runs,) int
            Of the input.
        threshold, what
            See ``FilterCounts.count``.
        """
        self._used, self._wanted = {}, (threshold, what)
        for block in blocks:
            runs = run_index[block.cells].tobytes()
            key = (block.group, block.layer, block.n_filters, runs, block.where)
            series = self._series.pop(key, None)
            if series is None:
                series = _Series(block, next(self._numbers), MAX_BYTES // len(blocks))
            series.cells = block.cells
            self._series[key] = self._used[block.group] = series  # now the last to be dropped
        for key in list(self._series)[: -len(blocks)]:
            if sum(series.counts.n_bytes for series in self._series.values()) > MAX_BYTES:
                self._series.pop(key).counts.forget()

    def add(self, blocks: list[Block], asked: float | None) -> None:
        """Take what was read when a step was asked for."""
        for block in blocks:
            if block.group in self._used:
                self._used[block.group].add(block, self._steps, asked, self._wanted)
        for series in self._used.values():
            series.known.add(asked)

    def unknown(self) -> list[float]:
        """Return the steps of which something is to be read, ascending."""
        used = self._used.values()
        again = {float(step) for series in used for step in series.counts.missing(*self._wanted)}
        new = {s for s in self._steps if not all(s in series.known for series in used)}
        return sorted(again | new)

    def counts(self, n_runs: int) -> tuple[np.ndarray, np.ndarray]:
        """Return steps (n_steps,) and counts (n_runs, n_steps), NaN where nothing was recorded."""
        used = self._used.values()
        steps = np.array(sorted({step for series in used for step in series.counts.keys}), np.int64)
        values = np.full((n_runs, len(steps)), np.nan)
        for series in used:
            columns = np.searchsorted(steps, series.counts.keys)
            values[np.ix_(series.cells, columns)] = series.counts.count(*self._wanted).T
        return steps, values


class _Series:
    """One group's counts by step, and of which of the ensemble's steps nothing is to be read."""

    def __init__(self, block: Block, number: int, max_bytes: int) -> None:
        self.counts = SpreadCounts(block, number, max_bytes)
        self.known: set[float | None] = set()
        self.cells = np.empty(0, np.int64)

    def add(self, block: Block, steps: list[float], asked: float | None, wanted: tuple) -> None:
        there = self.counts.keys
        if block.step not in there or block.step in self.counts.missing(*wanted):
            self.counts.add(block, wanted[0])
        if asked is not None:
            # The reader gave the last recorded step up to the one asked for, or the very first:
            # there is none between the two.
            low, high = min(block.step, asked), max(block.step, asked)
            self.known.update(step for step in steps if low <= step <= high)

    def expect_more(self) -> None:
        """After the last step that this group has recorded, there may be new ones."""
        last = max(self.counts.keys, default=-1)
        self.known = {step for step in self.known if step is not None and step <= last}


def _present(steps: np.ndarray, values: np.ndarray, now: float | None) -> np.ndarray:
    """Return the count of each run (n_runs,) at the last step with one up to the present."""
    upto = np.searchsorted(steps, np.inf if now is None else now, side="right")
    result = np.full(len(values), np.nan)
    for column in values[:, :upto].T:
        result = np.where(np.isnan(column), result, column)
    return result


def _heading(layer: str, blocks: list[Block]) -> str:
    """Return the title: the layer, with its number of filters when that is the same for all."""
    numbers = sorted({block.n_filters for block in blocks})
    if not numbers:
        return layer
    several = f"{numbers[0]} to {numbers[-1]}" if len(numbers) > 1 else f"{numbers[0]}"
    return f"{layer} ({several} filter{'s' if numbers != [1] else ''})"


class CountScale(CurveScale):
    """A scale from 0 with ticks at integers."""

    def ticks(self, n: int) -> list[Tick]:
        return [tick for tick in super().ticks(n) if tick.value == round(tick.value)]


def count_panel(curves: Curves) -> Panel:
    """Return the panel of counts: from 0 to the largest of the drawn runs."""
    steps = curves.steps
    first = float(steps[0]) if len(steps) else 0.0
    last = float(steps[-1]) if len(steps) else 1.0
    shown = curves.values[curves.drawn]
    largest = float(np.max(shown, initial=0.0, where=np.isfinite(shown)))
    scale = CountScale(LINEAR, 0.0, max(1.04 * largest, 1.0))
    return Panel(curves.name, WIDTH, 0.0, HEIGHT, first, max(last, first + 1.0), scale)
