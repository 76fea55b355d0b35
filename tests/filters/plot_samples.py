"""Small ensembles for the plots."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from pvensemble.filters._base import EnsembleAlgorithm
from pvensemble.vtkdata.arrays import add_field, to_numpy, to_vtk
from pvensemble.vtkdata.runs_output import add_column, add_measure, runs_to_polydata
from pvensemble.vtkdata.time import publish_time_steps, requested_time

LEARNING_RATES = np.array([0.01 * 0.9**k for k in range(6)] + [0.01 * 1.1**k for k in range(1, 6)])
MOMENTA = np.array([0.9**k for k in range(1, 12)])
STEPS = np.arange(0, 101, 10)


def make_runs(columns, *, scales=None, measures=None, curves=None):
    """Return "Runs" with hyper-parameter ``columns``, ``measures`` and ``curves`` (n_runs, 11)."""
    scales = scales or {}
    n_runs = len(next(iter({**columns, **(measures or {}), **(curves or {})}.values())))
    table = {"run_index": np.arange(n_runs), "run_id": np.array([f"r{k}" for k in range(n_runs)])}
    table.update(columns)
    parameters = [SimpleNamespace(name=n, scale=scales.get(n, "linear")) for n in columns]
    curves = {k: SimpleNamespace(steps=STEPS, values=v) for k, v in (curves or {}).items()}
    runs = runs_to_polydata(table, curves, parameters, name="sample")
    for name, values in (measures or {}).items():
        add_measure(runs, name, values)
    return runs


def paper_runs():
    """Return the 11 x 11 grid: P1 = row number / 10, P2 = column number / 10."""
    learning_rate, momentum = (a.ravel() for a in np.meshgrid(LEARNING_RATES, MOMENTA))
    row, column = np.divmod(np.arange(121), 11)
    accuracy = (row / 10)[:, None] * np.linspace(0, 1, 11)
    return make_runs(
        {"learning_rate": learning_rate, "momentum": momentum},
        scales={"learning_rate": "log"},
        measures={"P1": row / 10, "P2": column / 10, "combined": (row + column) / 20},
        curves={"validation_accuracy": accuracy, "validation_loss": 2.0 - accuracy},
    )


def add_groups(runs, group, colors=("#ff0000", "#0000ff")):
    """Put runs into groups, as Run Groups does."""
    add_column(runs.GetCellData(), "group", np.asarray(group, np.int32))
    rgb = np.array([[255, 0, 0], [0, 0, 255], [160, 160, 160]], np.uint8)
    add_column(runs.GetCellData(), "group_color", rgb[np.asarray(group)])
    add_field(runs.GetFieldData(), "group_names", ["low", "high"])
    add_field(runs.GetFieldData(), "group_colors", list(colors))
    return runs


def outputs(algorithm, runs, *, time=None, **options):
    """Run a filter with options (setter names without ``Set``); return its three outputs."""
    from pvensemble.filters._base import run

    algorithm.SetInputDataObject(0, runs)
    for name, value in options.items():
        getattr(algorithm, "Set" + name)(value)
    run(algorithm, time=time, port=2)
    return [algorithm.GetOutputDataObject(port) for port in range(3)]


def cell_points(data, cell):
    """Return the points (n, 2) of a cell."""
    points = data.GetCell(cell).GetPoints()
    return np.array([points.GetPoint(k)[:2] for k in range(points.GetNumberOfPoints())])


def cell_colors(axes):
    """Return the colours (n_cells, 3) of cells whose points have one colour each: no mixtures."""
    colors = to_numpy(axes.GetPointData().GetArray("color"))
    found = []
    for cells in (axes.GetLines(), axes.GetPolys()):
        offsets, ids = (
            to_numpy(a) for a in (cells.GetOffsetsArray(), cells.GetConnectivityArray())
        )
        starts = offsets[:-1]
        first = colors[ids[starts]].reshape(-1, 3)
        np.testing.assert_array_equal(colors[ids], np.repeat(first, np.diff(offsets), axis=0))
        found.append(first)
    return np.concatenate(found)


def sizes(data):
    """Return the number of points of each cell."""
    return np.array([data.GetCellSize(k) for k in range(data.GetNumberOfCells())])


def fingerprint(runs):
    """Return everything that a filter must not change in its input."""
    parts = [runs.GetNumberOfCells(), runs.GetNumberOfPoints(), runs.GetBounds()]
    for data in (runs.GetCellData(), runs.GetFieldData(), runs.GetPointData()):
        for k in range(data.GetNumberOfArrays()):
            array = data.GetAbstractArray(k)
            values = [array.GetVariantValue(j).ToString() for j in range(array.GetNumberOfValues())]
            parts.append((array.GetName(), array.GetNumberOfComponents(), values))
    return parts


class StepSource(EnsembleAlgorithm):
    """Runs at steps 0, 50 and 100; the column ``validation_accuracy`` is that of the step."""

    def __init__(self):
        super().__init__(n_inputs=0)
        self.runs = paper_runs()

    def RequestInformation(self, _request, _inInfo, outInfo):
        publish_time_steps(outInfo.GetInformationObject(0), [0, 50, 100])
        return 1

    def RequestData(self, request, _inInfo, outInfo):
        output, step = self.output(outInfo), requested_time(request, outInfo)
        output.ShallowCopy(self.runs)
        accuracy = np.linspace(0, 1, 121) * step
        output.GetCellData().AddArray(to_vtk(accuracy, "validation_accuracy"))
        return 1
