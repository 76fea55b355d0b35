"""Steering a training that somebody looks at: what is stored is as without, and all is seen."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from observing import Witness
from test_observer import EXECUTORS, TWO_SHAPES
from test_resume import Countdown
from training_cases import differences, everything, tiny_config

from pvensemble.store import Ensemble
from pvensemble.store.log import acknowledged_by, ensemble_log, send_request
from pvensemble.store.steering import add_request, record_request, stop_request
from pvensemble.train import steering, training
from pvensemble.train.executors import InProcess
from pvensemble.train.executors.pool import Pool
from pvensemble.train.trainer import train

STOP = stop_request([1, 2])
RECORD = record_request(every=2, layers=["all"], kinds=["weight", "correlation"])
ADD = add_request({"learning_rate": [0.02], "momentum": [0.5, 0.8]})
END = 48
BETWEEN = (9, 23, 25, 31, 37, 41, 43)
STOPS, FIFTHS, RECORDED, SEEN = (range(0, END + 1, n) for n in (4, 5, 6, 7))


@pytest.fixture(autouse=True)
def _look_every_step(monkeypatch):
    monkeypatch.setattr(training, "PROGRESS_SECONDS", 0.0)
    monkeypatch.setattr(steering, "LOOK_SECONDS", 0.0)


def said(path):
    log = ensemble_log(Ensemble.open(path))
    return sorted((e.request, e.group, e.event, e.text.partition(" (by")[0]) for e in log)


@pytest.mark.parametrize(
    ("executor", "watched_by"),
    [
        (EXECUTORS["one at a time"], EXECUTORS["one at a time"]),
        (EXECUTORS["together"], EXECUTORS["together"]),
        (EXECUTORS["one at a time"], lambda data: Pool(data, ["cpu"] * 2)),
    ],
    ids=EXECUTORS,
)
def test_what_is_stored_is_the_same_whoever_looks(tmp_path, executor, watched_by):
    """Both are steered at the same step, because it is where they were interrupted."""
    config = tiny_config(tmp_path, TWO_SHAPES, "steps=20")
    begun = tmp_path / "begun"
    begun.mkdir()
    questions = 30 if executor is EXECUTORS["one at a time"] else 8
    stop = Countdown(questions)
    assert train(config, begun / "e.pvens", executor=executor, stop=stop).interrupted
    for request in (STOP, RECORD, ADD):
        send_request(Ensemble.open(begun / "e.pvens"), request)
    alone, watched = (tmp_path / name / "e.pvens" for name in ("alone", "watched"))
    for path in (alone, watched):
        shutil.copytree(begun, path.parent)
    train(config, alone, executor=executor, resume=True)
    first = Witness(seen=range(0, 99, 5))
    stop = Countdown(questions)
    options = {"executor": watched_by, "resume": True}
    assert train(config, watched, observer=first, stop=stop, **options).interrupted
    witness = Witness(seen=range(0, 99, 3), tensors=(9, 15))
    train(config, watched, observer=witness, **options)
    assert differences(everything(watched), everything(alone)) == []
    assert [line for line in said(watched) if line[0]] == [line for line in said(alone) if line[0]]
    states = list(Ensemble.open(watched).run_table()["state"])
    assert sorted(states) == ["COMPLETE"] * 4 + ["PRUNED"] * 2
    assert [group.name for _, group in first.changes] == ["g000", "g001", "g002", "g002"]
    seen = {*first.of("g002"), *witness.of("g002")}
    assert {*range(0, 21, 2)} <= seen, "what is recorded since the change"
    assert witness.groups[0].halts == tuple(witness.of("g000"))


class Asking(Witness):
    """Asks for something as the first group has come to step 12.

    Attributes
    ----------
    answers
        What was answered whenever a group was seen, by group.
    """

    def __init__(self, request):
        super().__init__(seen=SEEN, tensors=BETWEEN)
        self._request = request
        self.answers = []

    def stop(self, group, step, *what):
        super().stop(group, step, *what)
        if step == 12 and self._request is not None:
            send_request(Ensemble.open(self.path), self._request)
            self._request = None
        self.answers.append(acknowledged_by(Ensemble.open(self.path), 1))


def observed(tmp_path, request, executor=InProcess):
    """Train and ask for something on the way; return who has seen it, and the ensemble."""
    witness, path = Asking(request), tmp_path / "e.pvens"
    config = tiny_config(tmp_path, TWO_SHAPES, f"steps={END}")
    train(config, path, executor=executor, observer=witness)
    return witness, Ensemble.open(path)


def check_chain(witness, ensemble):
    """Each halt of a group is the one that was told to follow, or it was changed meanwhile."""
    for group in ensemble.groups:
        expected = next((g.halts[0] for g in witness.groups if g.name == group.name), None)
        changes = [change for change in witness.changes if change[1].name == group.name]
        for number, (name, step, *_, following) in enumerate(witness.seen):
            while changes and changes[0][0] <= number:
                expected = next(iter(changes.pop(0)[1].halts), None)
            if name == group.name:
                assert step == expected
                expected = following
        assert expected is None
        assert witness.of(group.name) == sorted({*witness.of(group.name)})


@pytest.mark.parametrize("executor", ["one at a time", "together"])
def test_changed_recording_is_seen_from_the_same_step_on(tmp_path, executor):
    """Halts become stops by it (25, 35), stops halts (42), and some are none any more (18)."""
    request = record_request(every=5, layers=["all"], kinds=["weight"])
    witness, ensemble = observed(tmp_path, request, EXECUTORS[executor])
    check_chain(witness, ensemble)
    for group in ensemble.groups:
        step = group.index.acknowledged[0].step
        assert 12 < step <= 16
        recorded = {s for s in RECORDED if s < step} | {s for s in FIFTHS if s >= step} | {END}
        assert group.recorded_steps() == sorted(recorded)
        assert witness.of(group.name) == sorted({*recorded, *STOPS, *SEEN, *BETWEEN})
        for name, at, _, tensors, _ in witness.seen:
            if name == group.name:
                assert bool(tensors) == (at in recorded | {*BETWEEN}), at
                if tensors and at >= step:
                    assert {layer for layer, _ in tensors} >= {"conv1", "conv2", "fc1"}


def test_added_runs_are_seen_from_their_beginning(tmp_path):
    witness, ensemble = observed(tmp_path, ADD)
    check_chain(witness, ensemble)
    assert ensemble.n_runs == 6
    new = ensemble.groups[2].name
    halts = sorted({*STOPS, *RECORDED, *SEEN, *BETWEEN})
    assert witness.of(new) == halts
    places = [i for i, seen in enumerate(witness.seen) if seen[0] == new]
    before, after = witness.seen[: places[0]], witness.seen[places[0] :]
    reached = max(step for _, step, *_ in before)
    assert 12 <= reached < END
    late = [step for name, step, *_ in after if name != new]
    ahead = sum(1 for name, step, *_ in after[: halts.index(reached)] if name != new)
    assert ahead <= 4, "the others wait until it has come so far"
    assert late
    states = {position: [] for position in (0, 1)}
    for name, positions, state, _ in witness.told:
        for position in positions if name == new else ():
            states[position].append(state)
    assert [*states.values()] == [["RUNNING", "COMPLETE"]] * 2


def test_a_stopped_run_stands_still_between_the_stops_as_well(tmp_path):
    witness, ensemble = observed(tmp_path, STOP)
    check_chain(witness, ensemble)
    table = ensemble.run_table()
    assert list(table["state"]) == ["COMPLETE", "PRUNED", "PRUNED", "COMPLETE"]
    compared = 0
    for group in ensemble.groups:
        (position,) = np.flatnonzero(table["state"][group.run_indices] == "PRUNED")
        end = int(table["last_step"][group.run_indices[position]])
        last = max(s for s in group.recorded_steps() if s <= end)
        then = group.filters("conv1", "weight", last)[position]
        for name, step, _, tensors, _ in witness.seen:
            if name == group.name and step > end and tensors:
                compared += step in BETWEEN
                np.testing.assert_array_equal(tensors["conv1", "weight"][position], then)
    assert compared


def test_an_observer_keeps_no_answer_waiting(tmp_path):
    """It may wait for other ranks, which would never get theirs."""
    witness, ensemble = observed(tmp_path, stop_request([0, 1, 2, 3]))
    answered = [len(answers) for answers in witness.answers]
    assert answered == sorted(answered)
    assert {*answered} == {0, 2}, "all groups answer before anything more is shown"
    assert [witness.of(g.name)[-1] for g in ensemble.groups] == [END, END]
