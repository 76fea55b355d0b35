"""Steering a training in this process: what is asked is done, all else stays as it is."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
from training_cases import differences, everything, tiny_config

from pvensemble import schema
from pvensemble.errors import NotRecordedError
from pvensemble.store import Ensemble
from pvensemble.store.log import ensemble_log, send_request
from pvensemble.store.steering import (
    add_request,
    record_request,
    steering_directory,
    stop_request,
    write_request,
)
from pvensemble.train import steering, training
from pvensemble.train.executors import InProcess
from pvensemble.train.stored_runs import stored_runs
from pvensemble.train.trainer import train


@pytest.fixture(autouse=True)
def _look_every_step(monkeypatch):
    monkeypatch.setattr(training, "PROGRESS_SECONDS", 0.0)
    monkeypatch.setattr(steering, "LOOK_SECONDS", 0.0)


def sequential(data):
    return InProcess(data)


def vectorized(data):
    return InProcess(data, vectorized=True)


class At:
    """Asks for things at moments of a training: the n-th time that the trainer looks up."""

    def __init__(self, path, *requests, stop_at=None):
        self.path, self.requests, self.stop_at, self.now = path, dict(requests), stop_at, 0

    def __call__(self):
        self.now += 1
        request = self.requests.pop(self.now, None)
        if request is not None:
            send_request(Ensemble.open(self.path), request)
        return self.stop_at is not None and self.now >= self.stop_at


def steered(config, path, *requests, executor=sequential, **options):
    stop = At(path, *requests, stop_at=options.pop("stop_at", None))
    result = train(config, path, executor=executor, stop=stop, **options)
    assert not stop.requests or result.interrupted, "the training ended before all was asked"
    return result


def of_runs(found, run_ids):
    """Return what `everything` found of some runs alone: their tensors."""
    return {n: v for n, v in found.items() if n.split()[0] == "tensor" and n.split()[-1] in run_ids}


def said(path):
    return [(e.request, e.event, e.text) for e in ensemble_log(Ensemble.open(path)) if e.request]


# -- stop ------------------------------------------------------------------------------------------


def test_a_stopped_run_keeps_what_it_had_and_the_others_end_as_ever(tmp_path):
    config = tiny_config(tmp_path, "record.every=2")
    train(config, tmp_path / "whole.pvens", executor=sequential)
    path = tmp_path / "e.pvens"
    result = steered(config, path, (27, stop_request([2], "too slow")))
    assert result.states == {"COMPLETE": 3, "PRUNED": 1}
    ensemble, whole = Ensemble.open(path), Ensemble.open(tmp_path / "whole.pvens")
    table = ensemble.run_table()
    assert list(table["state"]) == ["COMPLETE", "COMPLETE", "PRUNED", "COMPLETE"]
    step = int(table["last_step"][2])
    assert 0 < step < 12
    assert table["reason"][2].endswith("too slow")
    assert table["reason"][2].startswith("stopped by ")
    others = set(table["run_id"][[0, 1, 3]])
    assert (
        differences(of_runs(everything(path), others), of_runs(everything(whole.path), others))
        == []
    )
    for metric in whole.metric_names:
        mine, theirs = ensemble.curve(metric), whole.curve(metric)
        np.testing.assert_array_equal(mine.values[[0, 1, 3]], theirs.values[[0, 1, 3]])
        known = mine.steps < step
        np.testing.assert_array_equal(mine.values[2, known], theirs.values[2, known])
        assert np.isnan(mine.values[2, ~known]).all()
        assert (~known).any()
    group = ensemble.groups[0]
    last = max(s for s in group.recorded_steps() if s < step)
    for kind in ("weight", "correlation", "gram", "activation"):
        then = group.filters("conv1", kind, last)[2]
        np.testing.assert_array_equal(group.filters("conv1", kind, 12)[2], then)
        assert np.any(then != whole.groups[0].filters("conv1", kind, 12)[2])
    assert not group.filters("conv1", "gradient", 12)[2].any()
    assert group.filters("conv1", "gradient", last)[2].any()


@pytest.mark.parametrize("stop_at", [None, 34])
def test_the_network_of_a_stopped_run_is_kept(tmp_path, stop_at):
    every = tiny_config(tmp_path, "record.every=1", "record.networks=all")
    train(every, tmp_path / "whole.pvens", executor=sequential)
    config, path = tiny_config(tmp_path), tmp_path / "e.pvens"
    steered(config, path, (27, stop_request([2])), stop_at=stop_at)
    if stop_at:
        train(config, path, executor=sequential, resume=True)
    ensemble = Ensemble.open(path)
    step = int(ensemble.run_table()["last_step"][2])
    network = ensemble.groups[0].network(2, 12)
    expected = Ensemble.open(tmp_path / "whole.pvens").groups[0].network(2, step)
    assert list(network) == list(expected)
    for name, values in expected.items():
        np.testing.assert_array_equal(network[name], values)


def test_a_run_that_never_began_has_no_network(tmp_path):
    config = tiny_config(tmp_path, "session.0.space.conv1=[3, 4]")
    result = steered(config, tmp_path / "e.pvens", (5, stop_request([1])))
    assert result.states == {"COMPLETE": 7, "PRUNED": 1}
    group = Ensemble.open(tmp_path / "e.pvens").groups[1]
    assert group.run_indices[0] == 1
    with pytest.raises(NotRecordedError, match=r"ended \(PRUNED\) at step 0, before its network"):
        group.network(0, 12)
    assert group.network(1, 12)


def test_stopping_all_runs_ends_the_training(tmp_path):
    config = tiny_config(tmp_path)
    result = steered(config, tmp_path / "e.pvens", (20, stop_request([0, 1, 2, 3])))
    assert result.states == {"PRUNED": 4}
    assert not result.interrupted
    assert result.run_steps < 52
    again = train(config, tmp_path / "e.pvens", executor=sequential, resume=True)
    assert again.run_steps == 0
    assert again.states == {"PRUNED": 4}


def test_a_stack_goes_on_without_the_stopped_run(tmp_path):
    config = tiny_config(tmp_path)
    train(config, tmp_path / "whole.pvens", executor=vectorized)
    result = steered(config, tmp_path / "e.pvens", (8, stop_request([0])), executor=vectorized)
    assert result.states == {"COMPLETE": 3, "PRUNED": 1}
    mine, whole = (Ensemble.open(tmp_path / f"{n}.pvens").groups[0] for n in ("e", "whole"))
    for run in (1, 2, 3):
        np.testing.assert_allclose(
            mine.filters("conv2", "weight", 12)[run],
            whole.filters("conv2", "weight", 12)[run],
            atol=1e-5,
        )


def test_progress_counts_what_a_stopped_run_need_not_do(tmp_path):
    seen = []
    steered(
        tiny_config(tmp_path),
        tmp_path / "e.pvens",
        (20, stop_request([1])),
        on_progress=seen.append,
    )
    steps = [p.step for p in seen]
    assert steps == sorted(steps)
    assert steps[-1] == 52
    assert seen[-1].states == {"COMPLETE": 3, "PRUNED": 1}


# -- record ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("executor", [sequential, vectorized])
def test_recording_changes_from_a_step_that_nobody_has_passed(tmp_path, executor):
    config = tiny_config(tmp_path)
    train(tiny_config(tmp_path, "record.every=1"), tmp_path / "all.pvens", executor=executor)
    path = tmp_path / "e.pvens"
    wish = record_request(every=2, kinds=["weight"])
    moment = 20 if executor is sequential else 8
    result = steered(config, path, (moment, wish), executor=executor)
    assert result.states == {"COMPLETE": 4}
    (group,) = Ensemble.open(path).groups
    (answer,) = group.index.acknowledged
    step = answer.step
    assert 0 < step < 12
    expected = [s for s in (0, 6, 12) if s < step] + [s for s in range(0, 13, 2) if s >= step]
    assert group.recorded_steps("conv1", "weight") == expected
    assert group.recorded_steps("conv1", "gradient") == [s for s in (0, 6) if s < step]
    (whole,) = Ensemble.open(tmp_path / "all.pvens").groups
    for s in expected:
        for layer in ("conv1", "conv2"):
            np.testing.assert_array_equal(
                group.filters(layer, "weight", s), whole.filters(layer, "weight", s)
            )
    np.testing.assert_array_equal(
        group.metric_rows()["train_loss"][1], whole.metric_rows()["train_loss"][1]
    )
    assert list(group.metric_rows()["validation_loss"][0]) == [0, 4, 8, 12]


def test_other_layers_and_kinds_can_be_recorded(tmp_path):
    config = tiny_config(tmp_path, "record.kinds=weight")
    everything_recorded = tiny_config(tmp_path, "record.layers=all", "record.every=3")
    train(everything_recorded, tmp_path / "all.pvens", executor=sequential)
    path = tmp_path / "e.pvens"
    wish = record_request(every=3, layers=["all"], kinds=list(schema.KINDS))
    steered(config, path, (26, wish))
    group, whole = (Ensemble.open(p).groups[0] for p in (path, tmp_path / "all.pvens"))
    assert [x.name for x in group.layers] == [x.name for x in whole.layers]
    assert [x.kinds for x in group.layers] == [x.kinds for x in whole.layers]
    for layer in whole.layers:
        for kind in layer.kinds:
            np.testing.assert_array_equal(
                group.filters(layer.name, kind, 12), whole.filters(layer.name, kind, 12)
            )
    images = [s for key, s in group.index.tensors.items() if key == schema.PROBE_IMAGES]
    assert [len(steps) for steps in images] == [1]


def test_two_changes_follow_each_other(tmp_path):
    path = tmp_path / "e.pvens"
    steered(
        tiny_config(tmp_path, "steps=40", "record.every=20"),
        path,
        (40, record_request(every=5)),
        (90, record_request(kinds=["weight"])),
    )
    (group,) = Ensemble.open(path).groups
    first, second = (a.step for a in group.index.acknowledged)
    assert 0 < first < second < 40
    expected = [0] + [s for s in range(0, 41, 5) if s >= first]
    assert group.recorded_steps("conv1", "weight") == expected
    assert group.recorded_steps("conv1", "gradient") == [s for s in expected if s < second]


# -- add -------------------------------------------------------------------------------------------


def test_added_runs_are_those_that_a_configuration_would_have_trained(tmp_path):
    path = tmp_path / "e.pvens"
    wish = add_request({"learning_rate": [0.02, 0.03], "momentum": [0.9], "weight_decay": [0.01]})
    result = steered(tiny_config(tmp_path), path, (20, wish))
    assert result.states == {"COMPLETE": 6}
    alone = tiny_config(
        tmp_path,
        "session.0.space.learning_rate=[0.02, 0.03]",
        "session.0.space.momentum=[0.9]",
        "train.weight_decay=0.01",
    )
    train(alone, tmp_path / "alone.pvens", executor=sequential)
    ensemble = Ensemble.open(path)
    table = ensemble.run_table()
    assert list(table["session"]) == ["grid"] * 4 + ["added 1"] * 2
    np.testing.assert_array_equal(table["learning_rate"][4:], [0.02, 0.03])
    np.testing.assert_array_equal(table["weight_decay"], [np.nan] * 4 + [0.01] * 2)
    assert [s.name for s in ensemble.sessions] == ["grid", "added 1"]
    assert len({s.color for s in ensemble.sessions}) == 2
    ids = set(table["run_id"][4:])
    expected = of_runs(everything(tmp_path / "alone.pvens"), ids)
    assert len(ids) == 2
    assert differences(of_runs(everything(path), ids), expected) == []
    settings = [stored_runs(ensemble)[run_id].settings for run_id in table["run_id"][4:]]
    assert [s.learning_rate for s in settings] == [0.02, 0.03]


def test_runs_that_are_there_are_not_added_again(tmp_path):
    path = tmp_path / "e.pvens"
    first = add_request({"learning_rate": [0.01, 0.03], "momentum": [0.5]})
    again = add_request({"learning_rate": [0.03], "momentum": [0.5]})
    steered(tiny_config(tmp_path), path, (9, first), (12, again))
    assert Ensemble.open(path).n_runs == 5
    answers = [entry for entry in said(path) if entry[1] != "request"]
    assert answers[0] == (1, "accepted", "1 run added as session 'added 1'")
    assert answers[1] == (2, "refused", "every one of these runs is in the ensemble already")


def test_runs_can_be_added_to_a_training_that_has_ended(tmp_path):
    config, path = tiny_config(tmp_path), tmp_path / "e.pvens"
    train(config, path, executor=sequential)
    send_request(Ensemble.open(path), add_request({"learning_rate": [0.2]}))
    assert Ensemble.open(path).n_runs == 4
    result = train(config, path, executor=sequential, resume=True)
    assert result.states == {"COMPLETE": 5}
    assert train(config, path, executor=sequential, resume=True).run_steps == 0


# -- going on --------------------------------------------------------------------------------------


@pytest.mark.parametrize("moment", [28, 33, 45, 60, 75])
def test_steered_interrupted_and_resumed_is_steered(tmp_path, moment):
    config = tiny_config(tmp_path, "steps=30")
    requests = [
        (9, stop_request([1])),
        (15, record_request(every=4, layers=["all"], kinds=["weight", "correlation"])),
        (26, add_request({"learning_rate": [0.02], "momentum": [0.5, 0.9]})),
    ]
    steered(config, tmp_path / "whole.pvens", *requests)
    path = tmp_path / "e.pvens"
    assert steered(config, path, *requests, stop_at=moment).interrupted
    train(config, path, executor=sequential, resume=True)
    found = everything(path)
    assert differences(found, everything(tmp_path / "whole.pvens")) == []
    assert list(Ensemble.open(path).run_table()["state"]).count("PRUNED") == 1


def test_what_was_asked_before_the_start_is_done_first(tmp_path):
    config, path = tiny_config(tmp_path), tmp_path / "e.pvens"
    train(config, path, executor=sequential, stop=lambda: True)
    send_request(Ensemble.open(path), stop_request([0]))
    send_request(Ensemble.open(path), record_request(every=1))
    result = train(config, path, executor=sequential, resume=True)
    assert result.states == {"COMPLETE": 3, "PRUNED": 1}
    assert Ensemble.open(path).recorded_steps == list(range(13))


# -- refusals --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        (record_request(layers=["conv9"]), "no layer with weights matches 'conv9'"),
        (add_request({"learning_rte": [0.1]}), "did you mean 'learning_rate'?"),
        (add_request({"momentum": [1.5]}), "momentum: got 1.5, allowed: less than 1"),
        (add_request({"batch_size": [100000]}), "allowed: at most the 200 training images"),
        (stop_request([0, 77]), "there is no run 77; there are 0 to 3"),
    ],
    ids=["layer", "setting", "value", "data", "run"],
)
def test_what_cannot_be_done_is_refused_and_changes_nothing(tmp_path, request_, text):
    config, path = tiny_config(tmp_path), tmp_path / "e.pvens"
    train(config, tmp_path / "whole.pvens", executor=sequential)
    directory = steering_directory(path.with_name("e.pvens.d"))

    def ask():
        if not directory.exists() and (path.with_name("e.pvens.d") / "g000").is_dir():
            write_request(directory, request_)
        return False

    assert train(config, path, executor=sequential, stop=ask).states == {"COMPLETE": 4}
    assert differences(everything(path), everything(tmp_path / "whole.pvens")) == []
    (answer,) = [entry for entry in said(path) if entry[1] != "request"]
    assert answer[:2] == (1, "refused")
    assert text in answer[2]


def test_a_run_that_has_ended_cannot_be_stopped(tmp_path):
    config = tiny_config(tmp_path, "session.0.space.learning_rate=[0.01, 1e12]")
    path = tmp_path / "e.pvens"
    steered(config, path, (45, stop_request([0, 2])))
    assert list(Ensemble.open(path).run_table()["state"]) == [
        "PRUNED",
        "COMPLETE",
        *["DIVERGED"] * 2,
    ]
    (answer,) = [entry for entry in said(path) if entry[1] != "request"]
    assert answer[1] == "accepted"
    assert answer[2].startswith("run 0 stopped at step ")
    assert answer[2].endswith("; run 2 had ended before")


def test_hostile_requests_are_reported_once_and_ignored(tmp_path):
    config, path = tiny_config(tmp_path), tmp_path / "e.pvens"
    train(config, path, executor=sequential, stop=lambda: True)
    directory = steering_directory(path.with_name("e.pvens.d"))
    directory.mkdir()
    secret = tmp_path / "secret"
    secret.write_text("do not tell")
    valid = {"action": "stop", "runs": [0], "time": 1.0, "by": "me"}
    contents = [
        "{",
        "[1]",
        json.dumps({**valid, "action": "rm"}),
        json.dumps({**valid, "runs": [-1]}),
        json.dumps({**valid, "runs": "all"}),
        json.dumps({**valid, "time": float("nan")}),
        json.dumps({**valid, "by": "me\nrequest 9 accepted"}),
        "[" * 100_000,
        " " * 300_000,
        json.dumps({"action": "add", "settings": {"__class__.__init__": [1]}, "time": 1, "by": ""}),
        json.dumps({"action": "record", "every": 10**400, "time": 1, "by": ""}),
    ]
    for number, text in enumerate(contents, 1):
        (directory / f"{number:06d}.json").write_text(text)
    (directory / "000012.json").symlink_to(secret)
    (directory / "000013.json").mkdir()
    os.mkfifo(directory / "000014.json")
    (directory / "notes.txt").write_text("mine")
    assert train(config, path, executor=sequential, resume=True).states == {"COMPLETE": 4}
    answers = [entry for entry in said(path) if entry[1] != "request"]
    assert sorted(number for number, _, _ in answers) == list(range(1, 15))
    assert {event for _, event, _ in answers} == {"refused"}
    assert all("\n" not in text and "do not tell" not in text for _, _, text in answers)
    train(config, path, executor=sequential, resume=True)
    assert len([entry for entry in said(path) if entry[1] != "request"]) == 14
