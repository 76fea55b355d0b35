"""A training goes on with more processes: groups that nobody has begun are cut for them."""

from __future__ import annotations

import numpy as np
import pytest
from test_resume import Countdown
from training_cases import differences, everything, tiny_config

from pvensemble.cli import main
from pvensemble.store import Ensemble, EnsembleWriter
from pvensemble.store.log import ensemble_log, send_request
from pvensemble.store.steering import stop_request
from pvensemble.train import preparation, training
from pvensemble.train.executors import InProcess
from pvensemble.train.plan import Task, begin
from pvensemble.train.preparation import load_all_data
from pvensemble.train.ranks import Ranks
from pvensemble.train.search import sample_runs
from pvensemble.train.trainer import train

SPACE = ("session.0.space.momentum=[0.1, 0.3, 0.5, 0.7, 0.8, 0.9]",)
"""Twelve runs."""


class For(Ranks):
    """This process alone, but groups are cut for several."""

    def __init__(self, size: int) -> None:
        self.size = size

    def plan(self, task):
        return begin(task, size=self.size)


@pytest.fixture(autouse=True)
def _ask_every_step(monkeypatch):
    monkeypatch.setattr(training, "PROGRESS_SECONDS", 0.0)


def trained(config, path, size, **options):
    return train(config, path, executor=InProcess, ranks=For(size), **options)


def begin_for(size, config, path):
    """Open an ensemble again for so many processes."""
    specs = sample_runs(config)
    data = load_all_data(config, specs, None)
    return begin(Task(config, path, specs, data, None, InProcess(data), True), size=size)


def sizes(path):
    """Return the number of runs of each group that any are counted of, by its name."""
    groups = Ensemble.open(path).groups
    return {g.name: n for g in groups if (n := int((g.run_indices >= 0).sum()))}


def test_groups_that_nobody_has_begun_are_cut_and_the_result_is_the_same(tmp_path):
    config = tiny_config(tmp_path, *SPACE)
    path, whole = tmp_path / "e.pvens", tmp_path / "whole.pvens"
    train(config, whole, executor=InProcess)
    assert trained(config, path, 1, stop=Countdown(30)).interrupted
    assert sizes(path) == {"g000": 12}
    path = tmp_path / "two.pvens"
    assert trained(config, path, 2, stop=Countdown(30)).interrupted
    assert sizes(path) == {f"g{i:03d}": 2 for i in range(6)}
    begun = [g.name for g in Ensemble.open(path).groups if g.index.begun]
    assert begun == ["g000"]
    result = trained(config, path, 4, resume=True)
    assert result.states == {"COMPLETE": 12}
    assert sizes(path) == {"g000": 2, **{f"g{i:03d}": 1 for i in range(6, 16)}}
    assert differences(everything(path), everything(whole)) == []
    table, expected = Ensemble.open(path).run_table(), Ensemble.open(whole).run_table()
    np.testing.assert_array_equal(table["run_id"], expected["run_id"])
    assert not [entry for entry in ensemble_log(Ensemble.open(path)) if entry.event == "failed"]
    assert trained(config, path, 9, resume=True).run_steps == 0
    assert len(Ensemble.open(path).groups) == 11
    assert main(["check", str(path)]) == 0


def test_killed_between_giving_up_and_cutting(tmp_path, monkeypatch):
    config, path = tiny_config(tmp_path, *SPACE), tmp_path / "e.pvens"
    trained(config, path, 2, stop=Countdown(30))

    def killed(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(preparation, "stored_groups", killed)
    with pytest.raises(KeyboardInterrupt):
        trained(config, path, 4, resume=True)
    monkeypatch.undo()
    assert list(Ensemble.open(path).run_table()["state"]).count("FAILED") == 10
    assert trained(config, path, 1, resume=True).states == {"COMPLETE": 12}
    train(config, tmp_path / "whole.pvens", executor=InProcess)
    assert differences(everything(path), everything(tmp_path / "whole.pvens")) == []


@pytest.mark.parametrize("size", [1, 2])
def test_as_many_or_fewer_processes_leave_the_groups_as_they_are(tmp_path, size):
    config, path = tiny_config(tmp_path, *SPACE), tmp_path / "e.pvens"
    trained(config, path, 2, stop=Countdown(30))
    assert trained(config, path, size, resume=True).states == {"COMPLETE": 12}
    assert sizes(path) == {f"g{i:03d}": 2 for i in range(6)}


def test_what_somebody_holds_or_was_asked_to_change_stays(tmp_path):
    config, path = tiny_config(tmp_path, *SPACE), tmp_path / "e.pvens"
    trained(config, path, 2, stop=lambda: True)
    send_request(Ensemble.open(path), stop_request([11]))
    trained(config, path, 2, stop=lambda: True, resume=True)
    assert [g.name for g in Ensemble.open(path).groups if g.index.begun] == ["g000", "g005"]
    with EnsembleWriter.open(path).open_group("g002"):
        plan = begin_for(8, config, path)
    names = [members.name for members in plan.groups if members.name]
    assert names == ["g000", "g002", "g005"]
    assert sum(len(members.specs) for members in plan.groups) == 12
