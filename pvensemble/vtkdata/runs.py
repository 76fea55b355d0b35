"""The "Runs" data set: a vtkPolyData whose cell i is run i.

Cell data hold the run table (hyper-parameters, seed, state … and what filters add: measures,
group), field data the curves of all metrics, so that a filter needs nothing but its input. Filters
pass all of it on and never change the order of cells, which is what makes ParaView's linked
selection work.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
from vtkmodules.vtkCommonCore import vtkAbstractArray, vtkStringArray
from vtkmodules.vtkCommonDataModel import vtkCellData, vtkPolyData

from pvensemble import schema
from pvensemble.errors import MissingArrayError, NotRecordedError, did_you_mean
from pvensemble.vtkdata.arrays import (
    field_strings,
    string_list,
    to_numpy,
)


class RunsData:
    """Read access to a "Runs" data set: columns, curves, measures and groups as numpy arrays.

    Parameters
    ----------
    polydata : vtkPolyData
        Output of Ensemble Reader or of any filter on it.

    Raises
    ------
    MissingArrayError
        When it has no ``run_index``, that is, when it is not a data set of runs.

    Notes
    -----
    Number arrays share VTK's memory: never write to them.
    """

    def __init__(self, polydata: vtkPolyData) -> None:
        self.polydata = polydata
        self._field = polydata.GetFieldData()
        self.columns = Columns(polydata.GetCellData())
        if schema.RUN_INDEX not in self.columns:
            present = ", ".join(self.columns) or "none"
            raise MissingArrayError(
                f"the input is not the runs of an ensemble: cell array {schema.RUN_INDEX!r} is "
                f"missing (arrays present: {present}); use the first output of Ensemble Reader"
            )

    @property
    def n_runs(self) -> int:
        """Number of runs = number of cells."""
        return len(self.columns[schema.RUN_INDEX])

    @property
    def run_index(self) -> np.ndarray:
        """(n_runs,) int64: number of each run in the ensemble."""
        return self.columns[schema.RUN_INDEX]

    @property
    def name(self) -> str:
        """Name of the ensemble."""
        return "".join(field_strings(self._field, schema.ENSEMBLE_NAME_FIELD)[:1])

    @property
    def hyper_parameters(self) -> list[str]:
        """Names of the hyper-parameter columns, in order."""
        return field_strings(self._field, schema.HYPER_PARAMETERS_FIELD)

    @property
    def scales(self) -> dict[str, str]:
        """``linear``, ``log`` or ``categorical`` for each hyper-parameter."""
        scales = field_strings(self._field, schema.HYPER_PARAMETER_SCALES_FIELD)
        return dict(zip(self.hyper_parameters, scales))

    @property
    def measures(self) -> list[str]:
        """Names of the measure columns, in the order in which filters added them."""
        return field_strings(self._field, schema.MEASURES_FIELD)

    @property
    def metric_names(self) -> list[str]:
        """Metrics that have a curve, in the order in which the reader lists them."""
        names = (self._field.GetArrayName(i) for i in range(self._field.GetNumberOfArrays()))
        start = len(schema.CURVE_PREFIX)
        return [n[start:] for n in names if n and n.startswith(schema.CURVE_PREFIX)]

    @property
    def accuracy_metric(self) -> str | None:
        """The metric that measures and graphs use as accuracy, or None."""
        return _first(schema.ACCURACY_METRICS, self.metric_names)

    @property
    def loss_metric(self) -> str | None:
        """The metric that graphs use as loss, or None."""
        return _first(schema.LOSS_METRICS, self.metric_names)

    def curve(self, metric: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the curve of a metric.

        Returns
        -------
        steps : (n_steps,) int64
        values : (n_runs, n_steps) float, NaN where not measured

        Raises
        ------
        NotRecordedError
            When the ensemble has no such metric.
        """
        values = self._field.GetArray(schema.curve_array(metric))
        steps = self._field.GetArray(schema.steps_array(metric))
        if values is None or steps is None:
            raise NotRecordedError(
                f"there is no metric {metric!r}{did_you_mean(metric, self.metric_names)}"
            )
        steps = to_numpy(steps)
        return steps, to_numpy(values).reshape(len(steps), self.n_runs).T

    @property
    def group(self) -> np.ndarray | None:
        """(n_runs,) int: index into ``group_names`` or -1; None before Run Groups."""
        return self.columns.get(schema.GROUP) if self.group_names else None

    @property
    def group_names(self) -> list[str]:
        """Names of the groups, ``[]`` before Run Groups."""
        return field_strings(self._field, schema.GROUP_NAMES_FIELD)

    @property
    def group_colors(self) -> list[str]:
        """``#rrggbb`` of each group."""
        return field_strings(self._field, schema.GROUP_COLORS_FIELD)

    def column_arrays(self, names: Sequence[str] = ()) -> tuple:
        """Return the VTK arrays of some columns, of all without names, and when they changed.

        Two results are equal only as long as the columns are the same arrays and none was written
        to: what was made from them may then be kept.
        """
        cell_data = self.columns.cell_data
        wanted = names or range(cell_data.GetNumberOfArrays())
        return _dated(cell_data.GetAbstractArray(each) for each in wanted)

    def curve_arrays(self, metric: str) -> tuple:
        """Return the VTK arrays of a metric's curve and when they changed, as `column_arrays`."""
        names = schema.steps_array(metric), schema.curve_array(metric)
        return _dated(self._field.GetAbstractArray(name) for name in names)

    def codes(self, column: str) -> np.ndarray:
        """Return a text column's codes (n_runs,) int, or a number column as it is."""
        coded = self.columns.cell_data.GetArray(column + schema.CODE_SUFFIX)
        return self.columns[column] if coded is None else to_numpy(coded)

    def column(self, name: str) -> np.ndarray:
        """Return a column (n_runs,), or raise MissingArrayError naming the columns there are."""
        if name not in self.columns:
            raise MissingArrayError(
                f"there is no column {name!r}{did_you_mean(name, self.columns)}"
            )
        return self.columns[name]


class Columns(Mapping):
    """The columns of a "Runs" data set, converted when they are asked for.

    Left out are the code columns that stand beside text columns and arrays of several components.
    """

    def __init__(self, cell_data: vtkCellData) -> None:
        self.cell_data = cell_data
        self._texts: dict[str, np.ndarray] = {}
        arrays = [cell_data.GetAbstractArray(i) for i in range(cell_data.GetNumberOfArrays())]
        codes = {a.GetName() + schema.CODE_SUFFIX for a in arrays if isinstance(a, vtkStringArray)}
        self._names = [
            a.GetName()
            for a in arrays
            if a.GetName() and a.GetName() not in codes and a.GetNumberOfComponents() == 1
        ]

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._names:
            raise KeyError(name)
        array = self.cell_data.GetAbstractArray(name)
        if isinstance(array, vtkStringArray):
            if name not in self._texts:
                self._texts[name] = np.array(string_list(array), dtype=str)
            return self._texts[name]
        return to_numpy(array)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def _dated(arrays: Iterable[vtkAbstractArray | None]) -> tuple:
    """Return arrays with the times at which they changed."""
    return tuple((array, array.GetMTime() if array else 0) for array in arrays)


def _first(wanted: Sequence[str], present: Sequence[str]) -> str | None:
    return next((name for name in wanted if name in present), None)
