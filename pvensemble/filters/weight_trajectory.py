"""Weight Trajectory: the path of a layer's weight vector over the recorded steps.

In two of its weights (the first ones in figure 3 of the TensorViz poster), in the principal
components of all chosen runs together, or, for one run, the paths of its filters in a time-aware
embedding. What a path has of a random walk is told by numbers of the whole vector
(``numerics.trajectories``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pvensemble import schema
from pvensemble.errors import NotRecordedError, OptionError
from pvensemble.filters._options import Labels, check_choice, one_of
from pvensemble.filters._recorded_steps import RecordedSteps
from pvensemble.filters._step_folds import Fold, StepFolds
from pvensemble.filters._tensor_filter import TensorFilter
from pvensemble.filters._weight_paths import Path, UnitFold, VectorFold, last_steps, paths_of
from pvensemble.filters.plot_curves import drawn_runs
from pvensemble.filters.plot_paths import DrawnPath, Plane, draw_plane, write_paths
from pvensemble.numerics.projections import principal_plane
from pvensemble.numerics.trajectories import MOTIONS, Motion, motion
from pvensemble.numerics.unit_embedding import chosen_steps, embed_units
from pvensemble.vtkdata.arrays import to_vtk
from pvensemble.vtkdata.runs import RunsData
from pvensemble.vtkdata.runs_output import add_column, repeat_columns
from pvensemble.vtkdata.time import requested_time

TWO_WEIGHTS, COMPONENTS, UNITS = PROJECTIONS = (
    "two weights",
    "principal components",
    "hidden units",
)
FILTER, MOTION = "filter", "motion"
STATISTICS = (
    "increment_correlation",
    "increment_band",
    "msd_exponent",
    "msd_exponent_low",
    "msd_exponent_high",
    "path_ratio",
)
MAX_RUNS = 500


class WeightTrajectory(Labels, TensorFilter):
    """Runs, tensors -> paths with point data ``step`` (cell i is run i, or filter i), axes."""

    kind = schema.WEIGHT

    def __init__(self) -> None:
        super().__init__(n_outputs=2)
        self._projection = COMPONENTS
        self._weights = (0, 1)
        self._runs = ""
        self._show_playhead = True
        self._vectors, self._units = StepFolds(), StepFolds()
        self._last: tuple | None = None

    def SetProjection(self, projection: int | str) -> None:
        """What the plane shows, of ``PROJECTIONS``, or its position there."""
        self._set("projection", one_of(PROJECTIONS, projection))

    def SetWeights(self, first: int, second: int) -> None:
        """Numbers of the two weights, in the order in which PyTorch stores them."""
        self._set("weights", (int(first), int(second)))

    def SetRuns(self, text: str) -> None:
        """Runs that are drawn, ``0-4,9``; empty for all, of hidden units for the first."""
        self._set("runs", text or "")

    def SetShowPlayhead(self, show: bool) -> None:
        """Mark where the paths are at the current time."""
        self._set("show_playhead", bool(show))

    # -- pipeline --------------------------------------------------------------------------------
    def RequestData(self, request, inInfo, outInfo) -> int:
        self.check_label_size()
        check_choice("Projection", self._projection, PROJECTIONS)
        now = requested_time(request, outInfo)
        tensors = self.tensors_input(request, inInfo, outInfo)
        layer = tensors.layer(self._layer, self.kind)
        run_index = self.runs_input(inInfo).run_index.copy()
        which = self._chosen(run_index)
        blocks = tensors.blocks(layer, self.kind, run_index[which])
        if not blocks:
            raise NotRecordedError(
                f"of the chosen runs no weights of {layer!r} are recorded; choose others in Runs"
            )
        if self._projection == UNITS:
            cell = int(which[min(int(block.cells.min()) for block in blocks)])
            blocks = tensors.blocks(layer, self.kind, run_index[[cell]])
            self._draw_units(inInfo, outInfo, layer, blocks, cell, now)
        else:
            self._draw_runs(inInfo, outInfo, layer, blocks, which, now)
        return 1

    def _once(self, folds: list[Fold], key: tuple, compute: Callable[[], Any]) -> Any:
        """Return ``compute()``, or what it returned last time for these folds and this key."""
        key = (*key, *((id(fold), len(fold.steps)) for fold in folds))
        if self._last is None or self._last[0] != key:
            self._last = (key, folds, compute())  # keeps the folds, so that no id is used again
        return self._last[2]

    def _chosen(self, run_index: np.ndarray) -> np.ndarray:
        """Return the cells of the runs that are drawn."""
        which = np.flatnonzero(drawn_runs(self._runs, len(run_index)))
        if self._projection != UNITS and len(which) > MAX_RUNS:
            raise OptionError(
                f"the paths of {len(which):,} runs cannot be told apart (at most {MAX_RUNS}); "
                f"choose some in Runs"
            )
        return which

    def _draw_runs(self, inInfo, outInfo, layer: str, blocks, which, now) -> None:
        """Draw one path a run."""
        run_index = self.runs_input(inInfo).run_index[which]
        n_vectors = len(which) * max(len(RecordedSteps(self).steps), 1)
        folds = self._vectors.gather(
            self,
            blocks,
            run_index,
            now,
            lambda block: VectorFold(block, n_vectors, self._weights),
            self._weights,
        )
        runs = self.runs_input(inInfo)  # reading other steps may have changed what was there

        def compute() -> tuple:
            paths = paths_of(folds, which, runs)
            motions = {path.cell: motion(path.vectors, path.steps) for path in paths}
            return *self._project(paths, layer), motions

        key = (self._projection, which.tobytes(), last_steps(runs).tobytes())
        drawn, titles, left_out, motions = self._once(folds, key, compute)
        output = self.output(outInfo, 0)
        write_paths(output, runs, drawn, runs.n_runs)
        repeat_columns(runs.polydata.GetCellData(), output.GetCellData(), runs.n_runs, 1)
        _add_motions(output, motions, runs.n_runs)
        notes = [_summary(motions, runs), *left_out]
        sketches = {f.n_weights: f.size for f in folds if f.size < f.n_weights}
        if sketches:
            n_weights, size = next(iter(sketches.items()))
            notes.append(f"computed from {size:,} random sums of the {n_weights:,} weights")
        labels = {p.cell: f"run {runs.run_index[p.cell]}" for p in drawn}
        plane = Plane(_heading(layer, folds), titles, [n for n in notes if n], labels)
        self._finish(outInfo, drawn, plane, now)

    def _project(self, paths: list[Path], layer: str) -> tuple[list[DrawnPath], tuple, list[str]]:
        """Return the paths in the plane, the titles of its axes, and what is left out."""
        if self._projection == TWO_WEIGHTS:
            drawn = [DrawnPath(p.cell, p.steps, p.two) for p in paths]
            moves = any(np.nanmax(np.ptp(p.two, axis=0)) > 0 for p in paths)
            still = "these weights do not change; choose others in Weights"
            titles = tuple(f"weight {number} of {layer}" for number in self._weights)
            return drawn, titles, [] if moves else [still]
        sizes = [p.n_weights for p in paths]
        most = max(set(sizes), key=sizes.count, default=0)
        alike = [p for p in paths if p.n_weights == most]
        plane = principal_plane([p.vectors for p in alike])
        drawn = [DrawnPath(p.cell, p.steps, place) for p, place in zip(alike, plane.paths)]
        titles = tuple(
            f"component {k} ({100 * share:.1f} % of the variance)"
            for k, share in enumerate(plane.explained, 1)
        )
        others = len(paths) - len(alike)
        one = "1 run with another number of weights is left out"
        many = f"{others} runs with other numbers of weights are left out"
        return drawn, titles, [one if others == 1 else many] if others else []

    def _draw_units(self, inInfo, outInfo, layer: str, blocks, cell: int, now) -> None:
        """Draw one path a filter of a run."""
        run_index = self.runs_input(inInfo).run_index[[cell]]
        folds = self._units.gather(self, blocks, run_index, now, UnitFold)
        runs = self.runs_input(inInfo)
        last = last_steps(runs)[cell]
        drawn = self._once(folds, (UNITS, last), lambda: _unit_paths(folds[0], last))
        output = self.output(outInfo, 0)
        write_paths(output, runs, drawn, len(drawn))
        numbers = np.arange(len(drawn))
        output.GetCellData().AddArray(to_vtk(numbers, FILTER))
        of_run = np.full(len(drawn), runs.run_index[cell])
        output.GetCellData().AddArray(to_vtk(of_run, schema.RUN_INDEX))
        note = (
            "M-PHATE of the filters' weights: near are filters that are alike at one step, and "
            "steps between which a filter changes little; axes and distances have no unit"
        )
        labels = {p.cell: str(p.cell) for p in drawn}
        heading = f"{layer}, run {runs.run_index[cell]}: {len(drawn)} filters"
        plane = Plane(heading, ("M-PHATE 1", "M-PHATE 2"), [note], labels)
        self._finish(outInfo, drawn, plane, now)

    def _finish(self, outInfo, drawn: list[DrawnPath], plane: Plane, now: float | None) -> None:
        """Write the second output."""
        at = now if self._show_playhead else None
        draw_plane(drawn, plane, at, self._label_size / 100).write(self.output(outInfo, 1))


def _unit_paths(fold: UnitFold, last: float) -> list[DrawnPath]:
    """Return the paths of a run's filters, up to its last step, without what is not finite."""
    vectors = np.stack(fold.vectors)
    usable = np.isfinite(vectors).all(axis=(1, 2)) & (np.array(fold.steps) <= last)
    kept = np.flatnonzero(usable)
    kept = kept[chosen_steps(len(kept), fold.n_units)]
    points = embed_units(vectors[kept]).points.reshape(len(kept), fold.n_units, 2)
    steps = np.array(fold.steps, np.int64)[kept]
    return [DrawnPath(k, steps, points[:, k]) for k in range(fold.n_units)]


def _heading(layer: str, folds: list[VectorFold]) -> str:
    """Return the title: the layer and how many weights it has."""
    numbers = sorted({fold.n_weights for fold in folds})
    several = f"{numbers[0]:,} to {numbers[-1]:,}" if len(numbers) > 1 else f"{numbers[0]:,}"
    return f"{layer} ({several} weights)"


def _summary(motions: dict[int, Motion], runs: RunsData) -> str:
    """Return what the paths have of a random walk, of one run or of all."""
    found = list(motions.values())
    if len(found) == 1:
        return found[0].sentence()
    kinds = [each.kind for each in found]
    counts = [f"{kinds.count(kind)} {kind}" for kind in MOTIONS if kind in kinds]
    exponents = np.array([each.exponent for each in found])
    exponents = exponents[np.isfinite(exponents)]
    text = f"{len(found)} runs: {', '.join(counts)}"
    if len(exponents):
        text += (
            f"; mean squared displacement ~ lag^{exponents.min():.2f} to "
            f"lag^{exponents.max():.2f} (random walk 1)"
        )
    return text


def _add_motions(output, motions: dict[int, Motion], n_runs: int) -> None:
    """Add the statistics as columns; NaN, and ``undecided``, for runs without a path."""
    values = np.full((len(STATISTICS), n_runs), np.nan)
    texts = np.array(["undecided"] * n_runs, dtype=object)
    for cell, each in motions.items():
        values[:, cell] = (
            each.increment_correlation,
            each.band,
            each.exponent,
            each.low,
            each.high,
            each.path_ratio,
        )
        texts[cell] = each.kind
    for name, column in zip(STATISTICS, values):
        add_column(output.GetCellData(), name, np.ascontiguousarray(column))
    add_column(output.GetCellData(), MOTION, texts.astype(str))
