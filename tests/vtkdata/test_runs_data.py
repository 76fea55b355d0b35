"""The "Runs" data set: what goes in comes out, cell i is run i."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from vtkmodules.vtkCommonDataModel import vtkPolyData

from pvensemble.errors import MissingArrayError, NotRecordedError
from pvensemble.vtkdata import runs_output
from pvensemble.vtkdata.runs import RunsData

TABLE = {
    "run_index": np.arange(3),
    "run_id": np.array(["x", "y", "z"]),
    "lr": np.array([0.1, 0.2, np.nan]),
    "optimizer": np.array(["sgd", "adam", "rmsprop"]),
    "nesterov": np.array([True, False, True]),
    "state": np.array(["COMPLETE", "DIVERGED", "WAITING"]),
}
CURVE = SimpleNamespace(
    steps=np.array([0, 10]), values=np.array([[0.1, 0.2], [0.3, np.nan], [0.5, 0.6]])
)
HYPER = [
    SimpleNamespace(name="lr", scale="log"),
    SimpleNamespace(name="optimizer", scale="categorical"),
]


@pytest.fixture
def polydata():
    return runs_output.runs_to_polydata(
        TABLE, {"train_loss": CURVE, "accuracy": CURVE}, HYPER, name="mine"
    )


def test_cell_i_is_a_vertex_at_i(polydata):
    assert polydata.GetNumberOfCells() == 3
    for i in range(3):
        cell = polydata.GetCell(i)
        assert cell.GetClassName() == "vtkVertex"
        assert cell.GetPoints().GetPoint(0) == (i, 0, 0)


def test_columns_come_back_as_they_were(polydata):
    runs = RunsData(polydata)
    assert list(runs.columns) == list(TABLE)
    for name, values in TABLE.items():
        np.testing.assert_array_equal(runs.columns[name], values, err_msg=name)
    assert runs.n_runs == 3
    assert runs.name == "mine"
    assert runs.hyper_parameters == ["lr", "optimizer"]
    assert runs.scales == {"lr": "log", "optimizer": "categorical"}
    assert polydata.GetCellData().GetArray("nesterov").GetDataTypeAsString() == "unsigned char"
    assert polydata.GetCellData().GetArray("run_index").GetDataTypeAsString() == "long long"


def test_texts_have_codes_sorted_and_states_in_schema_order(polydata):
    runs = RunsData(polydata)
    assert runs.codes("optimizer").tolist() == [2, 0, 1]
    assert runs.codes("state").tolist() == [2, 4, 0]
    assert runs.codes("lr") is not None
    assert polydata.GetCellData().GetArray("optimizer_code").GetDataTypeAsString() == "int"


def test_curves_come_back_and_share_memory(polydata):
    runs = RunsData(polydata)
    steps, values = runs.curve("accuracy")
    np.testing.assert_array_equal(steps, CURVE.steps)
    np.testing.assert_array_equal(values, CURVE.values)
    assert np.shares_memory(values, runs.curve("accuracy")[1])
    assert runs.metric_names == ["train_loss", "accuracy"]
    assert (runs.accuracy_metric, runs.loss_metric) == ("accuracy", "train_loss")
    array = polydata.GetFieldData().GetArray("curve:accuracy")
    assert (array.GetNumberOfTuples(), array.GetNumberOfComponents()) == (6, 1)


@pytest.mark.parametrize("shape", [(1, 1), (3, 1), (1, 3), (0, 2), (2, 0)])
def test_curves_of_any_size(shape):
    polydata = runs_output.runs_to_polydata({"run_index": np.arange(shape[0])}, {}, [])
    values = np.random.default_rng(0).random(shape)
    runs_output.add_curve(polydata, "m", np.arange(shape[1]), values)
    np.testing.assert_array_equal(RunsData(polydata).curve("m")[1], values)


def test_measures_are_listed_in_order_and_do_not_change_the_source(polydata):
    copy = vtkPolyData()
    copy.ShallowCopy(polydata)
    runs_output.add_measure(copy, "P2", np.array([0.1, 0.2, 0.3]))
    runs_output.add_measure(copy, "P1", np.array([0.4, 0.5, 0.6]))
    runs_output.add_measure(copy, "P2", np.array([0.7, 0.8, 0.9]))
    assert RunsData(copy).measures == ["P1", "P2"]
    np.testing.assert_array_equal(RunsData(copy).columns["P2"], [0.7, 0.8, 0.9])
    assert RunsData(polydata).measures == []
    assert "P1" not in RunsData(polydata).columns


def test_missing_things_are_named(polydata):
    runs = RunsData(polydata)
    with pytest.raises(NotRecordedError, match="no metric 'acuracy'; did you mean 'accuracy'"):
        runs.curve("acuracy")
    with pytest.raises(MissingArrayError, match="no column 'LR'; did you mean 'lr'"):
        runs.column("LR")
    with pytest.raises(KeyError):
        runs.columns["LR"]
    polydata.GetCellData().RemoveArray("run_index")
    with pytest.raises(MissingArrayError, match=r"'run_index' is missing \(arrays present: run_id"):
        RunsData(polydata)


def test_groups_are_absent_before_run_groups(polydata):
    runs = RunsData(polydata)
    assert (runs.group, runs.group_names, runs.group_colors) == (None, [], [])
    assert "group_color" not in runs.columns
