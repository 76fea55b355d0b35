"""A run that fails says why and leaves the others alone; resuming tries it again."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
from training_cases import TOML, everything, tiny_config

from pvensemble.cli import main
from pvensemble.cli._train_texts import failure_lines
from pvensemble.errors import DataError, TrainingError
from pvensemble.store import Ensemble
from pvensemble.store.check import check_ensemble
from pvensemble.train import training
from pvensemble.train.assembly import Assembly
from pvensemble.train.executors import InProcess
from pvensemble.train.executors.events import Report
from pvensemble.train.executors.pool import Pool
from pvensemble.train.executors.stack import Stack
from pvensemble.train.failure import Guard, place
from pvensemble.train.trainer import train

MODEL = """
import os
from pathlib import Path

import torch
from torch import nn

HERE = Path(__file__).parent


class Net(nn.Module):
    def __init__(self, n_classes, after, how):
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 3)
        self.linear = nn.Linear(3 * 6 * 6, n_classes)
        self.after, self.how, self.steps = after, how, 0

    def forward(self, x):
        if self.training:
            self.steps += 1
        if self.training and self.steps > self.after and not (HERE / "mended").exists():
            if self.how == "kill":
                os.kill(os.getpid(), 9)
            if self.how == "own":
                raise type("OwnError", (Exception,), {})("two\\nlines")
            raise RuntimeError("planted failure")
        return self.linear(self.conv(x).flatten(1))


def net(input_shape, n_classes, after=7, how="raise"):
    bad = torch.initial_seed() == 13
    if bad and after < 0:
        raise ValueError("too large")
    return Net(n_classes, after if bad else 10**9, how)
"""
SEEDS = "session.0.space.seed=[13, 1]"
"""The first run fails in its eighth step, the step 7."""


@pytest.fixture(autouse=True)
def _import_anew():
    sys.modules.pop("failing_models", None)
    importlib.invalidate_caches()


def config_of(directory: Path, *overrides: str):
    (directory / "failing_models.py").write_text(MODEL)
    head, _, rest = TOML.partition("[model]")
    toml = f'{head}[model]\nname = "failing_models:net"\n\n[train]{rest.partition("[train]")[2]}'
    return tiny_config(
        directory, "session.0.space.momentum=[0.5]", "session.0.space.learning_rate=[0.01]",
        "record.every=3", *overrides, toml=toml,
    )  # fmt: skip


EXECUTORS = {
    "sequential": lambda data: InProcess(data),
    "vectorized": lambda data: InProcess(data, vectorized=True),
    "workers": lambda data: Pool(data, ["cpu", "cpu"]),
}


def runs_by_state(path: Path) -> dict[str, dict]:
    """Return the row of the run table of each state; there is one of each in these tests."""
    table = Ensemble.open(path).run_table()
    rows = [dict(zip(table, row)) for row in zip(*table.values())]
    assert len({row["state"] for row in rows}) == len(rows)
    return {str(row["state"]): row for row in rows}


@pytest.mark.parametrize("executor", ["sequential", "workers"])
@pytest.mark.parametrize("how", ["raise", "own"])
def test_a_run_that_raises_fails_alone(tmp_path, executor, how):
    config = config_of(tmp_path, SEEDS, f"model.how={how}")
    seen = []
    result = train(
        config, tmp_path / "e.pvens", executor=EXECUTORS[executor], on_progress=seen.append
    )
    assert result.states == {"COMPLETE": 1, "FAILED": 1}
    assert (seen[-1].step, seen[-1].total) == (26, 26)
    rows = runs_by_state(tmp_path / "e.pvens")
    failed = rows["FAILED"]
    message = "RuntimeError: planted failure" if how == "raise" else "OwnError: two lines"
    file = str(tmp_path / "failing_models.py")
    assert str(failed["reason"]).startswith(f"{message} ({file}, line ")
    assert result.failures == ((failed["run_id"], failed["reason"]),)
    assert failed["last_step"] == 7
    ensemble = Ensemble.open(tmp_path / "e.pvens")
    assert ensemble.recorded_steps == [0, 3, 6, 9, 12]
    place = failed["run_index"]
    loss = ensemble.curve("train_loss").values
    assert np.isfinite(loss[place, :7]).all()
    assert np.isnan(loss[place, 9:]).all()
    assert np.isfinite(loss[1 - place]).all()
    weights = [ensemble.groups[0].filters("conv", "weight", s) for s in (3, 9)]
    assert np.abs(weights[0]).max((1, 2, 3, 4)).all()
    assert not weights[1][list(ensemble.groups[0].run_indices).index(place)].any()
    assert not check_ensemble(tmp_path / "e.pvens").findings


def test_the_others_keep_every_bit(tmp_path):
    """Against an ensemble without the run that fails."""
    alone = config_of(tmp_path, "session.0.space.seed=[1]")
    train(alone, tmp_path / "alone.pvens", workers=0)
    train(config_of(tmp_path, SEEDS), tmp_path / "e.pvens", workers=2)
    expected, got = everything(tmp_path / "alone.pvens"), everything(tmp_path / "e.pvens")
    (run_id,) = expected["table run_id"]
    row = list(got["table run_id"]).index(run_id)
    names = [n for n in expected if n.startswith(("values", "tensor"))]
    assert len(names) > 30
    for name in names:
        other = got[name][row : row + 1] if name.startswith("values") else got[name]
        np.testing.assert_array_equal(other, expected[name], err_msg=name)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_run_that_cannot_be_built_fails_alone(tmp_path, executor):
    config = config_of(tmp_path, SEEDS, "model.after=-1")
    result = train(config, tmp_path / "e.pvens", executor=EXECUTORS[executor])
    assert result.states == {"COMPLETE": 1, "FAILED": 1}
    assert "ValueError: too large" in result.failures[0][1]


def test_a_stack_that_raises_trains_one_run_at_a_time(tmp_path, monkeypatch):
    original = Stack.update

    def update(self, rate, step):
        if step == 7:
            raise RuntimeError("planted failure of a stack")
        original(self, rate, step)

    monkeypatch.setattr(Stack, "update", update)
    config = tiny_config(tmp_path)
    seen = []
    vectorized = EXECUTORS["vectorized"]
    result = train(config, tmp_path / "e.pvens", executor=vectorized, on_progress=seen.append)
    assert result.states == {"COMPLETE": 4}
    assert result.run_steps == seen[-1].step == seen[-1].total == 52
    said = {p.message for p in seen}
    assert any("4 runs train one at a time: RuntimeError: planted" in m for m in said)
    train(config, tmp_path / "s.pvens", workers=0)
    late = [
        {n: v for n, v in everything(tmp_path / name).items() if " 12 " in n}
        for name in ("e.pvens", "s.pvens")
    ]
    assert len(late[0]) == 4 * 2 * 5
    for name, value in late[0].items():
        np.testing.assert_allclose(value, late[1][name], rtol=1e-3, atol=1e-4, err_msg=name)


def test_a_worker_that_is_killed_ends_its_run_alone(tmp_path):
    """The two others of its share start anew in another process and give what they would have."""
    config = config_of(
        tmp_path,
        SEEDS,
        "session.0.space.momentum=[0.5, 0.9]",
        "session.0.space.learning_rate=[0.01, 0.02]",
        "model.how=kill",
    )
    seen = []
    result = train(config, tmp_path / "e.pvens", workers=1, on_progress=seen.append)
    assert result.states == {"COMPLETE": 4, "FAILED": 4}
    assert {reason for _, reason in result.failures} == {
        "worker ended with signal 9 (out of memory?)"
    }
    assert (seen[-1].step, seen[-1].total) == (8 * 13, 8 * 13)
    (tmp_path / "mended").touch()
    train(config, tmp_path / "whole.pvens", workers=0)
    whole, got = everything(tmp_path / "whole.pvens"), everything(tmp_path / "e.pvens")
    fine = [r for r, s in zip(got["table run_id"], got["table state"]) if s == "COMPLETE"]
    names = [n for n in got if n.startswith("tensor") and n.rsplit(" ")[-1] in fine]
    assert len(names) == 4 * 5 * 5
    for name in names:
        np.testing.assert_array_equal(got[name], whole[name], err_msg=name)


def _children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task")
    return [int(c) for t in tasks.iterdir() for c in (t / "children").read_text().split()]


def test_runs_of_a_killed_worker_go_on_from_the_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "PROGRESS_SECONDS", 0.0)
    config = tiny_config(tmp_path, "steps=12000", "evaluate.every=4000", "record.every=4000")
    recalled, killed, written = [], [], []
    recall, checkpoint = training.Training._recall, training.Training._checkpoint

    def watched_recall(self, group):
        recalled.append(recall(self, group))
        return recalled[-1]

    def watched_checkpoint(self):
        written.extend(s.step for o in self._open.values() for s in o._saved.values())
        checkpoint(self)
        self._interval = 0.2

    def kill_one(progress):
        if written and not killed:
            killed.append(_children(os.getpid())[-1])
            os.kill(killed[0], signal.SIGKILL)

    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0.2)
    monkeypatch.setattr(training.Training, "_recall", watched_recall)
    monkeypatch.setattr(training.Training, "_checkpoint", watched_checkpoint)
    result = train(config, tmp_path / "e.pvens", workers=2, on_progress=kill_one)
    assert result.states == {"COMPLETE": 3, "FAILED": 1}
    (states,) = recalled
    assert len(states) == 4
    assert max(s.step for s in states.values()) > 0
    assert result.run_steps == 4 * 12001


def test_all_runs_failing_is_the_users_mistake(tmp_path, capsys):
    config = config_of(
        tmp_path, "session.0.space.learning_rate=[0.1, 0.2]", "seed=13", "model.after=0"
    )
    with pytest.raises(TrainingError, match=r"all 2 runs failed: RuntimeError: planted fail") as e:
        train(config, tmp_path / "e.pvens", workers=2)
    assert str(tmp_path / "failing_models.py") in str(e.value)
    assert "\n" not in str(e.value)
    assert list(Ensemble.open(tmp_path / "e.pvens").run_table()["state"]) == ["FAILED"] * 2
    command = ["train", str(tmp_path / "tiny.toml"), "-o", str(tmp_path / "c.pvens")]
    command += ["--workers", "0", "--set", "seed=13", "model.after=0"]
    assert main(command) == 2
    said = capsys.readouterr().err
    assert "all 4 runs failed: RuntimeError: planted failure" in said
    assert "Traceback" not in said
    command[3] = str(tmp_path / "d.pvens")
    command[-2] = SEEDS
    assert main(command) == 0
    said = capsys.readouterr().err
    assert "4 runs failed:\n  " in said
    assert "try again with: pvensemble train" in said


def test_the_summary_names_few_runs():
    assert failure_lines([]) == []
    assert failure_lines([("a", "why")]) == ["1 run failed: a: why"]
    lines = failure_lines([(str(i), "why") for i in range(5)])
    assert lines[0] == "5 runs failed:"
    assert lines[1:] == ["  0: why", "  1: why", "  2: why", lines[-1]]
    assert "and 2 more" in lines[-1]


@pytest.mark.parametrize("executor", ["sequential", "workers"])
def test_resuming_tries_failed_runs_again(tmp_path, executor):
    config = config_of(tmp_path, SEEDS)
    path = tmp_path / "e.pvens"
    train(config, path, executor=EXECUTORS[executor])
    failed = runs_by_state(path)["FAILED"]
    again = train(config, path, executor=EXECUTORS[executor], resume=True)
    assert again.states == {"COMPLETE": 1, "FAILED": 1}
    assert again.n_runs == 2
    (tmp_path / "mended").touch()
    seen = []
    last = train(config, path, executor=EXECUTORS[executor], resume=True, on_progress=seen.append)
    assert last.states == {"COMPLETE": 2}
    assert last.run_steps == 13
    assert (seen[-1].step, seen[-1].total) == (seen[-1].total, seen[-1].total)
    assert len(Ensemble.open(path).groups) == 3
    ensemble = Ensemble.open(path)
    table = ensemble.run_table()
    assert ensemble.n_runs == 2
    assert list(table["state"]) == ["COMPLETE"] * 2
    assert table["run_id"][failed["run_index"]] == failed["run_id"]
    assert [g.run_indices.tolist() for g in ensemble.groups][1:] == [[-1], [failed["run_index"]]]
    assert ensemble.summary()["states"] == {"COMPLETE": 2}
    train(config, tmp_path / "whole.pvens", workers=0)
    whole = Ensemble.open(tmp_path / "whole.pvens")
    for metric in whole.metric_names:
        np.testing.assert_array_equal(
            ensemble.curve(metric).values, whole.curve(metric).values, err_msg=metric
        )
    assert main(["curves", str(path), "--csv", str(tmp_path / "c.csv")]) == 0
    rows = (tmp_path / "c.csv").read_text().splitlines()
    assert len(rows) == len(set(rows))
    assert not check_ensemble(path).findings
    assert train(config, path, workers=0, resume=True).run_steps == 0


def test_an_open_reader_sees_the_new_attempt(tmp_path):
    config = config_of(tmp_path, SEEDS)
    path = tmp_path / "e.pvens"
    train(config, path, workers=0)
    reader = Ensemble.open(path)
    before = reader.run_table()
    (tmp_path / "mended").touch()
    train(config, path, workers=0, resume=True)
    assert reader.refresh()
    after = reader.run_table()
    np.testing.assert_array_equal(before["run_id"], after["run_id"])
    assert list(after["state"]) == ["COMPLETE"] * 2


@pytest.mark.parametrize("vectorized", [False, True], ids=["sequential", "vectorized"])
@pytest.mark.parametrize("first", [8, 20, 30])
def test_progress_ends_at_the_total_after_a_resume(tmp_path, monkeypatch, vectorized, first):
    """With runs that have diverged before the stop or after it."""
    monkeypatch.setattr(training, "PROGRESS_SECONDS", 0.0)
    config = tiny_config(tmp_path, "session.0.space.learning_rate=[0.01, 1e12]")
    left, seen = [first], []

    def stop() -> bool:
        left[0] -= 1
        return left[0] <= 0

    def executor(data):
        return InProcess(data, vectorized=vectorized)

    if vectorized:
        left[0] //= 3
    path = tmp_path / "e.pvens"
    part = train(config, path, executor=executor, stop=stop)
    assert part.interrupted
    train(config, path, executor=executor, resume=True, on_progress=seen.append)
    assert (seen[-1].step, seen[-1].total) == (52, 52)
    assert seen[-1].remaining == pytest.approx(0)
    assert [p.step for p in seen] == sorted(p.step for p in seen)


def test_what_the_display_raises_is_no_failure_of_a_run(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "PROGRESS_SECONDS", 0.0)

    def stumble(progress):
        if progress.step > 10 and not said:
            said.append(progress)
            raise DataError("not the run's fault")

    for vectorized in (False, True):
        said: list = []
        with pytest.raises(DataError, match="not the run's fault"):
            train(
                tiny_config(tmp_path),
                tmp_path / f"{vectorized}.pvens",
                executor=lambda d, v=vectorized: InProcess(d, vectorized=v),
                on_progress=stumble,
            )
        states = Ensemble.open(tmp_path / f"{vectorized}.pvens").run_table()["state"]
        assert set(states) <= {"WAITING", "RUNNING"}


# -- parts -----------------------------------------------------------------------------------------


def test_guard_catches_errors_but_not_interruptions():
    guard = Guard()
    with guard:
        raise RuntimeError
    assert guard.reason.startswith("RuntimeError (")
    with guard:
        pass
    assert guard.reason == ""
    with guard:
        raise DataError("as it stands")
    assert guard.reason == "as it stands"
    with pytest.raises(KeyboardInterrupt), guard:
        raise KeyboardInterrupt
    with pytest.raises(ValueError, match="through"), guard, guard.lifted():
        raise ValueError("through")


def test_the_place_is_that_of_the_users_code():
    try:
        np.linalg.inv(np.zeros((2, 2)))  # raises inside of numpy
    except np.linalg.LinAlgError as error:
        text = place(error)
    assert text.startswith("LinAlgError: Singular matrix (")
    assert __file__ in text


def test_an_assembly_waits_for_dropped_runs_no_more():
    def report(stop: int, position: int) -> Report:
        values = {"m": (np.array([stop]), np.array([[10.0 * stop + position]]))}
        return Report(0, stop, (position,), values, {})

    assembly = Assembly(3, [0, 5, 9])
    for position in (0, 2):
        assert assembly.add(report(0, position)) == []
    assert assembly.add(report(5, 0)) == []
    assert [stop for stop, _ in assembly.drop(1)] == [0]
    assert assembly.add(report(1, 1)) == []
    ((_, content),) = assembly.add(report(5, 2))
    np.testing.assert_array_equal(content.metrics["m"][1], [[50, np.nan, 52]])
    assert assembly.drop(0) == []
    assert [stop for stop, _ in assembly.drop(2)] == [9]
    assert assembly.done
