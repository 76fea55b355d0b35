"""Readers look while other processes write; several processes write into one ensemble."""

from __future__ import annotations

import subprocess
import sys
import time

import numpy as np
import pytest
from kill_harness import command, environment
from store_samples import (
    LAYERS,
    SHAPES,
    create,
    sample_accuracy,
    sample_metrics,
    sample_runs,
    sample_tensor,
    sample_tensors,
)

from pvensemble.errors import StoreError
from pvensemble.store import Ensemble, EnsembleWriter, RunInfo
from pvensemble.store.check import check_ensemble
from pvensemble.store.journal import encode


def wait_for(path, process):
    while not path.exists():
        assert process.poll() is None
        time.sleep(0.01)


def test_reader_follows_a_writer_in_another_process(tmp_path):
    """Never an error, never a wrong value, never a step back, and in the end everything."""
    path = tmp_path / "a.pvens"
    n_steps = 60
    with subprocess.Popen(
        command("store", path, 0, n_steps), stdout=subprocess.DEVNULL, env=environment()
    ) as process:
        wait_for(path, process)
        ensemble = Ensemble.open(path)
        steps, rows, polls, news = [], 0, 0, 0
        while process.poll() is None:
            news += ensemble.refresh()
            polls += 1
            assert ensemble.recorded_steps[: len(steps)] == steps
            for step in ensemble.recorded_steps[len(steps) :]:
                key = list(SHAPES)[step // 10 % len(SHAPES)]
                np.testing.assert_array_equal(
                    ensemble.groups[0].filters(*key, step), sample_tensor(key, step, 4)
                )
            steps = ensemble.recorded_steps
            if "train_loss" in ensemble.metric_names:
                curve = ensemble.curve("train_loss")
                assert len(curve.steps) >= rows
                np.testing.assert_array_equal(curve.values, 1 - sample_accuracy(curve.steps, 4).T)
                rows = len(curve.steps)
            assert set(ensemble.run_table()["state"]) <= {"RUNNING", "WAITING"}
        assert process.returncode == 0
    ensemble.refresh()
    assert ensemble.recorded_steps == list(range(0, 10 * n_steps, 10))
    assert ensemble.refresh() is False
    assert polls > news > 5  # it did look while the writer was at work


def test_refresh_says_whether_there_is_news(tmp_path):
    path = tmp_path / "a.pvens"
    writer = create(path)
    ensemble = Ensemble.open(path)
    assert ensemble.refresh() is False
    group = writer.create_group(sample_runs(2), LAYERS)
    assert ensemble.refresh() is True
    assert ensemble.n_runs == 2
    assert ensemble.refresh() is False
    group.commit(0, sample_tensors(0, 2), sample_metrics(-10, 0, 2))
    assert ensemble.recorded_steps == []
    assert ensemble.refresh() is True
    assert ensemble.recorded_steps == [0]
    curve = ensemble.curve("train_loss")
    group.commit(10, {}, sample_metrics(0, 10, 2))
    assert ensemble.refresh() is True
    assert curve.steps.tolist() == [0]
    assert ensemble.curve("train_loss").steps.tolist() == [0, 10]
    group.set_states([1], "PRUNED", step=10, reason="x")
    assert ensemble.refresh() is True
    assert ensemble.run_table()["state"].tolist() == ["WAITING", "PRUNED"]
    writer.finish()
    assert ensemble.refresh() is False


def test_half_written_record_is_not_seen_until_it_is_whole(sample):
    ensemble = Ensemble.open(sample)
    index = sample.with_name("sample.pvens.d") / "g000/index.pvj"
    before = index.read_bytes()
    count = before.count(b"\n")
    line = encode(count, {"type": "skip", "step": 60, "reason": "slow"})
    for size in range(1, len(line)):
        index.write_bytes(before + line[:size])
        assert ensemble.refresh() is False
    index.write_bytes(before + line)
    assert ensemble.refresh() is True
    assert ensemble.groups[0].skipped == [(60, "slow")]


def test_record_that_the_writer_took_back_is_read_anew(sample):
    """After a failed sync a writer cuts its last record and writes another one."""
    ensemble = Ensemble.open(sample)
    index = sample.with_name("sample.pvens.d") / "g000/index.pvj"
    before = index.read_bytes()
    count = before.count(b"\n")
    index.write_bytes(before + encode(count, {"type": "skip", "step": 60, "reason": "slow"}))
    ensemble.refresh()
    index.write_bytes(before + encode(count, {"type": "skip", "step": 70, "reason": "full"}))
    assert ensemble.refresh() is True
    assert ensemble.groups[0].skipped == [(70, "full")]
    assert ensemble.n_runs == 4
    assert ensemble.groups[0].run_indices.tolist() == [0, 1, 2, 3]
    assert ensemble.recorded_steps == [0, 20, 40]


def test_group_whose_header_is_not_written_yet_is_passed_over(sample):
    ensemble = Ensemble.open(sample)
    directory = sample.with_name("sample.pvens.d") / "g001"
    directory.mkdir()
    assert ensemble.refresh() is False
    (directory / "index.pvj").write_bytes(b"0123")
    assert ensemble.refresh() is False
    assert [g.name for g in Ensemble.open(sample).groups] == ["g000"]
    assert check_ensemble(sample).problems == []


def test_run_indices_seen_once_stay(tmp_path):
    """A group that appears later gets later places, whatever its name sorts to."""
    path = tmp_path / "a.pvens"
    writer = create(path)
    writer.create_group([RunInfo("late-name", {})], name="g005")
    ensemble = Ensemble.open(path)
    writer.create_group([RunInfo("early-name", {})], name="g001")
    ensemble.refresh()
    assert ensemble.run_table()["run_id"].tolist() == ["late-name", "early-name"]
    assert [g.run_indices.tolist() for g in ensemble.groups] == [[1], [0]]
    assert Ensemble.open(path).run_table()["run_id"].tolist() == ["early-name", "late-name"]
    writer.finish()


JOIN = """
import sys
from pathlib import Path
import numpy as np
from pvensemble.store import EnsembleWriter, HyperParameter, LayerInfo, RunInfo, SessionInfo
path, who, n_groups = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
sys.stdin.readline()  # all start at once
for n in range(n_groups):
    writer = EnsembleWriter.create(
        path, name="joined", sessions=[SessionInfo(f"s{who}")],
        hyper_parameters=[HyperParameter(f"p{who}", "float")], exist_ok=True)
    run = RunInfo(f"{who}-{n}", {f"p{who}": n + who / 10}, session=f"s{who}")
    group = writer.create_group([run], [LayerInfo("x", "Linear", (2, 3), ("weight",))])
    for step in (0, 10):
        value = 100 * who + 10 * n + step / 100
        group.commit(step, {("x", "weight"): np.full((1, 2, 3), value)},
                     {"loss": ([step], [[value]])})
    group.set_states([0], "COMPLETE", step=10)
    writer.finish()
"""


def test_processes_record_into_one_ensemble_at_once(tmp_path):
    path = tmp_path / "a.pvens"
    n_groups = 4
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", JOIN, str(path), str(who), str(n_groups)],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(),
        )
        for who in range(3)
    ]
    for process in processes:
        process.stdin.write(b"go\n")
        process.stdin.flush()
    for process in processes:
        _, error = process.communicate(timeout=60)
        assert process.returncode == 0, error.decode()
    EnsembleWriter.open(path).finish()
    ensemble = Ensemble.open(path)
    table = ensemble.run_table()
    assert ensemble.n_runs == 3 * n_groups
    assert sorted(table["run_id"]) == [f"{w}-{n}" for w in range(3) for n in range(n_groups)]
    assert sorted(s.name for s in ensemble.sessions) == ["s0", "s1", "s2"]
    assert sorted(p.name for p in ensemble.hyper_parameters) == ["p0", "p1", "p2"]
    curve = ensemble.curve("loss")
    assert curve.steps.tolist() == [0, 10]
    for i, run_id in enumerate(table["run_id"]):
        who, n = map(int, run_id.split("-"))
        assert table["session"][i] == f"s{who}"
        assert table["state"][i] == "COMPLETE"
        for other in range(3):
            expected = n + who / 10 if other == who else np.nan
            np.testing.assert_equal(table[f"p{other}"][i], expected)
        assert curve.values[i].tolist() == [100 * who + 10 * n, 100 * who + 10 * n + 0.1]
    for group in ensemble.groups:
        value = curve.values[group.run_indices[0], 1]
        assert np.all(group.filters("x", "weight", 10) == np.float32(value))
    assert check_ensemble(path).findings == ()
    assert len((path.with_name("a.pvens.d") / "runs.csv").read_text().splitlines()) == 13


def test_group_has_one_writer(sample):
    with (
        EnsembleWriter.open(sample).open_group("g000"),
        pytest.raises(StoreError, match="another process is writing this group"),
    ):
        EnsembleWriter.open(sample).open_group("g000")
