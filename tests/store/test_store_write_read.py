"""What was written is read back, value by value."""

from __future__ import annotations

import json

import h5py
import numpy as np
import pytest
from store_samples import (
    LAYERS,
    SHAPES,
    create,
    fill,
    sample_accuracy,
    sample_metrics,
    sample_runs,
    sample_tensor,
    sample_tensors,
)

from pvensemble.errors import CorruptFileError, NotRecordedError, StoreError
from pvensemble.store import Ensemble, EnsembleWriter, LayerInfo, RunInfo, SessionInfo


def test_tensors_are_as_written(sample):
    (group,) = Ensemble.open(sample).groups
    assert group.recorded_steps() == [0, 20, 40]
    for key in SHAPES:
        assert group.recorded_steps(*key) == [0, 20, 40]
        for step in (0, 20, 40):
            np.testing.assert_array_equal(group.filters(*key, step), sample_tensor(key, step, 4))


def test_convolutions_are_tiled_filters_down_inputs_across(sample):
    (group,) = Ensemble.open(sample).groups
    stack = group.tensor("conv1", "weight", 20)
    assert stack.shape == (4, 3 * 5, 2 * 4)
    assert stack.dtype == np.float32
    assert stack.flags.c_contiguous
    weights = sample_tensor(("conv1", "weight"), 20, 4)
    for run, out, inner in [(0, 0, 0), (1, 2, 1), (3, 1, 0)]:
        block = stack[run, 5 * out : 5 * out + 5, 4 * inner : 4 * inner + 4]
        np.testing.assert_array_equal(block, weights[run, out, inner])


def test_matrices_stay(sample):
    (group,) = Ensemble.open(sample).groups
    key = ("conv1", "correlation")
    np.testing.assert_array_equal(group.tensor(*key, 40), sample_tensor(key, 40, 4))


@pytest.mark.parametrize(
    "shape", [(), (5,), (3, 4), (3, 2, 5), (3, 2, 5, 4), (3, 2, 2, 5, 4), (1, 1)]
)
@pytest.mark.parametrize("n_runs", [1, 3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_every_shape_comes_back(tmp_path, shape, n_runs, dtype):
    values = np.random.default_rng(1).normal(size=(n_runs, *shape)).astype(dtype)
    with create(tmp_path / "a.pvens") as writer:
        group = writer.create_group(sample_runs(n_runs), [LayerInfo("x", "X", shape, ("weight",))])
        group.commit(3, {("x", "weight"): values})
    (group,) = Ensemble.open(tmp_path / "a.pvens").groups
    np.testing.assert_array_equal(group.filters("x", "weight", 3), values.astype(np.float32))
    assert group.tensor("x", "weight", 3).ndim == 3


def test_writing_into_a_tensor_does_not_change_the_next_reader(sample):
    (group,) = Ensemble.open(sample).groups
    group.tensor("conv1", "weight", 0)[:] = 7
    np.testing.assert_array_equal(
        group.filters("conv1", "weight", 0), sample_tensor(("conv1", "weight"), 0, 4)
    )


def test_float16_is_smaller_on_disk(tmp_path):
    values = np.random.default_rng(1).normal(size=(20, 64, 64))
    with create(tmp_path / "a.pvens") as writer:
        group = writer.create_group(
            sample_runs(20), [LayerInfo("x", "Linear", (64, 64), ("weight", "gradient"))]
        )
        group.commit(
            0,
            {
                ("x", "weight"): values.astype(np.float32),
                ("x", "gradient"): values.astype(np.float16),
            },
        )
    sizes = [p.stat().st_size for p in sorted(tmp_path.rglob("*.vtkhdf"))]
    assert sizes[0] < 0.7 * sizes[1]


def test_curves_are_as_written(sample):
    ensemble = Ensemble.open(sample)
    assert ensemble.metric_names == ["validation_accuracy", "train_loss"]
    assert ensemble.accuracy_metric == "validation_accuracy"
    assert ensemble.loss_metric == "train_loss"
    steps = np.arange(0, 41, 10)
    for metric, expected in [
        ("validation_accuracy", sample_accuracy(steps, 4)),
        ("train_loss", 1 - sample_accuracy(steps, 4)),
    ]:
        curve = ensemble.curve(metric)
        assert curve.steps.dtype == np.int64
        np.testing.assert_array_equal(curve.steps, steps)
        np.testing.assert_array_equal(curve.values, expected.T)


def test_metrics_of_different_steps_share_a_commit(tmp_path):
    with create(tmp_path / "a.pvens") as writer:
        group = writer.create_group(sample_runs(2))
        group.commit(
            4,
            {},
            {
                "train_loss": ([1, 2, 3, 4], np.arange(8.0).reshape(4, 2)),
                "loss/".rstrip("/"): ([2, 4], np.arange(4.0).reshape(2, 2) + 50),
                "steps": ([4], np.array([[1.5, np.nan]], np.float32)),
            },
        )
        assert group.recorded_steps == []
    ensemble = Ensemble.open(tmp_path / "a.pvens")
    assert ensemble.recorded_steps == []
    assert ensemble.curve("train_loss").values.tolist() == [[0, 2, 4, 6], [1, 3, 5, 7]]
    assert ensemble.curve("loss").steps.tolist() == [2, 4]
    assert ensemble.curve("loss").values.tolist() == [[50, 52], [51, 53]]
    np.testing.assert_array_equal(ensemble.curve("steps").values, [[1.5], [np.nan]])


def test_commits_of_metrics_at_one_step_do_not_replace_each_other(tmp_path):
    with create(tmp_path / "a.pvens") as writer:
        group = writer.create_group(sample_runs(1))
        for i, metric in enumerate(["loss", "accuracy", "norm"]):
            group.commit(4, {}, {metric: ([4], [[i + 0.5]])})
    ensemble = Ensemble.open(tmp_path / "a.pvens")
    values = [ensemble.curve(m).values.tolist() for m in ("loss", "accuracy", "norm")]
    assert values == [[[0.5]], [[1.5]], [[2.5]]]


def test_image_follows_the_specification(sample):
    """VTKHDF 1.0, with what older readers insist on: a type of fixed length in ASCII."""
    path = sample.with_name("sample.pvens.d") / "g000/conv1.weight/s000020.vtkhdf"
    with h5py.File(path, "r") as file:
        assert list(file) == ["VTKHDF"]
        root = file["VTKHDF"]
        kind = root.attrs.get_id("Type").get_type()
        assert not kind.is_variable_str()
        assert kind.get_cset() == h5py.h5t.CSET_ASCII
        assert root.attrs["Type"] == b"ImageData"
        assert root.attrs["Version"].tolist() == [1, 0]
        assert root.attrs["WholeExtent"].tolist() == [0, 8, 0, 15, 0, 4]
        assert root.attrs["Origin"].tolist() == [0, 0, 0]
        assert root.attrs["Spacing"].tolist() == [1, 1, 1]
        assert root.attrs["Direction"].tolist() == [1, 0, 0, 0, 1, 0, 0, 0, 1]
        assert list(root) == ["CellData"]
        data = root["CellData/weight"]
        assert (data.shape, data.dtype, data.chunks) == ((4, 15, 8), np.float32, None)
    assert path.read_bytes()[8] == 0  # version 0 of the superblock: every HDF5 reads it


def test_nan_and_infinity_survive(tmp_path):
    values = np.array([[np.nan, np.inf, -np.inf, 1e-300]])
    with create(tmp_path / "a.pvens") as writer:
        group = writer.create_group(sample_runs(4), LAYERS)
        tensors = sample_tensors(0, 4)
        tensors["conv1", "weight"][1] = np.nan
        tensors["conv1", "gradient"][2] = -np.inf
        group.commit(0, tensors, {"loss": ([0], values)})
        group.set_states([1], "DIVERGED", step=7, reason="loss is NaN")
    ensemble = Ensemble.open(tmp_path / "a.pvens")
    np.testing.assert_array_equal(ensemble.curve("loss").values, values.T)
    (group,) = ensemble.groups
    for key, tensor in tensors.items():
        np.testing.assert_array_equal(group.filters(*key, 0), tensor)


def test_replayed_steps_and_rows_are_dropped(tmp_path):
    path = tmp_path / "a.pvens"
    with create(path) as writer:
        fill(writer.create_group(sample_runs(2), LAYERS), (0, 20))
    group = EnsembleWriter.open(path).open_group("g000")
    wrong = {key: tensor + 99 for key, tensor in sample_tensors(20, 2).items()}
    assert group.commit(20, wrong, {}) is False
    rows = np.concatenate([np.full((1, 2), 77.0), sample_accuracy([30], 2)])
    assert group.commit(20, wrong, {"validation_accuracy": ([20, 30], rows)}) is True
    assert group.metric_steps == {"validation_accuracy": 30, "train_loss": 20}
    group.close()
    ensemble = Ensemble.open(path)
    assert ensemble.recorded_steps == [0, 20]
    curve = ensemble.curve("validation_accuracy")
    np.testing.assert_array_equal(curve.values, sample_accuracy([0, 10, 20, 30], 2).T)
    for key in SHAPES:
        np.testing.assert_array_equal(
            ensemble.groups[0].filters(*key, 20), sample_tensor(key, 20, 2)
        )


def test_several_groups_merge_by_run_index(tmp_path):
    path = tmp_path / "a.pvens"
    with create(path) as writer:
        second = writer.create_group(sample_runs(2, first=3), LAYERS)
        first = writer.create_group(sample_runs(3, first=0), LAYERS[:1])
        late = writer.create_group(sample_runs(1, first=None), [])
        second.commit(20, {}, {"loss": ([10, 20], np.array([[3.0, 4], [13, 14]]))})
        first.commit(30, {}, {"loss": ([20, 30], np.array([[10.0, 11, 12], [20, 21, 22]]))})
        late.commit(10, {}, {"accuracy": ([10], np.array([[0.5]]))})
    ensemble = Ensemble.open(path)
    assert [g.name for g in ensemble.groups] == ["g000", "g001", "g002"]
    assert [g.run_indices.tolist() for g in ensemble.groups] == [[3, 4], [0, 1, 2], [5]]
    assert ensemble.n_runs == 6
    assert ensemble.layers == ["conv1", "features.0"]
    nan = np.nan
    curve = ensemble.curve("loss")
    assert curve.steps.tolist() == [10, 20, 30]
    np.testing.assert_array_equal(
        curve.values.T,
        [[nan, nan, nan, 3, 4, nan], [10, 11, 12, 13, 14, nan], [20, 21, 22, nan, nan, nan]],
    )
    assert ensemble.run_table()["run_id"].tolist() == [
        "run-0-0", "run-0-1", "run-0-2", "run-3-0", "run-3-1", "run-0-0"
    ]  # fmt: skip


def test_states_and_last_steps(tmp_path):
    path = tmp_path / "a.pvens"
    with create(path) as writer:
        group = writer.create_group(sample_runs(5), LAYERS)
        group.set_states([0, 1, 2, 3], "RUNNING", step=0)
        group.commit(40, sample_tensors(40, 5))
        group.set_states([1, 3], "DIVERGED", step=17, reason="loss is infinite")
        group.set_states([2], "PRUNED", step=30, reason="not promising")
        group.set_states([], "FAILED", step=1)
        assert group.states == ["RUNNING", "DIVERGED", "PRUNED", "DIVERGED", "WAITING"]
    table = Ensemble.open(path).run_table()
    assert table["state"].tolist() == ["RUNNING", "DIVERGED", "PRUNED", "DIVERGED", "WAITING"]
    assert table["reason"].tolist() == [
        "",
        "loss is infinite",
        "not promising",
        "loss is infinite",
        "",
    ]
    assert table["last_step"].tolist() == [40, 17, 30, 17, 0]


def test_checkpoint_round_trip_keeps_two(tmp_path):
    path = tmp_path / "a.pvens"
    with create(path) as writer:
        group = writer.create_group(sample_runs(2), LAYERS)
        assert group.read_checkpoint() is None
        for step in (10, 20, 30):
            arrays = {
                "layer/weight": np.full((2, 3), step, np.float32),
                "layer/deep/keys": np.arange(step, dtype=np.uint64),
                "mask": np.array([True, False]),
                "count": np.array(step, np.int64),
                "empty": np.empty((0, 3)),
            }
            group.write_checkpoint(step, arrays, {"order": [step, None], "x": float("inf")})
        found = group.read_checkpoint()
    assert found.step == 30
    assert found.meta == {"order": [30, None], "x": float("inf")}
    assert set(found.arrays) == set(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found.arrays[name], array)
        assert found.arrays[name].dtype == array.dtype
    names = sorted(p.name for p in (tmp_path / "a.pvens.d/g000").iterdir())
    assert names == ["checkpoint-A.hdf", "checkpoint-B.hdf", "index.pvj"]


def test_damaged_newest_checkpoint_falls_back_to_the_one_before(sample):
    writer = EnsembleWriter.open(sample)
    path = sample.with_name("sample.pvens.d") / "g000" / "checkpoint-B.hdf"
    path.write_bytes(path.read_bytes()[:-1])
    with writer.open_group("g000") as group:
        assert group.read_checkpoint().step == 20
        assert group.read_checkpoint().arrays["a/w"].tolist() == [0, 1, 2]
        path.with_name("checkpoint-A.hdf").unlink()
        with pytest.raises(CorruptFileError, match="checkpoint-B"):
            group.read_checkpoint()


def test_writing_goes_on_after_reopening(tmp_path):
    path = tmp_path / "a.pvens"
    writer = create(path)
    group = writer.create_group(sample_runs(3), LAYERS)
    group.commit(0, sample_tensors(0, 3), sample_metrics(-10, 0, 3))
    group.skip(10, "disk full")
    group.close()
    group = EnsembleWriter.open(path).open_group("g000")
    assert group.runs == sample_runs(3)
    assert group.layers == LAYERS
    group.commit(20, sample_tensors(20, 3), sample_metrics(0, 20, 3))
    group.close()
    ensemble = Ensemble.open(path)
    assert ensemble.recorded_steps == [0, 20]
    assert ensemble.groups[0].skipped == [(10, "disk full")]
    assert ensemble.curve("train_loss").steps.tolist() == [0, 10, 20]


def test_leftovers_of_a_killed_writer_are_removed(sample):
    group = sample.with_name("sample.pvens.d") / "g000"
    left = group / "conv1.weight" / ".s000060.vtkhdf.123.tmp"
    left.write_bytes(b"x")
    EnsembleWriter.open(sample).open_group("g000").close()
    assert not left.exists()


def test_description_is_kept(sample):
    for path in (sample, str(sample), sample.with_name("sample.pvens.d")):
        ensemble = Ensemble.open(path)
        assert ensemble.path == sample
        assert ensemble.name == "sample"
        assert ensemble.schema_version == 1
        assert ensemble.sessions == [SessionInfo("grid", "#aa0000", {"learning_rate": [0.1, 0.01]})]
        assert [p.name for p in ensemble.hyper_parameters] == [
            "learning_rate", "width", "optimizer", "nesterov"
        ]  # fmt: skip
        assert ensemble.groups[0].runs == sample_runs(4)
        assert ensemble.groups[0].layers == LAYERS
        assert "pvensemble" in ensemble.provenance["versions"]


def test_series_lists_the_recorded_steps(sample):
    group = sample.with_name("sample.pvens.d") / "g000"
    series = json.loads((group / "features.0.weight.vtkhdf.series").read_text())
    assert series == {
        "file-series-version": "1.0",
        "files": [
            {"name": f"features.0.weight/s{step:06d}.vtkhdf", "time": step} for step in (0, 20, 40)
        ],
    }


def test_series_is_fresh_after_every_commit(tmp_path):
    group = create(tmp_path / "a.pvens").create_group(sample_runs(2), LAYERS)
    for n, step in enumerate((0, 5, 9), start=1):
        group.commit(step, sample_tensors(step, 2))
        series = json.loads((group.path / "conv1.weight.vtkhdf.series").read_text())
        assert len(series["files"]) == n
        assert series["files"][-1]["time"] == step
    group.close()


def test_missing_things_are_named(sample):
    ensemble = Ensemble.open(sample)
    (group,) = ensemble.groups
    with pytest.raises(NotRecordedError, match="conv1.wieght.*did you mean 'conv1.weight'"):
        group.tensor("conv1", "wieght", 0)
    with pytest.raises(NotRecordedError, match="not recorded at step 30"):
        group.tensor("conv1", "weight", 30)
    with pytest.raises(NotRecordedError, match="did you mean 'train_loss'"):
        ensemble.curve("trainloss")


@pytest.mark.parametrize(
    ("tensors", "metrics", "error", "message"),
    [
        ({("conv1", "bias"): np.zeros((2, 3))}, {}, NotRecordedError, "conv1.bias.*not announced"),
        ({("conv1", "weight"): np.zeros((3, 3, 2, 5, 4))}, {}, StoreError, "first axis is the run"),
        ({("conv1", "weight"): np.zeros((2, 0))}, {}, StoreError, "no elements"),
        ({}, {"a/b": ([1], np.zeros((1, 2)))}, StoreError, "name of a metric is 'a/b'"),
        ({}, {"loss": ([1, 2], np.zeros((1, 2)))}, StoreError, r"\(1, 2\).*\(2, 2\)"),
        ({}, {"loss": ([2, 1], np.zeros((2, 2)))}, StoreError, "do not ascend"),
        ({}, {"loss": ([-1], np.zeros((1, 2)))}, StoreError, "do not ascend"),
    ],
)
def test_impossible_commits_are_refused_and_store_nothing(
    tmp_path, tensors, metrics, error, message
):
    group = create(tmp_path / "a.pvens").create_group(sample_runs(2), LAYERS)
    before = (group.path / "index.pvj").read_bytes()
    with pytest.raises(error, match=message):
        group.commit(10, tensors, metrics)
    assert (group.path / "index.pvj").read_bytes() == before
    for step in (-1, 1.5):
        with pytest.raises(StoreError, match="whole number"):
            group.commit(step, {})
    with pytest.raises(StoreError, match="did you mean 'COMPLETE'"):
        group.set_states([0], "COMPLETED", step=1)
    with pytest.raises(StoreError, match="no run at position 2"):
        group.set_states([2], "COMPLETE", step=1)
    group.close()


@pytest.mark.parametrize(
    ("runs", "layers", "message"),
    [
        ([], [], "without runs"),
        ([RunInfo("a", {}), RunInfo("a", {})], [], "'a' occurs 2 times"),
        ([RunInfo("a", {"state": 1})], [], "column of every run table"),
        ([RunInfo("a", {"x/y": 1})], [], "name of a hyper-parameter"),
        ([RunInfo("a", {"x": [1]})], [], r"value is \[1\]"),
        ([RunInfo("a", {}, seed=2**63)], [], "more than 64 bits"),
        ([RunInfo("a", {})], [LayerInfo("x", "X", (1,)), LayerInfo("x", "X", (1,))], "same name"),
    ],
)
def test_impossible_groups_are_refused_and_leave_nothing(tmp_path, runs, layers, message):
    writer = create(tmp_path / "a.pvens")
    with pytest.raises(StoreError, match=message):
        writer.create_group(runs, layers)
    assert list((tmp_path / "a.pvens.d").iterdir()) == []


@pytest.mark.parametrize("space", [{"x": float("nan")}, {"x": {1, 2}}])
def test_what_json_cannot_hold_is_refused(tmp_path, space):
    with pytest.raises(StoreError, match="cannot be written as JSON"):
        create(tmp_path / "a.pvens", sessions=[SessionInfo("s", space=space)])
    assert list(tmp_path.iterdir()) == []


def test_group_names(tmp_path):
    writer = create(tmp_path / "a.pvens")
    assert writer.create_group(sample_runs(1), name="g007").name == "g007"
    assert writer.create_group(sample_runs(1)).name == "g000"
    with pytest.raises(StoreError, match="exists"):
        writer.create_group(sample_runs(1), name="g000")
    with pytest.raises(StoreError, match="'g' and digits"):
        writer.create_group(sample_runs(1), name="../g000")
    with pytest.raises(StoreError, match="no group 'g001'; there are: g000, g007"):
        writer.open_group("g001")
    writer.finish()


def test_existing_ensemble_is_not_overwritten(sample):
    before = sample.read_bytes()
    with pytest.raises(StoreError, match="exists"):
        create(sample)
    assert sample.read_bytes() == before
    sample.unlink()
    with pytest.raises(StoreError, match="holds groups of an ensemble whose manifest"):
        create(sample)


def test_joining_adds_what_the_manifest_does_not_know(sample):
    writer = create(sample, exist_ok=True, sessions=[SessionInfo("mine", "#00ff00")])
    with writer, writer.create_group([RunInfo("z", {"dropout": 0.5, "width": 3}, session="mine")]):
        pass
    ensemble = Ensemble.open(sample)
    assert [s.name for s in ensemble.sessions] == ["grid", "mine"]
    assert ensemble.sessions[1].color == "#00ff00"
    assert ensemble.hyper_parameters[-1].name == "dropout"
    assert ensemble.hyper_parameters[-1].type == "float"
    table = ensemble.run_table()
    np.testing.assert_array_equal(table["dropout"], [np.nan] * 4 + [0.5])
    np.testing.assert_array_equal(table["width"], [8, 16, 24, 32, 3])
