"""The commands on merged filters: train --reduce-filters, merges, reduce, export, info."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import torch

from pvensemble.cli import main
from pvensemble.store import Ensemble
from pvensemble.train.config import load_config
from pvensemble.train.data import load_data
from pvensemble.train.models import build_model
from pvensemble.train.search import sample_runs

TRAIN = (
    (
        "digits --workers 0 --set steps=12 data.train=200 data.validation=60 data.test=40 conv1=4 "
        "conv2=6 fc1=16 train.batch_size=16 evaluate.every=4 record.every=6 record.probe=24 "
        "session.space.learning_rate=[0.01,0.05] session.space.momentum=[0.9]"
    )
    .replace("conv1", "model.conv1")
    .replace("conv2", "model.conv2")
    .replace("fc1", "model.fc1")
)


@pytest.fixture(scope="module")
def ensembles(tmp_path_factory):
    """Return an ensemble in which filters were merged, and one in which none were."""
    directory = tmp_path_factory.mktemp("merges")
    merging, whole = directory / "merging.pvens", directory / "whole.pvens"
    more = ["--reduce-filters", "r>=0.3", "--every", "5"]
    assert main(["train", *TRAIN.split(), "-o", str(merging), *more]) == 0
    assert main(["train", *TRAIN.split(), "-o", str(whole)]) == 0
    return merging, whole


def settings(path):
    ensemble = Ensemble.open(path)
    config = load_config("digits", ensemble.provenance["overrides"])
    return sample_runs(config), load_data(config.data)


def rows_of(text: str) -> list[dict]:
    return list(csv.DictReader(text.splitlines()))


def test_merges_are_listed(ensembles, capsys):
    path, whole = ensembles
    assert main(["merges", str(path), "--csv", "-"]) == 0
    rows = rows_of(capsys.readouterr().out)
    events = Ensemble.open(path).merges()
    assert len(rows) == len(events) > 2
    for row, event in zip(rows, events):
        assert (int(row["run_index"]), int(row["step"]), row["layer"]) == event.key
        groups = tuple(tuple(map(int, g.split("+"))) for g in row["groups"].split())
        assert groups == event.groups
        assert float(row["accuracy_after"]) == event.accuracy[1]
    assert {int(row["step"]) for row in rows} <= {5, 10}
    assert main(["merges", str(path), "--runs", "1"]) == 0
    text = capsys.readouterr().out
    assert text.splitlines()[0].split() == [
        *("run", "step", "layer", "filters", "accuracy", "loss", "smallest", "r", "merged")
    ]
    assert " -> " in text
    assert all(line.split()[0] == "1" for line in text.splitlines()[1:])
    assert main(["merges", str(whole)]) == 0
    assert "no filters were merged: `pvensemble train --reduce-filters` does" in (
        capsys.readouterr().out
    )


def test_info_counts_them(ensembles, capsys):
    path, whole = ensembles
    events = Ensemble.open(path).merges()
    gone = sum(e.n_filters[0] - e.n_filters[1] for e in events)
    assert main(["info", str(path)]) == 0
    assert f"merged            {gone} filters in 2 runs" in capsys.readouterr().out
    assert main(["info", "--json", str(whole)]) == 0
    assert json.loads(capsys.readouterr().out)["merges"]["n_events"] == 0


def test_correlations_leave_out_what_was_merged_away(ensembles, capsys):
    path, _ = ensembles
    last = [e for e in Ensemble.open(path).merges() if (e.run, e.layer) == (0, "conv2")][-1]
    left = last.n_filters[1]
    options = ["--layer", "conv2", "--run", "0"]
    assert main(["correlate", str(path), *options]) == 0
    assert f": {left} filters ({6 - left} merged away), 0 dead" in capsys.readouterr().out
    assert main(["correlate", str(path), *options, "--csv", "-"]) == 0
    rows = rows_of(capsys.readouterr().out)
    standing = Ensemble.open(path).groups[0].standing(0, 12)["conv2"]
    assert [int(row["filter"]) for row in rows] == sorted(set(standing.tolist()))
    for name, more in (("similarity", ()), ("embed", ("--method", "classical"))):
        assert main([name, str(path), "--layer", "conv2", *more, "--csv", "-"]) == 0
        assert "nan" not in capsys.readouterr().out


def test_exported_network_loads_into_the_model_of_its_widths(ensembles, tmp_path, capsys):
    path, _ = ensembles
    specs, data = settings(path)
    for run, spec in enumerate(specs):
        compact, full = tmp_path / "compact.pt", tmp_path / "full.pt"
        assert main(["export", str(path), "--run", str(run), "-o", str(compact)]) == 0
        assert main(["export", str(path), "--run", str(run), "-o", str(full), "--full"]) == 0
        logits = []
        for file in (compact, full):
            state = torch.load(file, weights_only=True)
            options = dict(spec.settings.model.options)
            options.update({n: len(state[f"{n}.weight"]) for n in ("conv1", "conv2")})
            config = type(spec.settings.model)(spec.settings.model.name, options)
            model = build_model(config, input_shape=data.input_shape, n_classes=10, seed=5)
            model.load_state_dict(state)
            logits.append(model.eval()(data.test.images).detach())
        torch.testing.assert_close(*logits, rtol=1e-4, atol=1e-5)
        counts = Ensemble.open(path).curve("n_filters:conv1").values[run]
        assert len(torch.load(compact, weights_only=True)["conv1.bias"]) == counts[-1]
        assert len(torch.load(full, weights_only=True)["conv1.bias"]) == 4
    capsys.readouterr()


@pytest.mark.parametrize("which", [0, 1], ids=["merged before", "whole"])
def test_reduce_tells_what_is_lost(ensembles, which, tmp_path, capsys):
    """The accuracies in the table are those of the networks that it exports."""
    path = ensembles[which]
    specs, data = settings(path)
    out = tmp_path / "nets"
    options = ["--threshold", "0.15", "--csv", "-", "--export", str(out)]
    assert main(["reduce", str(path), *options]) == 0
    rows = rows_of(capsys.readouterr().out)
    assert [(r["run_index"], r["layer"]) for r in rows] == [
        (run, layer) for run in "01" for layer in ("conv1", "conv2")
    ]
    for run, spec in enumerate(specs):
        own = rows[2 * run : 2 * run + 2]
        for when, row in (("before", own[0]), ("after", own[1])):
            state = torch.load(out / f"run000{run}-step12-{when}.pt", weights_only=True)
            options = dict(spec.settings.model.options)
            options.update({r["layer"]: int(r[f"n_filters_{when}"]) for r in own})
            config = type(spec.settings.model)(spec.settings.model.name, options)
            model = build_model(config, input_shape=data.input_shape, n_classes=10, seed=5)
            model.load_state_dict(state)
            answers = model.eval()(data.test.images).argmax(1)
            accuracy = float((answers == data.test.labels).float().mean())
            assert float(row[f"accuracy_{when}"]) == pytest.approx(accuracy)
    assert any(int(r["n_filters_after"]) < int(r["n_filters_before"]) for r in rows)
    assert float(rows[0]["accuracy_after"]) == float(rows[1]["accuracy_before"])


def test_reduce_of_some_layers_and_runs(ensembles, capsys):
    _, path = ensembles
    options = [
        "--threshold",
        "1.0",
        "--runs",
        "1",
        "--layers",
        "conv2",
        "--split",
        "validation",
        "--images",
        "300",
    ]
    assert main(["reduce", str(path), *options]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[1].split()[:4] == ["1", "12", "conv2", "6"]
    measured = Ensemble.open(path).curve("validation_accuracy").values[1, -1]
    assert f" {100 * measured:.2f} %" in lines[1]


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (("reduce", "--threshold", "0"), "threshold: got 0, allowed: more than 0, at most 1"),
        (("reduce", "--threshold", "0.9", "--runs", "7"), "there is no run 7; there are runs 0 to"),
        (("reduce", "--threshold", "0.9", "--step", "6"), "not stored at step 6; stored are those"),
        (("reduce", "--threshold", "0.9", "--layers", "conv3"), "no convolution matches 'conv3'"),
        (("export", "-o", "x.pt", "--run", "9"), "there is no run 9, the runs are 0 to 1"),
        (("export", "-o", "x.pvens", "--run", "0"), "this name belongs to an ensemble"),
    ],
)
def test_mistakes_are_told(ensembles, command, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name, *options = command
    assert main([name, str(ensembles[1]), *options]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--reduce-filters", "r>0.9"), "--reduce-filters: got 'r>0.9', allowed: 'r>=0.9'"),
        (("--reduce-filters", "1.2.3"), "--reduce-filters: got '1.2.3', allowed: 'r>=0.9'"),
        (("--every", "5"), "--every: goes with --reduce-filters"),
        (("--reduce-filters", "2"), "reduce.threshold: got 2.0, allowed: at most 1"),
    ],
)
def test_wrong_conditions_are_told(options, message, capsys, tmp_path):
    assert main(["train", "digits", "-o", str(tmp_path / "x.pvens"), "--dry-run", *options]) == 2
    assert message in capsys.readouterr().err


def test_dry_run_refuses_what_cannot_be_merged(capsys, tmp_path):
    command = ["train", "digits", "--dry-run", "-o", str(tmp_path / "x.pvens"), "--set"]
    assert main([*command, "reduce.layers=conv9", "reduce.threshold=0.9"]) == 2
    assert "reduce.layers: no convolution matches 'conv9'" in capsys.readouterr().err
    np.testing.assert_array_equal(list(tmp_path.iterdir()), [])
