"""Requests to a training as files, and the log that is made of them and of the indexes."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import numpy as np
import pytest

from pvensemble.errors import SteeringError
from pvensemble.store import Acknowledgement, Ensemble, EnsembleWriter, LayerInfo, RunInfo
from pvensemble.store.check import check_ensemble
from pvensemble.store.log import ensemble_log, has_ended, is_answered, is_training, send_request
from pvensemble.store.steering import (
    add_request,
    exclusive,
    read_requests,
    record_request,
    steering_directory,
    stop_request,
    write_request,
)
from pvensemble.store.steering_text import parse_settings


@pytest.fixture
def ensemble(tmp_path):
    """An ensemble of two groups of three and two runs, being written."""
    writer = EnsembleWriter.create(tmp_path / "e.pvens", provenance={"config": {}})
    groups = [
        writer.create_group(
            [RunInfo(f"{letter}{i}", {"lr": 0.1}) for i in range(n)],
            [LayerInfo("conv1", "Conv2d", (2, 1, 3, 3), ("weight",))],
            parameters={"conv1.weight": (2, 1, 3, 3), "conv1.bias": (2,), "fc.weight": (4, 8)},
        )
        for letter, n in (("a", 3), ("b", 2))
    ]
    yield tmp_path / "e.pvens", groups
    writer.finish()


def write_many(directory: Path, who: int) -> None:
    for _ in range(20):
        write_request(directory, stop_request([who]))


def test_processes_that_ask_at_once_get_numbers_of_their_own(tmp_path):
    directory = tmp_path / "steering"
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=write_many, args=(directory, who)) for who in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    requests = read_requests(directory)
    assert [r.number for r in requests] == list(range(1, 61))
    assert sorted(r.runs[0] for r in requests) == [0] * 20 + [1] * 20 + [2] * 20
    assert not [p for p in directory.iterdir() if p.suffix != ".json"]


@pytest.mark.parametrize(
    "request_",
    [
        stop_request([3, 1, 1], "why ✓"),
        record_request(every=5),
        record_request(layers=["conv*"], kinds=[]),
        add_request({"lr": [0.1, 1], "model.name": ["a"], "nesterov": [True]}),
    ],
)
def test_a_request_is_read_as_it_was_written(tmp_path, request_):
    written = write_request(tmp_path / "steering", request_)
    (read,) = read_requests(tmp_path / "steering")
    assert read == written
    assert read.number == 1
    assert "@" in read.by
    assert read.time > 1.7e9


def test_settings_are_numbers_words_and_truths():
    assert parse_settings("lr=0.1,1e-3 steps=10 nesterov=true,False model.name=lenet") == {
        "lr": [0.1, 0.001],
        "steps": [10],
        "nesterov": [True, False],
        "model.name": ["lenet"],
    }
    with pytest.raises(SteeringError, match="'lr' is given twice"):
        parse_settings("lr=1 lr=2")
    with pytest.raises(SteeringError, match="more than 10,000 combinations"):
        add_request({"a": list(range(200)), "b": list(range(200))})


def test_a_request_is_answered_once_all_that_it_concerns_have(ensemble):
    path, (first, second) = ensemble
    opened = Ensemble.open(path)
    both = send_request(opened, stop_request([0, 4]))
    one = send_request(opened, stop_request([4]))
    record = send_request(opened, record_request(every=3))
    second.acknowledge(Acknowledgement(both.number, "accepted", "did", 1.0))
    second.acknowledge(Acknowledgement(one.number, "accepted", "did", 1.0))
    second.acknowledge(Acknowledgement(record.number, "accepted", "did", 1.0))
    opened.refresh()
    assert [is_answered(opened, r) for r in (both, one, record)] == [False, True, False]
    first.acknowledge(Acknowledgement(both.number, "accepted", "did", 1.0))
    first.set_states([0, 1, 2], "COMPLETE", step=1)
    opened.refresh()
    assert has_ended(opened.groups[0])
    assert [is_answered(opened, r) for r in (both, one, record)] == [True] * 3


def test_an_acknowledgement_announces_layers_and_is_stored_once(ensemble):
    path, (group, _) = ensemble
    layers = (
        LayerInfo("conv1", "Conv2d", (2, 1, 3, 3), ("weight", "gradient")),
        LayerInfo("fc", "Linear", (4, 8), ("weight",)),
    )
    said = Acknowledgement(1, "accepted", "text", 5.0, 7, {"every": 2, "layers": ["all"]}, layers)
    group.acknowledge(said)
    group.acknowledge(Acknowledgement(1, "refused", "again", 6.0))
    group.commit(8, {("fc", "weight"): np.ones((3, 4, 8), np.float32)})
    read = Ensemble.open(path).groups[0]
    assert read.index.acknowledged == [said]
    assert read.layers == list(layers)
    assert read.recorded_steps("fc", "weight") == [8]


def test_the_log_is_in_the_order_of_time_and_names_runs_by_index(ensemble):
    path, (first, second) = ensemble
    request = send_request(Ensemble.open(path), stop_request([3, 4], "dull"))
    second.set_states([0, 1], "PRUNED", step=9, reason="stopped by me")
    second.acknowledge(Acknowledgement(request.number, "accepted", "did", request.time + 60))
    first.set_states([2], "DIVERGED", step=3, reason="the loss was nan")
    log = ensemble_log(Ensemble.open(path))
    assert [e.event for e in log] == ["process", "request", "stopped", "diverged", "accepted"]
    assert log[1].text == f"stop runs 3-4 (dull) (by {request.by})"
    assert log[2].text == "runs 3-4 stopped at step 9: stopped by me"
    assert log[2].group == "g001"
    assert log[3].text == "run 2 diverged at step 3: the loss was nan"
    assert [e.request for e in log] == [0, 1, 0, 0, 1]


def test_only_one_process_deals_with_what_no_group_has_to_itself(tmp_path):
    with exclusive(tmp_path) as first, exclusive(tmp_path) as second:
        assert (first, second) == (True, False)
    with exclusive(tmp_path) as third:
        assert third


def test_whether_a_process_trains_is_known(ensemble):
    path, groups = ensemble
    opened = Ensemble.open(path)
    assert is_training(opened)
    for group in groups:
        group.close()
    assert not is_training(opened)


def test_a_check_tells_of_requests_that_are_not_understood(ensemble):
    path, _ = ensemble
    send_request(Ensemble.open(path), stop_request([0]))
    assert not check_ensemble(path).findings
    directory = steering_directory(path.with_name("e.pvens.d"))
    (directory / "000002.json").write_text(json.dumps({"action": "stop"}))
    (finding,) = check_ensemble(path).findings
    assert finding.level == "note"
    assert "000002.json: time: got None" in finding.text
