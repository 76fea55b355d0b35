"""Ensemble Reader: values by step, choices, time, live update, errors."""

from __future__ import annotations

import gc
import threading
import weakref
from time import monotonic

import numpy as np
import pytest
from ensembles import LAYERS, make_ensemble, tensor
from vtkmodules.vtkCommonDataModel import vtkCompositeDataSet

from pvensemble import schema
from pvensemble.errors import CorruptFileError, PipelineError, StoreError
from pvensemble.filters import reader as reader_module
from pvensemble.filters._base import run
from pvensemble.filters._sources import use_source
from pvensemble.filters.measures import PerformanceMeasures
from pvensemble.filters.reader import EnsembleReader
from pvensemble.store import Ensemble, EnsembleWriter, LayerInfo, RunInfo
from pvensemble.vtkdata import time
from pvensemble.vtkdata.arrays import stack_from_image, to_numpy
from pvensemble.vtkdata.runs import RunsData


@pytest.fixture(autouse=True)
def look_at_once(monkeypatch):
    monkeypatch.setattr(reader_module, "LIVE_INTERVAL", 0.0)


def reader_of(path):
    reader = EnsembleReader()
    reader.SetFileName(str(path))
    return reader


def blocks(reader, step):
    """Volumes of port 1 by name."""
    output = run(reader, time=step, port=1)
    count = output.GetNumberOfBlocks()
    name = vtkCompositeDataSet.NAME()
    return {output.GetMetaData(i).Get(name): output.GetBlock(i) for i in range(count)}


def published(reader, port):
    reader.UpdateInformation()
    return time.published_time_steps(reader.GetOutputInformation(port))


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    path = tmp_path_factory.mktemp("reader") / "grid.pvens"
    return make_ensemble(path, groups=2, sessions=2, categorical=True, diverged=(3,))


def test_it_tells_what_is_recorded_of_which_layer(truth):
    reader = reader_of(truth.path)
    assert reader.GetTensorNames() is None
    reader.UpdateInformation()
    expected = [f"{layer.name}.{kind}" for layer in LAYERS for kind in layer.kinds]
    assert reader.GetTensorNames() == expected


def tiled(truth, step, kind, layer, indices):
    """What a volume should hold, tiled by hand: x = in * kw, y = out * kh."""
    values = tensor(layer, kind, step, indices)
    if values.ndim == 3:
        return values
    n, out, into, height, width = values.shape
    return values.transpose(0, 1, 3, 2, 4).reshape(n, out * height, into * width)


# -- runs -----------------------------------------------------------------------------------------
def test_cell_i_is_run_i_with_its_parameters_and_curves(truth):
    runs = RunsData(run(reader_of(truth.path)))
    assert runs.run_index.tolist() == list(range(25))
    for name in ("learning_rate", "momentum", "optimizer", "nesterov", "batch_size"):
        assert runs.columns[name].tolist() == [p[name] for p in truth.params], name
    assert runs.columns["state"].tolist() == truth.states
    assert runs.columns["run_id"][7] == "run0007"
    assert runs.columns["session"].tolist() == ["coarse"] * 13 + ["fine"] * 12
    assert runs.hyper_parameters == [
        "learning_rate",
        "momentum",
        "optimizer",
        "nesterov",
        "batch_size",
    ]
    assert runs.scales["learning_rate"] == "log"
    assert runs.name == "grid"
    for metric, values in (
        ("validation_accuracy", truth.accuracy),
        ("validation_loss", truth.loss),
    ):
        steps, seen = runs.curve(metric)
        np.testing.assert_array_equal(steps, truth.steps)
        np.testing.assert_array_equal(seen, values)


@pytest.mark.parametrize(("asked", "step"), [(0, 0), (37, 30), (50, 50), (99.9, 90), (100, 100)])
def test_metric_columns_are_the_values_at_the_last_evaluated_step(truth, asked, step):
    runs = RunsData(run(reader_of(truth.path), time=asked))
    upto = truth.accuracy[:, : list(truth.steps).index(step) + 1]
    expected = [row[~np.isnan(row)][-1] for row in upto]
    np.testing.assert_array_equal(runs.columns["validation_accuracy"], expected)


def test_without_a_time_the_last_step_is_shown(truth):
    output = run(reader_of(truth.path))
    assert time.data_time(output) == 100
    values = RunsData(output).columns["validation_accuracy"]
    np.testing.assert_array_equal(values[:3], truth.accuracy[:3, -1])


def test_recorded_steps_are_the_time_steps_of_both_ports(truth):
    reader = reader_of(truth.path)
    assert published(reader, 0) == published(reader, 1) == [0.0, 50.0, 100.0]
    assert reader.GetTimestepValues() == [0.0, 50.0, 100.0]
    assert time.data_time(run(reader, time=70)) == 70.0
    assert time.data_time(run(reader, time=70, port=1)) == 50.0


def test_evaluated_steps_are_the_time_steps_where_nothing_was_recorded(tmp_path):
    made = make_ensemble(tmp_path / "curves.pvens", n_lr=2, n_momentum=2, recorded_steps=())
    reader = reader_of(made.path)
    assert published(reader, 0) == [float(s) for s in made.steps]
    assert RunsData(run(reader)).n_runs == 4
    assert blocks(reader, 50) == {}


def test_sessions_and_groups_choose_runs_and_run_index_stays(truth):
    reader = reader_of(truth.path)
    run(reader)
    reader.GetSessions().DisableArray("coarse")
    runs = RunsData(run(reader))
    assert runs.run_index.tolist() == list(range(13, 25))
    np.testing.assert_array_equal(runs.curve("validation_accuracy")[1], truth.accuracy[13:])
    reader.GetGroups().DisableArray("g000")
    runs = RunsData(run(reader))
    assert runs.run_index.tolist() == list(range(13, 25, 2))
    np.testing.assert_array_equal(
        runs.columns["learning_rate"], [truth.params[i]["learning_rate"] for i in runs.run_index]
    )
    reader.GetSessions().DisableAllArrays()
    assert RunsData(run(reader)).n_runs == 0


# -- tensors --------------------------------------------------------------------------------------
def test_nothing_is_read_by_default(truth):
    reader = reader_of(truth.path)
    assert blocks(reader, 50) == {}
    layers, kinds = reader.GetLayers(), reader.GetKinds()
    assert [layers.GetArrayName(i) for i in range(layers.GetNumberOfArrays())] == ["conv1", "conv2"]
    assert layers.GetNumberOfArraysEnabled() == 0
    assert [kinds.GetArrayName(i) for i in range(3)] == list(schema.KINDS[:3])


@pytest.mark.parametrize("step", [0, 50, 100])
def test_checked_layers_and_kinds_are_volumes_with_z_the_run(truth, step):
    reader = reader_of(truth.path)
    run(reader)
    reader.GetLayers().EnableArray("conv2")
    reader.GetKinds().DisableArray("gradient")
    volumes = blocks(reader, step + 7)
    assert list(volumes) == [
        "g000/conv2.weight",
        "g000/conv2.correlation",
        "g001/conv2.weight",
        "g001/conv2.correlation",
    ]
    for name, volume in volumes.items():
        group, _, kind = name.replace(".", "/").split("/")
        indices = truth.groups[int(group[1:])]
        expected = tiled(truth, step, kind, LAYERS[1], indices)
        np.testing.assert_array_equal(stack_from_image(volume, kind), expected, err_msg=name)
        assert to_numpy(volume.GetFieldData().GetArray("run_index")).tolist() == list(indices)
        assert volume.GetFieldData().GetArray("step").GetValue(0) == step
        assert volume.GetCellData().GetScalars().GetName() == kind
    assert stack_from_image(volumes["g001/conv2.weight"], "weight").shape == (12, 18, 12)


def test_volumes_hold_only_the_chosen_runs(truth):
    reader = reader_of(truth.path)
    run(reader)
    reader.GetLayers().EnableArray("conv1")
    reader.GetSessions().DisableArray("coarse")
    reader.GetGroups().DisableArray("g001")
    volumes = blocks(reader, 50)
    assert {name.split("/")[0] for name in volumes} == {"g000"}
    volume = volumes["g000/conv1.weight"]
    chosen = [i for i in truth.groups[0] if i >= 13]
    assert to_numpy(volume.GetFieldData().GetArray("run_index")).tolist() == chosen
    np.testing.assert_array_equal(
        stack_from_image(volume, "weight"), tiled(truth, 50, "weight", LAYERS[0], chosen)
    )


def test_choice_made_before_the_file_is_known_stays(truth):
    """A state file restores the check boxes before the file name."""
    reader = EnsembleReader()
    reader.GetLayers().AddArray("conv1", True)
    reader.GetSessions().AddArray("fine", False)
    reader.GetLayers().AddArray("no such layer", True)
    reader.SetFileName(str(truth.path))
    assert RunsData(run(reader)).n_runs == 13
    assert {name.split("/")[1] for name in blocks(reader, 0)} == {
        "conv1.weight",
        "conv1.gradient",
        "conv1.correlation",
    }
    assert not reader.GetLayers().ArrayExists("no such layer")


def test_listing_the_choices_does_not_ask_for_another_execution(truth):
    reader = EnsembleReader()
    reader.GetLayers().AddArray("no such layer", True)
    reader.SetFileName(str(truth.path))
    before = reader.GetMTime()
    reader.UpdateInformation()
    assert not reader.GetLayers().ArrayExists("no such layer")
    assert reader.GetMTime() == before


def test_unchanged_choice_reads_nothing_again(truth):
    reader = reader_of(truth.path)
    run(reader)
    before = reader.GetMTime()
    reader.GetSessions().EnableArray("fine")
    reader.SetFileName(str(truth.path))
    reader.UpdateInformation()
    assert reader.GetMTime() == before


def test_activations_bring_their_images_and_volumes_their_shape(tmp_path):
    kinds = (schema.CORRELATION, schema.ACTIVATION)
    made = make_ensemble(tmp_path / "maps.pvens", n_lr=2, n_momentum=2, groups=2, kinds=kinds)
    reader = reader_of(made.path)
    reader.UpdateInformation()
    reader.GetLayers().EnableArray("conv2")
    reader.GetGroups().DisableArray("g000")
    volumes = blocks(reader, 100)
    assert list(volumes) == ["g001/conv2.correlation", "g001/conv2.activation", "g001/probe.image"]
    shapes = {
        name: to_numpy(volume.GetFieldData().GetArray("shape")).tolist()
        for name, volume in volumes.items()
    }
    assert shapes["g001/conv2.correlation"] == [6, 6]
    assert shapes["g001/conv2.activation"] == [6, 2, 5, 5]
    assert shapes["g001/probe.image"] == [1, 2, 7, 7]
    images = stack_from_image(volumes["g001/probe.image"], "image")
    expected = np.arange(98).reshape(2, 7, 7).transpose(1, 0, 2).reshape(1, 7, 14) / 1000
    np.testing.assert_allclose(images, expected, rtol=1e-6)
    assert not volumes["g001/probe.image"].GetFieldData().HasArray("run_index")
    reader.GetKinds().DisableArray("activation")
    assert list(blocks(reader, 100)) == ["g001/conv2.correlation"]


# -- live -----------------------------------------------------------------------------------------
def test_new_steps_appear_while_training_writes(tmp_path):
    make_ensemble(tmp_path / "live.pvens", n_lr=2, n_momentum=2, finish=False)
    reader = reader_of(tmp_path / "live.pvens")
    runs = RunsData(run(reader))
    assert runs.columns["state"].tolist() == ["RUNNING"] * 4
    assert reader.GetNeedsUpdate() is False
    before = reader.GetMTime()
    with EnsembleWriter.open(tmp_path / "live.pvens") as writer:
        group = writer.open_group("g000")
        values = {("conv1", "weight"): np.full((4, 4, 1, 3, 3), 9, np.float32)}
        metrics = {"validation_accuracy": (np.array([110]), np.array([[0.1, 0.2, 0.3, 0.4]]))}
        group.commit(110, values, metrics)
        group.set_states([2], schema.COMPLETE, step=110)
        group.close()
    assert reader.GetMTime() == before
    assert reader.GetNeedsUpdate() is True
    assert reader.GetMTime() > before
    assert published(reader, 0) == [0.0, 50.0, 100.0, 110.0]
    runs = RunsData(run(reader, time=110))
    assert runs.columns["state"][2] == "COMPLETE"
    assert runs.columns["validation_accuracy"].tolist() == [0.1, 0.2, 0.3, 0.4]
    assert runs.curve("validation_accuracy")[0][-1] == 110
    assert reader.GetNeedsUpdate() is False


@pytest.mark.parametrize("asked_before", [True, False])
def test_filters_downstream_need_an_update_once_when_the_reader_had_one(tmp_path, asked_before):
    truth = make_ensemble(tmp_path / "live.pvens", n_lr=2, n_momentum=2, finish=False)
    reader, first, second = reader_of(truth.path), PerformanceMeasures(), PerformanceMeasures()
    first.SetInputConnection(reader.GetOutputPort(0))
    second.SetInputConnection(first.GetOutputPort(0))
    run(second)
    if asked_before:
        assert [a.GetNeedsUpdate() for a in (reader, first, second)] == [False] * 3
    with EnsembleWriter.open(truth.path) as writer:
        group = writer.open_group("g000")
        group.set_states([0], schema.PRUNED, step=100)
        group.close()
    assert [a.GetNeedsUpdate() for a in (reader, first, second)] == [True] * 3
    assert [a.GetNeedsUpdate() for a in (reader, first, second)] == [False] * 3


def test_files_are_looked_at_once_a_second_at_most(tmp_path, monkeypatch):
    truth = make_ensemble(tmp_path / "live.pvens", n_lr=2, n_momentum=2)
    reader = reader_of(truth.path)
    run(reader)
    looks, now = [], [100.0]
    monkeypatch.setattr(reader_module, "LIVE_INTERVAL", 1.0)
    monkeypatch.setattr(reader_module, "monotonic", lambda: now[0])
    monkeypatch.setattr(type(reader._ensemble), "refresh", lambda _: looks.append(1))
    for step in range(25):
        now[0] = 100 + step / 10
        reader.GetNeedsUpdate()
    assert len(looks) == 3


def test_a_group_that_comes_later_is_offered_and_shown(tmp_path):
    truth = make_ensemble(tmp_path / "live.pvens", n_lr=2, n_momentum=2, finish=False)
    reader = reader_of(truth.path)
    assert RunsData(run(reader)).n_runs == 4
    with EnsembleWriter.open(truth.path) as writer:
        layers = [LayerInfo("fc", "Linear", (2, 3), ("weight",))]
        run_info = RunInfo("late", {"learning_rate": 1.0, "momentum": 0.0}, session="evening")
        group = writer.create_group([run_info], layers)
        group.commit(0, {("fc", "weight"): np.ones((1, 2, 3), np.float32)}, {})
        group.close()
    assert reader.GetNeedsUpdate() is True
    runs = RunsData(run(reader))
    assert runs.columns["run_id"][4] == "late"
    assert reader.GetSessions().ArrayIsEnabled("evening")
    assert reader.GetLayers().ArrayExists("fc")
    reader.GetLayers().EnableArray("fc")
    volume = blocks(reader, 50)["g001/fc.weight"]
    assert stack_from_image(volume, "weight").tolist() == [[[1, 1, 1], [1, 1, 1]]]


def test_reading_beside_a_busy_writer_shows_whole_commits_only(tmp_path):
    truth = make_ensemble(tmp_path / "busy.pvens", n_lr=2, n_momentum=2, finish=False)
    last = 100 + 10 * 15

    def train():
        with EnsembleWriter.open(truth.path) as writer:
            group = writer.open_group("g000")
            for step in range(110, last + 1, 10):
                tensors = {("conv1", "weight"): np.full((4, 4, 1, 3, 3), step, np.float32)}
                metrics = {"validation_accuracy": (np.array([step]), np.full((1, 4), step / 1e3))}
                group.commit(step, tensors, metrics)
            group.close()

    reader = reader_of(truth.path)
    run(reader)
    reader.GetLayers().EnableArray("conv1")
    reader.GetKinds().DisableAllArrays()
    reader.GetKinds().EnableArray("weight")
    trainer = threading.Thread(target=train)
    trainer.start()
    seen = []
    end = monotonic() + 60
    while (not seen or seen[-1] < last) and monotonic() < end:
        reader.GetNeedsUpdate()
        steps = published(reader, 0)
        volume = blocks(reader, steps[-1])["g000/conv1.weight"]
        curve_steps, values = RunsData(reader.GetOutputDataObject(0)).curve("validation_accuracy")
        assert curve_steps[-1] == steps[-1]
        if steps[-1] > 100:
            assert (stack_from_image(volume, "weight") == steps[-1]).all()
            assert (values[:, -1] == steps[-1] / 1e3).all()
        seen.append(steps[-1])
    trainer.join()
    assert seen == sorted(seen)
    assert seen[-1] == last


def test_live_update_can_be_switched_off_and_refreshed_by_hand(tmp_path):
    truth = make_ensemble(tmp_path / "live.pvens", n_lr=2, n_momentum=2, finish=False)
    reader = reader_of(truth.path)
    reader.SetLiveUpdate(0)
    assert reader.GetNeedsUpdate() is False  # nothing open yet
    run(reader)
    with EnsembleWriter.open(truth.path) as writer:
        group = writer.open_group("g000")
        group.set_states([0], schema.PRUNED, step=100)
        group.close()
    assert reader.GetNeedsUpdate() is False
    assert RunsData(run(reader)).columns["state"][0] == "RUNNING"
    reader.Refresh()
    assert RunsData(run(reader)).columns["state"][0] == "PRUNED"


def test_ensemble_that_goes_bad_complains_once(tmp_path, monkeypatch):
    truth = make_ensemble(tmp_path / "bad.pvens", n_lr=2, n_momentum=2)
    reader = reader_of(truth.path)
    run(reader)
    index = tmp_path / "bad.pvens.d" / "g000" / "index.pvj"
    (tmp_path / "bad.pvens.d").rename(tmp_path / "gone.d")
    assert not index.exists()
    said = []
    monkeypatch.setattr(reader, "_show", said.append)
    assert [reader.GetNeedsUpdate() for _ in range(3)] == [False] * 3
    assert len(said) == 1
    reader.Refresh()
    assert len(said) == 2


# -- errors ---------------------------------------------------------------------------------------
@pytest.mark.expect_vtk_errors
def test_no_file_is_chosen():
    reader = EnsembleReader()
    reader.UpdateInformation()  # ParaView asks for that before it sets the name: no error
    with pytest.raises(PipelineError, match=r"Ensemble Reader: no file is chosen"):
        run(reader)


@pytest.mark.expect_vtk_errors
def test_file_that_does_not_exist(tmp_path):
    with pytest.raises(PipelineError, match="nowhere.pvens") as info:
        run(reader_of(tmp_path / "nowhere.pvens"))
    assert isinstance(info.value.__cause__, StoreError)


@pytest.mark.expect_vtk_errors
def test_file_that_is_no_ensemble_and_then_one(tmp_path):
    path = tmp_path / "x.pvens"
    path.write_text("hello")
    reader = reader_of(path)
    with pytest.raises(PipelineError, match=r"x\.pvens"):
        run(reader)
    truth = make_ensemble(tmp_path / "y.pvens", n_lr=2, n_momentum=2)
    reader.SetFileName(str(truth.path))
    assert RunsData(run(reader)).n_runs == 4


@pytest.mark.expect_vtk_errors
def test_damaged_tensor_is_named(tmp_path):
    truth = make_ensemble(tmp_path / "x.pvens", n_lr=2, n_momentum=2)
    damaged = next((tmp_path / "x.pvens.d/g000/conv1.weight").glob("s000050*"))
    data = bytearray(damaged.read_bytes())
    data[-5] ^= 1
    damaged.write_bytes(data)
    reader = reader_of(truth.path)
    run(reader)
    reader.GetLayers().EnableArray("conv1")
    assert len(blocks(reader, 0)) == 3
    with pytest.raises(PipelineError, match="s000050") as info:
        blocks(reader, 50)
    assert isinstance(info.value.__cause__, CorruptFileError)
    assert len(blocks(reader, 100)) == 3


def test_reader_is_not_kept_alive_by_its_choices(truth):
    reader = reader_of(truth.path)
    run(reader)
    gone = weakref.ref(reader)
    selection = reader.GetLayers()
    del reader
    gc.collect()
    assert gone() is None
    selection.EnableArray("conv1")  # nobody listens any more


@pytest.mark.expect_vtk_errors
def test_a_source_of_the_process_is_asked_before_files_are(truth, tmp_path):
    ensemble = Ensemble.open(truth.path)
    asked = []
    take_back = use_source(lambda path: asked.append(path) or ensemble)
    try:
        reader = reader_of(tmp_path / "not-written.pvens")
        runs = RunsData(run(reader, time=100))
        assert asked == [tmp_path / "not-written.pvens"]
        assert runs.n_runs == truth.n_runs
    finally:
        take_back()
    with pytest.raises(PipelineError, match="not-written"):
        run(reader_of(tmp_path / "not-written.pvens"))


def test_a_source_may_know_nothing_of_a_file(truth):
    take_back = use_source(lambda _path: None)
    try:
        assert RunsData(run(reader_of(truth.path))).n_runs == truth.n_runs
    finally:
        take_back()


def test_choices_are_not_looked_up_for_each_group(tmp_path, monkeypatch):
    """An ensemble of random networks has thousands of groups."""
    looked = []
    inner = reader_module._enabled
    monkeypatch.setattr(reader_module, "_enabled", lambda s: looked.append(s) or inner(s))
    counts = []
    for groups in (2, 5):
        path = make_ensemble(tmp_path / f"{groups}.pvens", groups=groups).path
        reader = reader_of(path)
        reader.UpdateInformation()
        reader.GetLayers().EnableArray("conv1")
        looked.clear()
        assert len(blocks(reader, 50)) == groups * 3  # kinds
        counts.append(len(looked))
    assert counts[0] == counts[1] > 0
