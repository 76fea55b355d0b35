"""The run table, runs.csv and imported tables."""

from __future__ import annotations

import csv
import io
import os

import numpy as np
import pytest
from store_samples import create, sample_runs

from pvensemble.errors import DataError, StoreError
from pvensemble.store import (
    Ensemble,
    EnsembleWriter,
    HyperParameter,
    LayerInfo,
    RunInfo,
    SessionInfo,
)
from pvensemble.store.derived import final_values
from pvensemble.store.importers import import_csv
from pvensemble.store.records import fits
from pvensemble.store.table import csv_text

PARAMETERS = [
    HyperParameter("lr", "float", "log"),
    HyperParameter("width", "int"),
    HyperParameter("depth", "int"),
    HyperParameter("opt", "categorical", "categorical"),
    HyperParameter("flag", "bool", "categorical"),
    HyperParameter("partial", "bool", "categorical"),
]
RUNS = [
    RunInfo("a", {"lr": 0.1, "width": 2**40, "depth": 1, "opt": 'x, "y"', "flag": True}, 1, "s"),
    RunInfo("b", {"lr": float("inf"), "width": 3, "opt": "z\nz", "flag": False}, 2, "s"),
    RunInfo("c", {"width": -4, "depth": 2, "flag": True, "partial": False}, 3, "t"),
    RunInfo("d", {"lr": float("nan"), "width": 5, "flag": False, "partial": True}, 4, "t"),
]


@pytest.fixture
def mixed(tmp_path):
    path = tmp_path / "mixed.pvens"
    with EnsembleWriter.create(path, hyper_parameters=PARAMETERS) as writer:
        group = writer.create_group(RUNS)
        values = np.array([[0.5, 2.0, np.nan, 1.0], [0.25, np.inf, np.nan, np.nan]])
        group.commit(7, {}, {"loss": ([3, 7], values)})
        group.set_states([1], "DIVERGED", step=7, reason='loss is inf, "big"')
    return path


def test_columns_and_their_types(mixed):
    table = Ensemble.open(mixed).run_table()
    assert list(table) == [
        "run_index", "run_id", "session", "lr", "width", "depth", "opt", "flag", "partial",
        "seed", "state", "reason", "last_step",
    ]  # fmt: skip
    kinds = {name: column.dtype.str[1:] for name, column in table.items()}
    assert kinds["run_index"] == kinds["seed"] == kinds["last_step"] == kinds["width"] == "i8"
    assert kinds["lr"] == kinds["depth"] == kinds["partial"] == "f8"
    assert kinds["flag"] == "u1"
    assert all(kinds[name][0] == "U" for name in ("run_id", "session", "opt", "state", "reason"))
    nan = np.nan
    np.testing.assert_array_equal(table["lr"], [0.1, np.inf, nan, nan])
    np.testing.assert_array_equal(table["width"], [2**40, 3, -4, 5])
    np.testing.assert_array_equal(table["depth"], [1, nan, 2, nan])
    np.testing.assert_array_equal(table["opt"], ['x, "y"', "z\nz", "", ""])
    np.testing.assert_array_equal(table["flag"], [1, 0, 1, 0])
    np.testing.assert_array_equal(table["partial"], [nan, nan, 0, 1])
    np.testing.assert_array_equal(table["seed"], [1, 2, 3, 4])


def test_runs_csv_quotes_cells_and_writes_nan_empty(mixed):
    text = (mixed.with_name("mixed.pvens.d") / "runs.csv").read_text()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [r["opt"] for r in rows] == ['x, "y"', "z\nz", "", ""]
    assert [r["lr"] for r in rows] == ["0.1", "inf", "", ""]
    assert [r["depth"] for r in rows] == ["1", "", "2", ""]
    assert [r["final loss"] for r in rows] == ["0.25", "inf", "", "1"]
    assert rows[1]["reason"] == 'loss is inf, "big"'
    assert rows[1]["state"] == "DIVERGED"
    assert [r["run_index"] for r in rows] == ["0", "1", "2", "3"]


def test_runs_csv_is_replaced_whole(mixed):
    """Whoever has the old file open keeps a complete one."""
    path = mixed.with_name("mixed.pvens.d") / "runs.csv"
    with path.open() as old:
        EnsembleWriter.open(mixed).finish()
        assert path.stat().st_ino != os.fstat(old.fileno()).st_ino
        assert old.read() == path.read_text()


def test_csv_cells_have_all_their_digits():
    values = np.array([0.1 + 0.2, 1e-300, -0.0, 1e20, 5.0])
    text = csv_text({"x": values})
    cells = text.splitlines()[1:]
    assert [float(c) for c in cells] == values.tolist()
    assert cells[0] == "0.30000000000000004"
    assert cells[4] == "5"


def test_final_values_are_the_last_measured():
    nan = np.nan
    values = np.array([[1.0, 2.0, nan, nan], [3.0, nan, nan, 7.0], [nan, nan, nan, 8.0]])
    np.testing.assert_array_equal(final_values(values.T), [3, 2, nan, 8])


def test_undeclared_hyper_parameters_are_described_by_their_values(tmp_path):
    path = tmp_path / "a.pvens"
    with EnsembleWriter.create(path) as writer:
        first = {"f": 0.5, "i": 1, "b": True, "t": "x", "m": 1, "n": np.float32(2.5)}
        second = {"f": 1, "i": 2, "b": False, "t": 3, "m": "y", "n": np.float32(0.5)}
        writer.create_group([RunInfo("a", first), RunInfo("b", second)])
    ensemble = Ensemble.open(path)
    assert {p.name: p.type for p in ensemble.hyper_parameters} == {
        "f": "float", "i": "int", "b": "bool", "t": "categorical", "m": "categorical", "n": "float"
    }  # fmt: skip
    table = ensemble.run_table()
    assert table["m"].tolist() == ["1", "y"]
    assert table["n"].tolist() == [2.5, 0.5]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: HyperParameter("x", "double"), "type is 'double'"),
        (lambda: HyperParameter("x", "float", "logs"), "did you mean 'log'"),
        (lambda: HyperParameter("a/b", "float"), "name of a hyper-parameter is 'a/b'"),
        (lambda: HyperParameter("state", "float"), "column of every run table"),
        (lambda: SessionInfo("s", "red"), "expected '#rrggbb'"),
        (lambda: SessionInfo("s", space=[]), "its space a mapping"),
        (lambda: LayerInfo("../x", "X", (1,)), "name of a layer"),
        (lambda: LayerInfo("x", "X", (1,), ("a.b",)), "holds a '.'"),
        (lambda: LayerInfo("x", "X", (1,), ("a/b",)), "a kind is 'a/b'"),
    ],
)
def test_senseless_descriptions_are_refused(make, message):
    with pytest.raises(StoreError, match=message):
        make()


@pytest.mark.parametrize("name", ["x.txt", ".pvens", "x.pvens.d/y"])
def test_names_of_ensembles(tmp_path, name):
    with pytest.raises(StoreError, match="ends in '.pvens'"):
        create(tmp_path / name)


def test_missing_directory_is_named(tmp_path):
    with pytest.raises(StoreError, match="the directory .*absent does not exist"):
        create(tmp_path / "absent" / "x.pvens")


# -- imported tables ----------------------------------------------------------------------------

TABLE = "id,lr,op,width,acc,loss\nx1,0.1,skip,8,50,1.5\nx2,,conv,16,75,\nx3,0.001,skip,,25,nan\n"


def test_csv_becomes_an_ensemble(tmp_path):
    (tmp_path / "t.csv").write_text(TABLE)
    writer = import_csv(
        tmp_path / "t.csv",
        tmp_path / "t.pvens",
        parameters=["lr", "op", "width"],
        metrics={"acc": "accuracy"},
        scale=0.01,
        id_column="id",
    )
    ensemble = Ensemble.open(writer.path)
    assert [(p.name, p.type, p.scale) for p in ensemble.hyper_parameters] == [
        ("lr", "float", "linear"), ("op", "categorical", "categorical"), ("width", "int", "linear")
    ]  # fmt: skip
    table = ensemble.run_table()
    assert table["run_id"].tolist() == ["x1", "x2", "x3"]
    np.testing.assert_array_equal(table["lr"], [0.1, np.nan, 0.001])
    assert table["op"].tolist() == ["skip", "conv", "skip"]
    np.testing.assert_array_equal(table["width"], [8, 16, np.nan])
    assert set(table["state"]) == {"COMPLETE"}
    curve = ensemble.curve("accuracy")
    assert curve.steps.tolist() == [0]
    assert curve.values.tolist() == [[0.5], [0.75], [0.25]]
    assert ensemble.provenance["imported_from"] == "t.csv"


def test_metrics_may_be_absent_and_keep_their_names(tmp_path):
    (tmp_path / "t.csv").write_text(TABLE)
    path = import_csv(
        tmp_path / "t.csv", tmp_path / "t.pvens", parameters=["op"], metrics=["loss"]
    ).path
    ensemble = Ensemble.open(path)
    np.testing.assert_array_equal(ensemble.curve("loss").values, [[1.5], [np.nan], [np.nan]])
    assert len(set(ensemble.run_table()["run_id"])) == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TABLE.replace("lr", "rate"), "no column 'lr'"),
        (TABLE + "x4,1\n", "line 5: 2 cells; expected 6"),
        (TABLE.replace("50", "good"), "column 'acc': a metric is no number"),
        (TABLE.replace("op", "acc"), "two columns are called 'acc'"),
        (TABLE.replace("0.1", "nan"), "column 'lr': got nan, expected finite numbers"),
        (TABLE.replace("0.1", "-inf"), "column 'lr': got -inf, expected finite numbers"),
        (TABLE.splitlines()[0], "no rows"),
        ("", "no rows"),
    ],
)
def test_bad_tables_are_named(tmp_path, text, message):
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=f"t.csv.*{message}"):
        import_csv(path, tmp_path / "t.pvens", parameters=["lr"], metrics=["acc"])
    assert not (tmp_path / "t.pvens").exists()


def test_whole_numbers_beyond_64_bits_become_floats(tmp_path):
    (tmp_path / "t.csv").write_text(f"a,acc\n{2**63},1\n3,2\n")
    path = import_csv(
        tmp_path / "t.csv", tmp_path / "t.pvens", parameters=["a"], metrics=["acc"]
    ).path
    np.testing.assert_array_equal(Ensemble.open(path).run_table()["a"], [2.0**63, 3])


def test_scale_is_finite(tmp_path):
    (tmp_path / "t.csv").write_text(TABLE)
    with pytest.raises(DataError, match="scale of the metrics: got nan"):
        import_csv(
            tmp_path / "t.csv",
            tmp_path / "t.pvens",
            parameters=["lr"],
            metrics=["acc"],
            scale=float("nan"),
        )


def test_absent_table_is_named(tmp_path):
    with pytest.raises(DataError, match="t.csv: the table cannot be read: .*No such file"):
        import_csv(tmp_path / "t.csv", tmp_path / "t.pvens", parameters=["lr"], metrics=["acc"])


def test_fifteen_thousand_runs(data_dir, tmp_path):
    edges = [f"edge_{i}_{j}" for i, j in [(0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3)]]
    table = data_dir / "tables" / "nasbench201_accuracy.csv"
    path = import_csv(
        table,
        tmp_path / "nas.pvens",
        parameters=edges,
        metrics={"cifar10_val": "validation_accuracy", "cifar10_test": "test_accuracy"},
        scale=0.01,
        id_column="arch",
    ).path
    ensemble = Ensemble.open(path)
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert ensemble.n_runs == len(rows) == 15_625
    columns = ensemble.run_table()
    for edge in edges:
        assert columns[edge].tolist() == [row[edge] for row in rows]
    expected = [0.01 * float(row["cifar10_val"]) for row in rows]
    assert ensemble.curve("validation_accuracy").values[:, 0].tolist() == expected


def test_sample_runs_are_distinct():
    assert len({r.run_id for r in sample_runs(9)}) == 9


def test_whole_numbers_that_64_bits_do_not_hold_do_not_fit():
    parameter = HyperParameter("a", "int", "linear")
    assert fits(2**63 - 1, parameter)
    assert fits(-(2**63), parameter)
    assert not fits(2**63, parameter)
    assert not fits(-(2**63) - 1, parameter)
