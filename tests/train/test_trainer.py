"""The trainer around the executors: progress, choice of executor, dealing, what the store says."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from training_cases import TOML, everything, tiny_config

from pvensemble.errors import ConfigError, DataError
from pvensemble.store import Ensemble
from pvensemble.train import training
from pvensemble.train.assembly import Assembly
from pvensemble.train.executors import InProcess, choose
from pvensemble.train.executors.events import Report
from pvensemble.train.executors.pool import Pool, deal
from pvensemble.train.preparation import load_all_data, make_job
from pvensemble.train.progress import Speed
from pvensemble.train.recording import every, schedule_of
from pvensemble.train.search import group_runs, sample_runs
from pvensemble.train.trainer import train


def test_progress_counts_every_run_step(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "PROGRESS_SECONDS", 0.0)
    seen = []
    result = train(tiny_config(tmp_path), tmp_path / "e.pvens", workers=0, on_progress=seen.append)
    steps = [p.step for p in seen]
    assert steps == sorted(steps)
    assert steps[0] == 0
    assert steps[-1] == 52
    assert len(set(steps)) > 40
    assert {p.total for p in seen} == {52}
    assert seen[0].states == {"WAITING": 4}
    assert seen[-1].states == result.states == {"COMPLETE": 4}
    assert any(p.states == {"RUNNING": 4} for p in seen)
    assert seen[-1].remaining == pytest.approx(0)
    values = 2 * (4 * 9 + 6 * 4 * 9) + 4**2 + 6**2 + 2 * 24**2 + 4 * (4 * 8**2 + 6 * 4**2)
    network = 4 * 10 + 6 * 37 + 16 * (6 * 2 * 2 + 1) + 10 * 17
    assert seen[-1].bytes_written == 4 * 4 * (3 * values + network) + 4 * 4 * 8**2
    assert not result.interrupted
    assert result.skipped == ()
    assert result.n_runs == 4


def test_speed_is_that_of_the_last_seconds():
    speed = Speed(window=10.0)
    assert speed.update(0, now=0.0) == 0
    assert speed.update(100, now=1.0) == pytest.approx(100)
    for second in range(2, 30):
        latest = speed.update(100 + 7 * (second - 1), now=float(second))
    assert latest == pytest.approx(7)


def test_the_store_says_what_was_configured(tmp_path):
    config = tiny_config(tmp_path, "session.0.color=#123456", "evaluate.test_every=6")
    train(config, tmp_path / "e.pvens", workers=0)
    ensemble = Ensemble.open(tmp_path / "e.pvens")
    assert ensemble.name == "tiny"
    assert [(p.name, p.type) for p in ensemble.hyper_parameters] == [
        ("learning_rate", "float"),
        ("momentum", "float"),
    ]
    assert [(s.name, s.color) for s in ensemble.sessions] == [("grid", "#123456")]
    assert ensemble.provenance["config_text"] == TOML
    assert ensemble.provenance["overrides"] == ["session.0.color=#123456", "evaluate.test_every=6"]
    assert ensemble.provenance["config"]["steps"] == 12
    assert "torch" in ensemble.provenance["versions"]
    table = ensemble.run_table()
    assert list(table["learning_rate"]) == [0.01, 0.01, 0.05, 0.05]
    assert list(table["momentum"]) == [0.5, 0.9, 0.5, 0.9]
    assert list(table["seed"]) == [3] * 4
    assert list(table["last_step"]) == [12] * 4
    assert list(ensemble.curve("test_accuracy").steps) == [6, 12]


def test_a_hyper_parameter_changes_what_it_says(tmp_path):
    """Runs that share a seed start equal and part with the first update."""
    train(tiny_config(tmp_path, "record.every=1"), tmp_path / "e.pvens", workers=0)
    (group,) = Ensemble.open(tmp_path / "e.pvens").groups
    for step, n_distinct in ((0, 1), (1, 2), (2, 4)):  # one momentum buffer later, all differ
        weights = group.filters("conv1", "weight", step)
        assert len({w.tobytes() for w in weights}) == n_distinct


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["record.probe=100"], "record.probe: got 100, allowed: at most the 60"),
        (["train.batch_size=300"], "train.batch_size: got 300, allowed: at most the 200"),
    ],
)
def test_sizes_that_the_data_lack_are_refused_before_anything_is_written(
    tmp_path, overrides, message
):
    with pytest.raises(DataError, match=message):
        train(tiny_config(tmp_path, *overrides), tmp_path / "e.pvens", workers=0)
    assert not (tmp_path / "e.pvens").exists()


@pytest.mark.parametrize(
    ("device", "workers", "message"),
    [
        ("tpu", None, "device: got 'tpu', allowed: cpu"),
        ("cuda:99", None, "device: got 'cuda:99', but this machine has"),
        ("cpu", -1, "workers: got -1, allowed: 0"),
    ],
)
def test_devices_that_are_not_there_are_refused(device, workers, message):
    with pytest.raises(ConfigError, match=message):
        choose(device, workers, {})


def test_the_executor_fits_the_device():
    assert isinstance(choose("cpu", 0, {}), InProcess)
    pool = choose("cpu", None, {})
    assert isinstance(pool, Pool)
    assert pool.description == f"sequential on {len(os.sched_getaffinity(0))} x cpu"


def test_runs_are_dealt_evenly_over_small_groups(tmp_path):
    config = tiny_config(tmp_path, "session.0.space.conv1=[3, 4, 5]")
    specs = sample_runs(config)
    data = load_all_data(config, specs, None)
    jobs = [make_job(config, members, i, data) for i, members in enumerate(group_runs(specs))]
    assert [len(job.positions) for job in jobs] == [4, 4, 4]
    for n_workers in (1, 2, 3, 5):
        shares = deal(jobs, n_workers, whole=False)
        sizes = [sum(len(job.positions) for job in share) for share in shares]
        assert sum(sizes) == 12
        assert max(sizes) - min(sizes) <= 1
        dealt = [(job.group, p) for share in shares for job in share for p in job.positions]
        assert sorted(dealt) == [(g, p) for g in range(3) for p in range(4)]
    whole = deal(jobs, 2, whole=True)
    assert [[job.group for job in share] for share in whole] == [[0, 2], [1]]


def test_stops_are_recorded_and_evaluated_steps(tmp_path):
    assert every(10, 4) == (0, 4, 8, 10)
    assert every(8, 4) == (0, 4, 8)
    assert every(3, 100) == (0, 3)
    schedule = schedule_of(tiny_config(tmp_path, "evaluate.test_every=5"), 12)
    assert schedule.recorded == (0, 6, 12)
    assert schedule.evaluated == (0, 4, 8, 12)
    assert schedule.tested == (5, 10, 12)
    assert schedule.stops == (0, 4, 5, 6, 8, 10, 12)


def _report(stop: int, position: int) -> Report:
    value = np.array([[10.0 * stop + position]])
    return Report(
        0, stop, (position,), {"m": (np.array([stop]), value)}, {("l", "weight"): value[None]}
    )


def test_stops_complete_in_order_whatever_the_order_of_reports():
    assembly = Assembly(2, [0, 5])
    assert assembly.add(_report(0, 1)) == []
    assert assembly.add(_report(5, 1)) == []
    assert assembly.next_stop(1) is None
    assert assembly.next_stop(0) == 0
    saved = assembly.save()
    assert [stop for stop, _ in assembly.add(_report(0, 0))] == [0]
    assert assembly.add(_report(0, 0)) == []  # a replay
    ((stop, content),) = assembly.add(_report(5, 0))
    assert stop == 5
    assert assembly.done
    np.testing.assert_array_equal(content.metrics["m"][1], [[50, 51]])
    np.testing.assert_array_equal(content.tensors["l", "weight"].ravel(), [50, 51])

    again = Assembly(2, [0, 5])
    again.restore(*saved)
    assert [stop for stop, _ in again.add(_report(0, 0))] == [0]
    ((_, content),) = again.add(_report(5, 0))
    np.testing.assert_array_equal(content.metrics["m"][1], [[50, 51]])


def test_many_groups_need_few_open_files(tmp_path, monkeypatch):
    """Every run is a group of its own here; the trainer may hold fewer files than that."""
    import resource

    config = tiny_config(
        tmp_path,
        "steps=1",
        "session.0.space.momentum=[0.9]",
        "session.0.space.learning_rate=[0.01]",
        f"session.0.space.fc1={list(range(8, 48))}",
    )
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    in_use = len(list(Path("/proc/self/fd").iterdir()))
    resource.setrlimit(resource.RLIMIT_NOFILE, (in_use + 30, hard))
    try:
        result = train(config, tmp_path / "e.pvens", workers=0)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert result.states == {"COMPLETE": 40}
    assert len(Ensemble.open(tmp_path / "e.pvens").groups) == 40
    assert len(everything(tmp_path / "e.pvens")["table run_id"]) == 40


LENET, MLP = TOML, TOML[: TOML.index("[model]")] + '[model]\nname = "mlp"\n\n'
MLP += TOML[TOML.index("[train]") :]


@pytest.mark.parametrize(
    ("toml", "overrides", "said"),
    [
        (MLP, [], True),
        (MLP, ["record.layers=['fc1']"], False),
        (MLP, ["record.kinds=[]"], False),
        (LENET, [], False),
    ],
)
def test_a_model_without_recorded_layers_is_told_at_the_start(tmp_path, toml, overrides, said):
    messages: list[str] = []
    result = train(
        tiny_config(tmp_path, "steps=2", *overrides, toml=toml),
        tmp_path / "e.pvens",
        workers=0,
        on_progress=lambda p: messages.append(p.message),
    )
    assert result.states == {"COMPLETE": 4}
    found = {m for m in messages if "will be recorded" in m}
    expected = (
        "no tensors of model 'mlp' will be recorded: record.layers is 'convolutions', and its "
        "layers with weights are fc1 (Linear), fc2 (Linear)"
    )
    assert found == ({expected} if said else set())
    assert (messages[0] == expected) is said
