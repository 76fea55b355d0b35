"""`pvensemble info`, `check`, `table` and `curves`, as a user calls them."""

from __future__ import annotations

import csv
import io
import json
import os

import numpy as np
import pytest
from store_samples import create, sample_accuracy, sample_runs

from pvensemble.cli import main
from pvensemble.cli.info import size_text, steps_text
from pvensemble.numerics.performance import performance_table
from pvensemble.schema import KINDS


@pytest.fixture
def cli(capsys):
    def call(*args):
        status = main([str(a) for a in args])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


def rows_of(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_info_json_has_what_scripts_rely_on(cli, sample):
    status, out, err = cli("info", sample, "--json")
    assert (status, err) == (0, "")
    info = json.loads(out)
    assert info["n_runs"] == 4
    assert info["states"] == {"COMPLETE": 4}
    assert info["layers"] == ["conv1", "features.0"]
    assert info["recorded_steps"] == [0, 20, 40]
    assert [p["name"] for p in info["hyper_parameters"]] == [
        "learning_rate", "width", "optimizer", "nesterov"
    ]  # fmt: skip
    assert info["hyper_parameters"][0] == {"name": "learning_rate", "type": "float", "scale": "log"}
    files = [p for p in sample.parent.rglob("*") if p.is_file()]
    kept = [p for p in files if p.suffix not in (".csv", ".series")]
    assert info["bytes"] == sum(p.stat().st_size for p in kept)
    assert info["versions"]["schema"] == 1
    assert info["sessions"][0]["name"] == "grid"
    assert info["kinds"] == list(KINDS)
    assert info["metrics"] == ["validation_accuracy", "train_loss"]
    assert info["groups"][0]["name"] == "g000"
    assert info["groups"][0]["layers"][0]["shape"] == [3, 2, 5, 4]


def test_info_for_people(cli, sample):
    status, out, _ = cli("info", sample)
    assert status == 0
    for words in (
        "4: 4 COMPLETE",
        "learning_rate (float, log)",
        "3: 0, 20, 40",
        "conv1, features.0",
    ):
        assert words in out


def test_steps_and_sizes_are_short():
    assert steps_text([]) == "none"
    assert steps_text([0, 5]) == "2: 0, 5"
    assert steps_text(list(range(0, 1001, 20))) == "51: 0, 20, 40, …, 980, 1000"
    sizes = {0: "0 bytes", 999: "999 bytes", 1000: "1.0 kB", 41_900_000: "41.9 MB"}
    assert {n: size_text(n) for n in sizes} == sizes
    assert size_text(5 * 10**15) == "5000.0 TB"


def test_table_csv_has_the_measures(cli, sample):
    status, out, err = cli("table", sample, "--p1", 25, "--interval", 10, 30, "--csv", "-")
    assert (status, err) == (0, "")
    rows = rows_of(out)
    steps = np.arange(0, 41, 10)
    values = sample_accuracy(steps, 4).T
    expected = performance_table(steps, values, p1_step=25, interval=(10, 30))
    for name in ("P1", "P2", "P3", "combined", "final", "best"):
        assert [float(r[name]) for r in rows] == expected[name].tolist()
    assert float(rows[2]["P1"]) == sample_accuracy([20], 4)[0, 2]
    assert [r["run_id"] for r in rows] == [f"run-0-{i}" for i in range(4)]
    assert [r["learning_rate"] for r in rows] == ["0.1", "0.01", "0.001", "0.0001"]


def test_table_goes_to_a_file_and_to_people(cli, sample, tmp_path):
    _, text, _ = cli("table", sample, "--csv", "-")
    assert cli("table", sample, "--csv", tmp_path / "t.csv") == (0, "", "")
    assert (tmp_path / "t.csv").read_text() == text
    status, out, _ = cli("table", sample)
    assert status == 0
    lines = out.splitlines()
    assert len(lines) == 5
    assert lines[0].split()[:3] == ["run_index", "run_id", "session"]
    assert "0.0001" in lines[4]


def test_diverged_runs_have_measure_zero(cli, tmp_path):
    path = tmp_path / "a.pvens"
    with create(path) as writer:
        group = writer.create_group(sample_runs(3))
        group.commit(10, {}, {"accuracy": ([10], np.array([[0.5, 0.9, 0.7]]))})
        group.set_states([1], "DIVERGED", step=10)
    rows = rows_of(cli("table", path, "--csv", "-")[1])
    assert [r["P1"] for r in rows] == ["0.5", "0", "0.7"]


def test_table_without_accuracy(cli, tmp_path):
    path = tmp_path / "a.pvens"
    with create(path) as writer:
        writer.create_group(sample_runs(2)).commit(10, {}, {"train_loss": ([10], np.ones((1, 2)))})
    status, out, _ = cli("table", path, "--csv", "-")
    assert status == 0
    assert "P1" not in out
    status, _, err = cli("table", path, "--p1", 10)
    assert status == 2
    assert "no accuracy is recorded" in err
    assert "train_loss" in err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--p1", "-5"], "P1 at step -5"),
        (["--interval", "30", "10"], "start is after the end"),
        (["--interval", "41", "60"], "no evaluated step"),
        (["--csv", "/nowhere/t.csv"], "/nowhere/t.csv: the table cannot be written"),
    ],
)
def test_mistakes_end_with_a_message(cli, sample, options, message):
    status, out, err = cli("table", sample, *options)
    assert status == 2
    assert out == ""
    assert message in err


def test_curves_in_long_form(cli, sample):
    status, out, err = cli("curves", sample)
    assert (status, err) == (0, "")
    rows = rows_of(out)
    assert list(rows[0]) == ["run_index", "step", "metric", "value"]
    assert len(rows) == 2 * 4 * 5
    for row in rows:
        accuracy = sample_accuracy([int(row["step"])], 4)[0, int(row["run_index"])]
        expected = accuracy if row["metric"] == "validation_accuracy" else 1 - accuracy
        assert float(row["value"]) == expected


def test_curves_of_diverged_runs_have_empty_and_infinite_cells(cli, tmp_path):
    path = tmp_path / "a.pvens"
    with create(path) as writer:
        first = writer.create_group(sample_runs(2))
        first.commit(3, {}, {"loss": ([1, 3], np.array([[1.5, np.inf], [0.5, np.nan]]))})
        writer.create_group(sample_runs(1, first=2)).commit(2, {}, {"loss": ([2], [[4.0]])})
    _, out, _ = cli("curves", path, "--csv", "-")
    assert out == (
        "run_index,step,metric,value\n0,1,loss,1.5\n0,3,loss,0.5\n1,1,loss,inf\n1,3,loss,\n"
        "2,2,loss,4\n"
    )


def test_empty_ensemble_gives_headers_only(cli, tmp_path):
    path = tmp_path / "a.pvens"
    create(path).finish()
    assert cli("curves", path) == (0, "run_index,step,metric,value\n", "")
    status, out, _ = cli("table", path, "--csv", "-")
    assert status == 0
    assert out.startswith("run_index,run_id,")
    assert len(out.splitlines()) == 1
    assert cli("table", path)[0] == 0
    status, out, _ = cli("info", path)
    assert status == 0
    assert "0 yet" in out
    assert cli("check", path)[0] == 0


def test_check_says_what_is_damaged(cli, sample):
    status, out, err = cli("check", sample)
    assert (status, err) == (0, "")
    assert "all as written" in out
    path = sample.with_name("sample.pvens.d") / "g000/conv1.weight/s000020.vtkhdf"
    path.write_bytes(path.read_bytes()[:-1])
    status, out, err = cli("check", sample)
    assert status == 2
    assert "problem: " in err
    assert "s000020.vtkhdf" in err
    assert "1 problem; " in err
    status, out, err = cli("check", sample, "--json")
    assert (status, err) == (2, "")
    content = json.loads(out)
    assert content["ok"] is False
    (finding,) = content["findings"]
    assert finding["level"] == "problem"
    assert finding["path"] == str(path)
    status, out, _ = cli("check", sample.with_name("other.pvens"))
    assert status == 2


@pytest.mark.parametrize("name", ["sample.pvens", "new.pvens", "sample.pvens.d/t.csv", ""])
@pytest.mark.parametrize("command", ["table", "curves"])
def test_a_table_never_replaces_an_ensemble(cli, sample, monkeypatch, command, name):
    monkeypatch.chdir(sample.parent)
    before = sample.read_bytes()
    status, out, err = cli(command, sample, "--csv", name)
    assert (status, out) == (2, "")
    assert "Is a directory" in err if name == "" else "belongs to an ensemble" in err
    assert sample.read_bytes() == before
    assert not (sample.parent / "new.pvens").exists()


def test_a_table_goes_into_a_pipe_and_through_a_link(cli, sample, tmp_path):
    _, text, _ = cli("table", sample, "--csv", "-")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    assert cli("table", sample, "--csv", pipe) == (0, "", "")
    assert os.read(reader, 1 << 16).decode() == text
    os.close(reader)
    assert pipe.is_fifo()
    link = tmp_path / "link.csv"
    link.symlink_to(tmp_path / "real.csv")
    assert cli("table", sample, "--csv", link) == (0, "", "")
    assert link.is_symlink()
    assert (tmp_path / "real.csv").read_text() == text


@pytest.mark.parametrize("command", ["info", "table", "curves"])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda p: p.write_bytes(p.read_bytes().replace(b'"step"', b'"stop"', 1)), "is damaged"),
        (lambda p: p.unlink(), "is missing or empty"),
        (lambda p: p.write_bytes(b""), "is missing or empty"),
    ],
)
def test_lost_records_are_told(cli, sample, command, damage, message):
    assert cli(command, sample)[2] == ""
    damage(sample.with_name("sample.pvens.d") / "g000/index.pvj")
    status, out, err = cli(command, sample)
    assert status == 0
    assert out
    assert "g000/index.pvj: " in err
    assert message in err
    assert f"see `pvensemble check {sample}`" in err


def test_an_unfinished_record_and_a_new_group_are_no_damage(cli, sample):
    index = sample.with_name("sample.pvens.d") / "g000/index.pvj"
    index.write_bytes(index.read_bytes()[:-3])
    (sample.with_name("sample.pvens.d") / "g001").mkdir()
    assert cli("info", sample)[2] == ""
