"""The ensemble that is being trained, as readers see it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ensembles import make_ensemble

from pvensemble.filters._base import run
from pvensemble.filters._sources import use_source
from pvensemble.filters.reader import EnsembleReader
from pvensemble.insitu.catalyst.channels import Channels
from pvensemble.insitu.feed import Feed
from pvensemble.store import EnsembleWriter
from pvensemble.vtkdata.arrays import to_numpy
from pvensemble.vtkdata.runs import RunsData

N = 6
GROUP = "g000"


@pytest.fixture
def path(tmp_path) -> Path:
    """Six runs that have been recorded at step 0 and go on."""
    truth = make_ensemble(
        tmp_path / "e.pvens", n_lr=3, n_momentum=2, steps=[0], recorded_steps=[0], finish=False
    )
    return truth.path


@pytest.fixture
def feed(path):
    feed = Feed.open(path)
    feed.named(GROUP).begin(frozenset({0, 10, 20, 30}))
    take_back = use_source(feed.view)
    yield feed
    take_back()


def tensors(step: int) -> dict:
    """Return tensors as the trainer has them."""
    values = np.random.default_rng(step)
    return {
        ("conv1", "weight"): values.normal(size=(N, 4, 1, 3, 3)).astype(np.float32),
        ("conv1", "correlation"): values.normal(size=(N, 4, 4)).astype(np.float32),
        ("network", "values"): np.zeros((N, 3), np.float32),
    }


def metrics(*steps: int) -> dict:
    at = np.array(steps)
    return {"validation_accuracy": (at, at[:, None] / 100 + np.arange(N) / 1000)}


def block(data, name: str):
    for i in range(data.GetNumberOfBlocks()):
        if data.GetMetaData(i).Get(data.NAME()) == name:
            return data.GetBlock(i)
    raise KeyError(name)


def test_tensors_of_the_newest_step_are_the_trainers_own_memory(feed):
    newest = tensors(10)
    feed.named(GROUP).add(10, metrics(10), newest)
    feed.changed()
    shown = Channels(feed).at(10)
    correlation = block(shown["tensors"], "g000/conv1.correlation")
    array = to_numpy(correlation.GetCellData().GetArray("correlation"))
    assert np.shares_memory(array, newest["conv1", "correlation"])
    weight = block(shown["tensors"], "g000/conv1.weight")  # filters are tiled to a wall
    array = to_numpy(weight.GetCellData().GetArray("weight")).reshape(N, 4, 3, 3)
    np.testing.assert_array_equal(array, newest["conv1", "weight"][:, :, 0])
    assert to_numpy(weight.GetFieldData().GetArray("step")) == [10]


def test_runs_have_states_and_metrics_of_the_step(feed):
    group = feed.named(GROUP)
    group.add(5, metrics(5), {})
    group.add(10, metrics(5, 10), {})  # rows that were seen already come again
    group.set_states([2], "DIVERGED", 10, "planted")
    feed.changed()
    runs = RunsData(Channels(feed).at(10)["runs"])
    assert runs.name == feed.name
    np.testing.assert_allclose(runs.columns["validation_accuracy"], 0.1 + np.arange(N) / 1000)
    steps, values = runs.curve("validation_accuracy")
    assert steps.tolist() == [0, 5, 10]
    np.testing.assert_allclose(values[:, 1], 0.05 + np.arange(N) / 1000)
    assert runs.columns["state"].tolist() == ["RUNNING"] * 2 + ["DIVERGED"] + ["RUNNING"] * 3
    assert runs.columns["reason"][2] == "planted"
    assert runs.columns["last_step"].tolist() == [10] * N


def test_a_reader_of_any_file_name_shows_the_training_and_follows_it(feed):
    reader = EnsembleReader()
    reader.SetFileName("/gone/other.pvens")
    run(reader)
    assert reader.GetTimestepValues() == [0]
    feed.named(GROUP).add(10, metrics(10), tensors(10))
    feed.changed()
    reader.Refresh()
    assert reader.GetTimestepValues() == [0, 10]
    runs = RunsData(run(reader, time=10))
    np.testing.assert_allclose(runs.columns["validation_accuracy"], 0.1 + np.arange(N) / 1000)


def test_older_steps_come_from_the_files_once_they_are_there(feed, path):
    group = feed.named(GROUP)
    written = {key: value for key, value in tensors(10).items() if key[0] == "conv1"}
    group.add(10, metrics(10), written)
    group.add(15, metrics(15), tensors(15))  # not recorded, and seen only while it is the newest
    assert group.recorded_steps() == [0, 10, 15]  # 10 waits for the disk, so memory has it
    held = group.tensor("conv1", "correlation", 10)
    assert np.shares_memory(held, written["conv1", "correlation"])
    writer = EnsembleWriter.open(path)
    stored = writer.open_group(GROUP)
    stored.commit(10, written, metrics(10))
    stored.close()
    group.add(20, metrics(20), tensors(20))
    assert group.recorded_steps() == feed.recorded_steps == [0, 10, 20]
    again = group.tensor("conv1", "correlation", 10)
    assert not np.shares_memory(again, written["conv1", "correlation"])
    np.testing.assert_array_equal(again, held)
    np.testing.assert_array_equal(group.filters("conv1", "weight", 10), written["conv1", "weight"])
    assert group.recorded_steps("conv1", "gradient") == [0]
    writer.finish()
