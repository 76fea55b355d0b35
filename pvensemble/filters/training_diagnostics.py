"""Training Diagnostics: what can go wrong in a training, as columns of the runs."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

import numpy as np

from pvensemble import schema
from pvensemble.errors import NotRecordedError, OptionError
from pvensemble.filters._local_tensors import of_runs, per_run
from pvensemble.filters._options import check_choice, one_of
from pvensemble.filters._parameter_norms import LastFit, norm_curves, parameter_names, weights_of
from pvensemble.filters._step_folds import Fold, StepFolds
from pvensemble.filters._tensor_filter import TensorFilter
from pvensemble.filters._tensors import Block, Tensors
from pvensemble.filters._volumes import Gathered
from pvensemble.filters._weight_paths import last_steps
from pvensemble.numerics.correlation import dead_filters
from pvensemble.numerics.diagnostics import (
    EXPLODING_ABOVE,
    STUCK_BELOW,
    VANISHING_BELOW,
    WeightChanges,
    diagnoses,
    gradient_ratios,
)
from pvensemble.numerics.norms import GROWTH, QUANTITIES, quantity_of
from pvensemble.vtkdata.runs import RunsData
from pvensemble.vtkdata.runs_output import add_column, add_measure
from pvensemble.vtkdata.time import requested_time

GRADIENT_LOW, GRADIENT_HIGH = "gradient_ratio_low", "gradient_ratio_high"
DEAD, STILL, MOVEMENT = "dead_filters", "still_filters", "relative_movement"
NEVER_FLIPPED, FLIPS = "never_flipped", "flips_per_weight"
OF_CHANGES = (MOVEMENT, STILL, NEVER_FLIPPED, FLIPS)
EXPONENT, EXPONENT_LOW, EXPONENT_HIGH = "norm_exponent", "norm_exponent_low", "norm_exponent_high"
VANISHING, EXPLODING = "is_vanishing", "is_exploding"
HAS_DEAD, STUCK = "has_dead_filters", "is_stuck"
DIAGNOSIS = "diagnosis"
WORDS = {
    "diverged": "diverged",
    EXPLODING: "exploding gradient",
    VANISHING: "vanishing gradient",
    HAS_DEAD: "dead filters",
    STUCK: "stuck",
}


@of_runs
class Changes:
    """How the weights of runs change from step to step."""

    def __init__(self, n_filters: int) -> None:
        self._changes = WeightChanges(n_filters)

    def add(self, stack: np.ndarray) -> None:
        """Take the weights (n, y, x) of the next step."""
        self._changes.add(stack.reshape(len(stack), -1))

    def results(self, n_steps: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return values (n,) of each of ``OF_CHANGES`` for the first (n,) steps of each run."""
        changes = self._changes
        still = changes.still_filters(n_steps)
        return changes.movement(n_steps), still, changes.never_flipped(), changes.flips_per_weight()


class ChangesFold(Fold):
    """How weights change, gathered where they are."""

    def __init__(self, block: Block, key: int) -> None:
        super().__init__(block)
        self._gathered = Gathered(block.volume.ask, key, Changes, [block.n_filters])

    def add(self, block: Block) -> None:
        super().add(block)
        self._gathered.add(block.volume, block.rows)

    def results(self, n_steps: np.ndarray) -> Sequence[np.ndarray]:
        """Return ``Changes.results`` of the runs of the group."""
        return self._gathered.results(n_steps)

    def drop(self) -> None:
        self._gathered.forget()


class TrainingDiagnostics(TensorFilter):
    """Runs, tensors -> runs with measures in natural units, flags (0 or 1) and ``diagnosis``."""

    kind = schema.WEIGHT
    measures_the_present = True

    def __init__(self) -> None:
        super().__init__()
        self._vanishing_below = VANISHING_BELOW
        self._exploding_above = EXPLODING_ABOVE
        self._stuck_below = STUCK_BELOW
        self._quantity = GROWTH
        self._fit_start = 0
        self._fit_end = -1
        self._folds, self._keys = StepFolds(), count()
        self._fit = LastFit()

    def SetVanishingBelow(self, ratio: float) -> None:
        """Relative gradient below which a layer's gradient has vanished."""
        self._set("vanishing_below", float(ratio))

    def SetExplodingAbove(self, ratio: float) -> None:
        """Relative gradient above which a layer's gradient explodes."""
        self._set("exploding_above", float(ratio))

    def SetStuckBelow(self, movement: float) -> None:
        """Relative movement in the second half below which training is stuck."""
        self._set("stuck_below", float(movement))

    def SetQuantity(self, quantity: int | str) -> None:
        """What ``norm_exponent`` is of, of ``norms.QUANTITIES``, or its position there."""
        self._set("quantity", one_of(QUANTITIES, quantity))

    def SetFitStart(self, step: int) -> None:
        """First step of the fit."""
        self._set("fit_start", int(step))

    def SetFitEnd(self, step: int) -> None:
        """Last step of the fit; negative for the last recorded one."""
        self._set("fit_end", int(step))

    # -- pipeline --------------------------------------------------------------------------------
    def RequestData(self, request, inInfo, outInfo) -> int:
        self._check_options()
        now = requested_time(request, outInfo)
        run_index = self.runs_input(inInfo).run_index.copy()
        tensors = self._tensors(request, inInfo, outInfo)
        layer = self._layer_of(tensors)
        dead = self._dead(tensors, layer, run_index)
        folds = []
        if tensors is not None and layer is not None:
            blocks = tensors.blocks(layer, self.kind, run_index)
            make = lambda block: ChangesFold(block, next(self._keys))  # noqa: E731
            folds = self._folds.gather(self, blocks, run_index, now, make)
        runs = self.runs_input(inInfo)  # reading other steps may have changed what was there
        names = parameter_names(runs)
        if not names and layer is None:
            raise NotRecordedError(
                "the runs have neither norms (metrics like 'weight_norm:conv1.weight') nor weights "
                "of a layer: check a layer under Layers of the Ensemble Reader, and 'weight' under "
                "Kinds"
            )
        measures = {**self._of_norms(runs, layer), **dead, **self._of_changes(folds, runs)}
        self._write(self.output(outInfo), runs, measures)
        return 1

    def _check_options(self) -> None:
        check_choice("Quantity", self._quantity, QUANTITIES)
        for option, value in (
            ("Vanishing Below", self._vanishing_below),
            ("Exploding Above", self._exploding_above),
            ("Stuck Below", self._stuck_below),
        ):
            if not value >= 0:
                raise OptionError(f"{option} must not be negative, got {value:g}")
        if 0 <= self._fit_end < self._fit_start:
            raise OptionError(
                f"Fit Start, {self._fit_start}, is after Fit End, {self._fit_end} (-1: the last)"
            )

    def _tensors(self, request, inInfo, outInfo) -> Tensors | None:
        """Return the tensors, None when the runs come from no reader and nothing is connected."""
        has_reader = self._reader() is not None or self._connected() is not None
        return self.tensors_input(request, inInfo, outInfo) if has_reader else None

    def _layer_of(self, tensors: Tensors | None) -> str | None:
        """Return the layer whose weights are looked at, None when none is there or asked for."""
        if tensors is None or (not self._layer and not tensors.layers(self.kind)):
            return None
        return tensors.layer(self._layer, self.kind)

    def _dead(self, tensors: Tensors | None, layer: str | None, run_index: np.ndarray) -> dict:
        """Return the number of dead filters at the present step, where correlations are there."""
        if tensors is None or layer not in tensors.layers(schema.CORRELATION):
            return {}
        counts = np.full(len(run_index), np.nan)
        for block in tensors.blocks(layer, schema.CORRELATION, run_index):
            (counts[block.cells],) = block.per_run(n_dead_filters, keep=True)
        return {DEAD: counts}

    def _of_norms(self, runs: RunsData, layer: str | None) -> dict:
        """Return what the recorded norms tell."""
        names = parameter_names(runs)
        if not names:
            return {}
        pairs = []
        for name in weights_of(runs):
            weight_steps, weight = norm_curves(runs, schema.WEIGHT_NORM, name)
            gradient_steps, gradient = norm_curves(runs, schema.GRADIENT_NORM, name)
            _, a, b = np.intersect1d(weight_steps, gradient_steps, return_indices=True)
            if len(a):
                pairs.append((weight[:, a], gradient[:, b]))
        found = dict(zip((GRADIENT_LOW, GRADIENT_HIGH), gradient_ratios(pairs))) if pairs else {}
        own = f"{layer}.weight"
        steps, norms = norm_curves(runs, schema.WEIGHT_NORM, own if own in names else "")
        end = np.inf if self._fit_end < 0 else self._fit_end
        norms = np.where(steps <= last_steps(runs)[:, None], norms, np.nan)
        fit = self._fit(steps, quantity_of(norms, self._quantity), (self._fit_start, end))
        return {**found, EXPONENT: fit.exponent, EXPONENT_LOW: fit.low, EXPONENT_HIGH: fit.high}

    def _of_changes(self, folds: list[ChangesFold], runs: RunsData) -> dict:
        """Return what the weights' changes tell; NaN for runs without tensors, {} without any."""
        last = last_steps(runs)
        found = {name: np.full(runs.n_runs, np.nan) for name in OF_CHANGES if folds}
        for fold in folds:
            upto = np.searchsorted(fold.steps, last[fold.cells], side="right")
            for name, values in zip(OF_CHANGES, fold.results(upto)):
                found[name][fold.cells] = values
        return found

    def _write(self, output, runs: RunsData, measures: dict) -> None:
        """Write the runs with measures, flags and diagnosis."""
        output.ShallowCopy(runs.polydata)
        for name, values in measures.items():
            if name in (EXPONENT_LOW, EXPONENT_HIGH):
                add_column(output.GetCellData(), name, values)
            else:
                add_measure(output, name, values)
        nothing = np.full(runs.n_runs, np.nan)
        diverged = np.zeros(runs.n_runs, bool)
        if schema.STATE in runs.columns:
            diverged = runs.columns[schema.STATE] == schema.DIVERGED
        with np.errstate(invalid="ignore"):  # a comparison with NaN is False
            flags = {
                EXPLODING: (measures.get(GRADIENT_HIGH, nothing) > self._exploding_above)
                | diverged,
                VANISHING: measures.get(GRADIENT_LOW, nothing) < self._vanishing_below,
                HAS_DEAD: (measures.get(DEAD, nothing) > 0) | (measures.get(STILL, nothing) > 0),
                STUCK: (measures.get(MOVEMENT, nothing) < self._stuck_below) & ~diverged,
            }
        for name, flag in flags.items():
            add_column(output.GetCellData(), name, flag.astype(np.int32))
        said = {"diverged": diverged, **flags}
        texts = diagnoses({WORDS[name]: flag for name, flag in said.items()}, runs.n_runs)
        add_column(output.GetCellData(), DIAGNOSIS, texts)


@per_run
def n_dead_filters(stack: np.ndarray) -> tuple[np.ndarray]:
    """Return how many filters of each run are dead, (n,), from their correlations."""
    return (dead_filters(stack).sum(axis=1),)
