"""Performance Measures: P1, P2, P3 and what follows from them as columns of the runs."""

from __future__ import annotations

from vtkmodules.vtkCommonCore import vtkDataArray, vtkInformation

from pvensemble import schema
from pvensemble.errors import MeasureError
from pvensemble.filters._base import EnsembleAlgorithm
from pvensemble.numerics.performance import (
    MEASURES,
    PRESETS,
    broken_runs,
    performance_table,
    preset,
)
from pvensemble.vtkdata.arrays import add_field, to_vtk
from pvensemble.vtkdata.runs import RunsData

ADDED = (
    *MEASURES,
    schema.COMBINED,
    schema.FINAL,
    schema.BEST,
    schema.TIME_TO_THRESHOLD,
)
"""Columns that are listed in the field ``measures``; the deviation behind P3 is added unlisted."""


class PerformanceMeasures(EnsembleAlgorithm):
    """Add measures in [0, 1] to the runs (definitions: ``numerics.measures``).

    Steps are optimizer steps; a negative ``P1Step`` or ``IntervalEnd`` means the last evaluated
    step. Clamps of P1 and P2 are fractions, of P3 percentage points.
    """

    def __init__(self) -> None:
        super().__init__()
        self._metric = ""
        self._preset = 0
        self._p1_step = -1
        self._start = 0
        self._end = -1
        self._clamps = {
            schema.P1: (0.0, 1.0),
            schema.P2: (0.0, 1.0),
            schema.P3: (0.0, 5.0),
        }
        self._clamped: tuple[str, ...] = ()
        self._use: tuple[str, ...] = MEASURES
        self._threshold = 0.9
        self._measured: tuple[tuple, list[vtkDataArray]] = ((), [])

    # -- properties ------------------------------------------------------------------------------
    def SetMetric(self, name: str | None) -> None:
        """Choose the metric to judge; empty: the ensemble's accuracy."""
        self._set("metric", name or "")

    def GetMetric(self) -> str:
        return self._metric

    def GetMetricNames(self) -> list[str]:
        """Metrics of the input, for the list in the panel."""
        runs = self.current_runs()
        return ["", *(runs.metric_names if runs else [])]

    def SetPreset(self, index: int) -> None:
        """Choose step and interval by what they judge: 0 custom, 1 efficiency, 2 stability."""
        self._set("preset", int(index))

    def SetP1Step(self, step: int) -> None:
        self._set("p1_step", int(step))

    def SetIntervalStart(self, step: int) -> None:
        self._set("start", int(step))

    def SetIntervalEnd(self, step: int) -> None:
        self._set("end", int(step))

    def SetClampP1(self, low: float, high: float) -> None:
        self._set_clamp(schema.P1, low, high)

    def SetClampP2(self, low: float, high: float) -> None:
        self._set_clamp(schema.P2, low, high)

    def SetClampP3(self, low: float, high: float) -> None:
        self._set_clamp(schema.P3, low, high)

    def SetUseClampP1(self, on: int) -> None:
        self._switch("clamped", schema.P1, on)

    def SetUseClampP2(self, on: int) -> None:
        self._switch("clamped", schema.P2, on)

    def SetUseClampP3(self, on: int) -> None:
        self._switch("clamped", schema.P3, on)

    def SetUseP1(self, on: int) -> None:
        self._switch("use", schema.P1, on)

    def SetUseP2(self, on: int) -> None:
        self._switch("use", schema.P2, on)

    def SetUseP3(self, on: int) -> None:
        self._switch("use", schema.P3, on)

    def SetThreshold(self, accuracy: float) -> None:
        self._set("threshold", float(accuracy))

    def _set_clamp(self, name: str, low: float, high: float) -> None:
        self._set("clamps", {**self._clamps, name: (float(low), float(high))})

    def _switch(self, attribute: str, name: str, on: int) -> None:
        chosen = {*getattr(self, "_" + attribute)} - {name} | ({name} if on else set())
        self._set(attribute, tuple(m for m in MEASURES if m in chosen))

    # -- execution -------------------------------------------------------------------------------
    def RequestData(self, _request: vtkInformation, inInfo: tuple, outInfo: vtkInformation) -> int:
        runs = self.runs_input(inInfo)
        arrays = self._arrays(runs)
        output = self.output(outInfo)
        output.ShallowCopy(runs.polydata)
        for array in arrays:
            output.GetCellData().AddArray(array)
        known = [name for name in runs.measures if name not in ADDED]
        add_field(output.GetFieldData(), schema.MEASURES_FIELD, [*known, *ADDED])
        return 1

    def _arrays(self, runs: RunsData) -> list[vtkDataArray]:
        """Return the columns to add: those of before while only the time has changed."""
        metric = self._metric or runs.accuracy_metric
        if metric is None:
            known = ", ".join(runs.metric_names) or "none"
            raise MeasureError(f"the runs have no accuracy to measure; metrics present: {known}")
        state = self.GetMTime(), runs.curve_arrays(metric), runs.column_arrays([schema.STATE])
        if state != self._measured[0]:
            columns = self._measure(runs, metric)
            self._measured = state, [to_vtk(values, name) for name, values in columns.items()]
        return self._measured[1]

    def _measure(self, runs: RunsData, metric: str) -> dict:
        steps, values = runs.curve(metric)
        step, interval = self._where(steps)
        state = runs.columns.get(schema.STATE)
        return performance_table(
            steps,
            values,
            p1_step=step,
            interval=interval,
            clamps={name: self._clamps[name] for name in self._clamped},
            use=self._use,
            threshold=self._threshold,
            broken=None if state is None else broken_runs(state),
        )

    def _where(self, steps) -> tuple:
        """Return the step of P1 and the interval, from the preset or the properties."""
        if self._preset and len(steps):
            return preset(PRESETS[self._preset], steps)
        end = float(steps[-1]) if self._end < 0 and len(steps) else self._end
        return (None if self._p1_step < 0 else self._p1_step), (self._start, end)
