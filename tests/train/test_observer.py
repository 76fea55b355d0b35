"""An observer sees all groups in step, and nothing that is stored changes by it."""

from __future__ import annotations

import numpy as np
import pytest
from observing import Witness
from test_resume import Countdown
from training_cases import differences, everything, tiny_config

from pvensemble.store import Ensemble
from pvensemble.train import training
from pvensemble.train.executors import InProcess
from pvensemble.train.executors.pool import Pool
from pvensemble.train.trainer import train

TWO_SHAPES = "session.0.space={'model.conv1' = [3, 4], 'learning_rate' = [0.01, 0.05]}"
STOPS = [0, 4, 6, 8, 12]
EXECUTORS = {
    "one at a time": InProcess,
    "together": lambda data: InProcess(data, vectorized=True),
    "workers": lambda data: Pool(data, ["cpu"] * 3),
}


def plain(tmp_path, executor):
    """Train without an observer; return all that is stored."""
    train(tiny_config(tmp_path, TWO_SHAPES), tmp_path / "plain.pvens", executor=executor)
    return everything(tmp_path / "plain.pvens")


@pytest.mark.parametrize("executor", EXECUTORS.values(), ids=EXECUTORS)
def test_groups_are_seen_in_step_and_the_store_is_the_same(tmp_path, executor):
    witness = Witness(seen=range(0, 99, 3), tensors=(3, 4, 5))
    path = tmp_path / "e.pvens"
    train(tiny_config(tmp_path, TWO_SHAPES), path, executor=executor, observer=witness)
    assert differences(everything(path), plain(tmp_path, executor)) == []
    halts = sorted({*STOPS, 3, 5, 9})
    assert [group.name for group in witness.groups] == ["g000", "g001"]
    assert witness.groups[0].halts == tuple(halts)
    assert witness.groups[0].recorded == {0, 6, 12}
    assert (witness.path, witness.ended) == (path, True)
    following = dict(zip(halts, [*halts[1:], None]))
    for name in ("g000", "g001"):
        assert witness.of(name) == halts
        assert all(f == following[step] for g, step, _, _, f in witness.seen if g == name)
    # neither group is ever more than what runs have under way ahead of the other
    places = {"g000": -1, "g001": -1}
    furthest = 8 if executor is EXECUTORS["workers"] else 2
    for group, step, *_ in witness.seen:
        places[group] = halts.index(step)
        assert abs(places["g000"] - places["g001"]) <= furthest


def test_what_is_seen_between_stops_is_the_state_of_that_step(tmp_path):
    witness = Witness(tensors=(3, 5))
    path = tmp_path / "e.pvens"
    train(tiny_config(tmp_path, TWO_SHAPES), path, workers=0, observer=witness)
    every_step = tmp_path / "all.pvens"
    train(tiny_config(tmp_path, TWO_SHAPES, "record.every=1"), every_step, workers=0)
    ensemble = Ensemble.open(every_step)
    loss = {
        name: ensemble.groups[i].metric_rows()["train_loss"][1]
        for i, name in enumerate(["g000", "g001"])
    }
    seen = witness.metric("train_loss")
    compared = 0
    for name, step, metrics, tensors, _ in witness.seen:
        group = next(g for g in ensemble.groups if g.name == name)
        np.testing.assert_array_equal(seen[name, step], loss[name][step])
        assert metrics["train_loss"][0][-1] == step
        assert bool(tensors) == (step in (0, 3, 5, 6, 12)), step
        for (layer, kind), values in tensors.items():
            np.testing.assert_array_equal(
                values, group.filters(layer, kind, step), err_msg=f"{layer} {kind}"
            )
            compared += 1
    assert compared == 2 * (5 * 10 + 1)  # the last networks as well
    assert ensemble.groups[0].recorded_steps() == list(range(13))
    assert Ensemble.open(path).groups[0].recorded_steps() == [0, 6, 12]


@pytest.mark.parametrize(("vectorized", "questions"), [(False, 45), (True, 25)])
def test_interrupted_between_stops_another_observer_goes_on(
    tmp_path, monkeypatch, vectorized, questions
):
    """Checkpoints know nothing of observers, so that any may look when the training is resumed."""
    monkeypatch.setattr(training, "PROGRESS_SECONDS", 0.0)
    config = tiny_config(tmp_path, TWO_SHAPES)
    path = tmp_path / "e.pvens"

    def executor(data):
        return InProcess(data, vectorized=vectorized)

    seen = Witness(seen=range(0, 99, 5))
    first = train(config, path, executor=executor, observer=seen, stop=Countdown(questions))
    assert (first.interrupted, seen.ended) == (True, True)
    assert any(step % 5 == 0 and step not in STOPS for _, step, *_ in seen.seen)
    again = Witness(seen=range(99))
    second = train(config, path, executor=executor, observer=again, resume=True)
    assert second.states == {"COMPLETE": 4}
    assert differences(everything(path), plain(tmp_path, executor)) == []
    for group in again.groups:
        assert again.of(group.name) == list(group.halts)
        assert (group.halts[0] > 0, group.halts[-1]) == (True, 12)
    for group in seen.groups:  # nothing is left out between what both have seen
        assert {*STOPS} <= {*seen.of(group.name), *again.of(group.name)}


def test_a_run_that_fails_holds_nobody_up(tmp_path, monkeypatch):
    from pvensemble.train.executors.one_run import OneRun

    update = OneRun._update

    def fail_at_7(run):
        if run.step == 7 and run.position == 1:
            raise ArithmeticError("planted")
        update(run)

    monkeypatch.setattr(OneRun, "_update", fail_at_7)
    witness = Witness(seen=range(99))
    result = train(
        tiny_config(tmp_path, TWO_SHAPES), tmp_path / "e.pvens", workers=0, observer=witness
    )
    assert result.states == {"COMPLETE": 2, "FAILED": 2}
    for name in ("g000", "g001"):
        assert witness.of(name) == list(range(13))
        assert (name, (1,), "FAILED", 7) in witness.told
        assert (name, (0,), "COMPLETE", 12) in witness.told
    loss = witness.metric("train_loss")
    assert np.isfinite(loss["g000", 6]).all()
    np.testing.assert_array_equal(np.isnan(loss["g000", 7]), [False, True])
