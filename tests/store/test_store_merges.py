"""Records of merged filters: written once, read by all, unknown to older readers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pvensemble import schema
from pvensemble.errors import StoreError
from pvensemble.store import (
    BackgroundWriter,
    Ensemble,
    EnsembleWriter,
    LayerInfo,
    MergeEvent,
    Reducible,
    RunInfo,
    group_index,
)

FIRST = MergeEvent(1, 10, "conv1", [[0, 2], [1, 3]], [0.95, 0.91], (4, 2), (0.5, 0.6), (1.0, 0.9))
SECOND = MergeEvent(0, 20, "conv1", [[0, 3]], [1.0], (4, 3), (math.nan, 0.5), (math.inf, 2.0))
REDUCIBLE = Reducible("conv1", 4, ("norm",), "fc", 2)
PARAMETERS = {
    "conv1.weight": (4, 1, 3, 3),
    "conv1.bias": (4,),
    "norm.running_var": (4,),
    "norm.num_batches_tracked": (),
    "fc.weight": (3, 8),
    "fc.bias": (3,),
}


def make(path, **options):
    writer = EnsembleWriter.create(path)
    runs = [RunInfo("a", {}), RunInfo("b", {})]
    kinds = (schema.WEIGHT, schema.FILTER_GROUP)
    layers = [LayerInfo("conv1", "Conv2d", (4, 1, 3, 3), kinds)]
    return writer, writer.create_group(runs, layers, **options)


def test_events_are_stored_once_and_in_order(tmp_path):
    path = tmp_path / "e.pvens"
    writer, group = make(path)
    group.add_merges([SECOND, FIRST])
    group.add_merges([FIRST])
    group.close()
    with writer.open_group("g000") as again:
        again.add_merges([SECOND])
    found = Ensemble.open(path).merges()
    assert [event.key for event in found] == [FIRST.key, SECOND.key]
    assert found[0] == FIRST
    assert found[0].groups == ((0, 2), (1, 3))
    assert math.isnan(found[1].accuracy[0])
    assert not math.isfinite(found[1].loss[0])
    summary = Ensemble.open(path).summary()["merges"]
    assert summary == {"n_events": 2, "n_runs": 2, "n_filters": 3}


def test_events_come_in_order_with_the_steps(tmp_path):
    path = tmp_path / "e.pvens"
    _, group = make(path)
    with BackgroundWriter(group) as background:
        background.add_merges([FIRST])
        background.submit(10, {("conv1", schema.WEIGHT): np.zeros((2, 4, 1, 3, 3), np.float32)})
    group.close()
    assert Ensemble.open(path).merges() == [FIRST]


def test_older_readers_do_not_mind(tmp_path, monkeypatch):
    path = tmp_path / "e.pvens"
    _, group = make(path, reducible=[REDUCIBLE])
    group.add_merges([FIRST])
    group.commit(10, {("conv1", schema.WEIGHT): np.ones((2, 4, 1, 3, 3), np.float32)})
    group.close()
    known = group_index.KNOWN_RECORDS - {"merge"}
    monkeypatch.setattr(group_index, "KNOWN_RECORDS", known)
    ensemble = Ensemble.open(path)
    assert ensemble.merges() == []
    assert ensemble.recorded_steps == [10]


def test_events_that_cannot_be_are_refused(tmp_path):
    _, group = make(tmp_path / "e.pvens")
    with pytest.raises(StoreError, match="there is no run at position 7; expected 0 to 1"):
        group.add_merges([MergeEvent(7, 1, "conv1", [[0, 1]], [1], (4, 3), (1, 1), (1, 1))])
    with pytest.raises(StoreError, match="is no merge"):
        MergeEvent(0, 1, "conv1", [[0]], [1.0], (4, 3), (1, 1), (1, 1))
    group.close()


def test_compact_networks_leave_out_what_is_gone(tmp_path):
    path = tmp_path / "e.pvens"
    _, group = make(path, parameters=PARAMETERS, reducible=[REDUCIBLE])
    n = sum(math.prod(shape) for shape in PARAMETERS.values())
    values = np.arange(1, 2 * n + 1, dtype=np.float32).reshape(2, n)
    standing = np.array([[0, 1, 2, 3], [0, 1, 0, 3]], np.float32)
    group.commit(10, {schema.NETWORK: values, ("conv1", schema.FILTER_GROUP): standing})
    group.close()
    (read,) = Ensemble.open(path).groups
    assert read.reducible == [REDUCIBLE]
    whole, compact = read.network(1, 10), read.network(1, 10, compact=True)
    left = [0, 1, 3]
    for name in ("conv1.weight", "conv1.bias", "norm.running_var"):
        np.testing.assert_array_equal(compact[name], whole[name][left])
    np.testing.assert_array_equal(compact["fc.weight"], whole["fc.weight"][:, [0, 1, 2, 3, 6, 7]])
    for name in ("fc.bias", "norm.num_batches_tracked"):
        np.testing.assert_array_equal(compact[name], whole[name])
    same = read.network(0, 10, compact=True)
    assert all(np.array_equal(same[n], v) for n, v in read.network(0, 10).items())
