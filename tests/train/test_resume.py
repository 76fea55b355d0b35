"""Stopping, being killed, and going on: the result is that of an unbroken training."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest
from training_cases import TOML, differences, everything, run_python, tiny_config

from pvensemble.errors import ConfigError, StoreError
from pvensemble.store import Ensemble
from pvensemble.train import training
from pvensemble.train.executors import InProcess
from pvensemble.train.trainer import train

OPTIMIZERS = {
    "sgd": (),
    "adam": ("train.optimizer=adam",),
    "rmsprop": ("train.optimizer=rmsprop",),
}


class Countdown:
    """Says True from the n-th question on."""

    def __init__(self, n: int) -> None:
        self.left = n

    def __call__(self) -> bool:
        self.left -= 1
        return self.left <= 0


@pytest.fixture(autouse=True)
def _ask_every_step(monkeypatch):
    monkeypatch.setattr(training, "PROGRESS_SECONDS", 0.0)


def in_process(vectorized: bool = False):
    return lambda data: InProcess(data, vectorized=vectorized)


@pytest.mark.parametrize("vectorized", [False, True], ids=["sequential", "vectorized"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_interrupted_and_resumed_is_unbroken(tmp_path, optimizer, vectorized):
    config = tiny_config(
        tmp_path, "session.0.space.learning_rate=[0.01, 1e12]", *OPTIMIZERS[optimizer]
    )
    whole = train(config, tmp_path / "whole.pvens", executor=in_process(vectorized))
    path = tmp_path / "broken.pvens"
    parts = 0
    while True:
        result = train(
            config,
            path,
            executor=in_process(vectorized),
            resume=parts > 0,
            stop=Countdown(5 + 7 * parts),
        )
        parts += 1
        if not result.interrupted:
            break
        assert result.states.get("COMPLETE", 0) < 4
        assert Ensemble.open(path).n_runs == 4
        assert parts < 30
    assert parts >= 3
    assert result.states == whole.states
    assert differences(everything(path), everything(tmp_path / "whole.pvens")) == []


def test_resuming_in_the_other_executor_keeps_the_checkpoint(tmp_path):
    config = tiny_config(tmp_path)
    path = tmp_path / "e.pvens"
    first = train(config, path, executor=in_process(False), stop=Countdown(30))
    assert first.interrupted
    second = train(config, path, executor=in_process(True), resume=True)
    assert second.states == {"COMPLETE": 4}
    assert first.run_steps + second.run_steps == 4 * 13


def test_completed_groups_are_not_trained_again(tmp_path):
    config = tiny_config(tmp_path)
    path = tmp_path / "e.pvens"
    assert train(config, path, workers=0).run_steps == 52
    before = everything(path)
    again = train(config, path, workers=0, resume=True)
    assert again.run_steps == 0
    assert again.states == {"COMPLETE": 4}
    assert differences(before, everything(path)) == []


def test_resume_begins_where_nothing_is(tmp_path):
    result = train(tiny_config(tmp_path), tmp_path / "e.pvens", workers=0, resume=True)
    assert result.states == {"COMPLETE": 4}


def test_an_existing_ensemble_is_not_overwritten(tmp_path):
    config = tiny_config(tmp_path, "steps=1")
    train(config, tmp_path / "e.pvens", workers=0)
    with pytest.raises(StoreError, match="exists"):
        train(config, tmp_path / "e.pvens", workers=0)


def test_resume_refuses_another_configuration(tmp_path):
    path = tmp_path / "e.pvens"
    train(tiny_config(tmp_path, "steps=1"), path, workers=0)
    other = tiny_config(tmp_path, "steps=1", "train.batch_size=8", "record.every=2")
    with pytest.raises(ConfigError, match="train.batch_size was 16, now 8") as error:
        train(other, path, workers=0, resume=True)
    assert "record.every was 6, now 2" in str(error.value)
    assert str(path) in str(error.value)


def test_resume_does_not_mind_comments(tmp_path):
    path = tmp_path / "e.pvens"
    train(tiny_config(tmp_path, "steps=1"), path, workers=0)
    commented = tiny_config(tmp_path, "steps=1", toml="# words\n" + TOML)
    assert train(commented, path, workers=0, resume=True).run_steps == 0


PROGRAM = """
import os
import signal
import time
from pathlib import Path
from training_cases import tiny_config
from pvensemble.store import Ensemble
from pvensemble.train import training
from pvensemble.train.trainer import train
training.CHECKPOINT_SECONDS = 0.3
training.PROGRESS_SECONDS = 0.0
directory = Path({directory!r})
path = directory / "killed.pvens"

def recorded():
    return len(Ensemble.open(path).recorded_steps) if path.exists() else 0

before = recorded()

def die_when_something_was_recorded(progress):
    time.sleep(0.02)  # the store writes while training goes on
    if recorded() > before + 3:
        lists = Path("/proc/self/task").glob("*/children")
        (directory / "workers.txt").write_text("".join(file.read_text() for file in lists))
        os.kill(os.getpid(), signal.SIGKILL)

train(
    tiny_config(directory, "steps=160", "record.every=10", "evaluate.every=10"),
    path,
    workers=2,
    resume=True,
    on_progress=die_when_something_was_recorded,
)
"""


def test_killed_and_resumed_is_unbroken(tmp_path):
    """SIGKILL of the whole trainer, twice, at moments when something was recorded.

    The trainer kills itself: from outside, on a busy machine, it may be done before one looks.
    """
    config = tiny_config(tmp_path, "steps=160", "record.every=10", "evaluate.every=10")
    train(config, tmp_path / "whole.pvens", workers=0)
    program = PROGRAM.format(directory=str(tmp_path))
    path = tmp_path / "killed.pvens"
    for _ in range(2):
        ended = run_python(program)
        assert ended.returncode == -signal.SIGKILL, ended.stderr
        workers = (tmp_path / "workers.txt").read_text().split()
        assert workers
        deadline = time.monotonic() + 60
        while any(Path(f"/proc/{worker}").exists() for worker in workers):
            assert time.monotonic() < deadline, "workers outlive their trainer"
            time.sleep(0.05)
        seen = Ensemble.open(path)
        assert 3 < len(seen.recorded_steps) < 17
        for step in seen.recorded_steps:
            assert seen.groups[0].tensor("conv1", "weight", step).shape[0] == 4
    result = train(config, path, workers=0, resume=True)
    assert result.states == {"COMPLETE": 4}
    assert differences(everything(path), everything(tmp_path / "whole.pvens")) == []


def test_stopping_workers_saves_every_run(tmp_path):
    config = tiny_config(tmp_path, "steps=300", "evaluate.every=100", "record.every=200")
    path = tmp_path / "e.pvens"
    asked = []

    def stop() -> bool:
        return bool(asked)

    def look(progress):
        if progress.step > 100:
            asked.append(1)

    begin = time.monotonic()
    first = train(config, path, workers=2, on_progress=look, stop=stop)
    assert first.interrupted
    assert time.monotonic() - begin < 60
    assert 100 <= first.run_steps < 4 * 301
    second = train(config, path, workers=2, resume=True)
    assert first.run_steps + second.run_steps == 4 * 301
    train(config, tmp_path / "whole.pvens", workers=0)
    assert differences(everything(path), everything(tmp_path / "whole.pvens")) == []
