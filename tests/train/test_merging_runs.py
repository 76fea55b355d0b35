"""Filters are merged while an ensemble trains: what is recorded, and that nothing else changes."""

from __future__ import annotations

import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional
from training_cases import TOML, differences, everything, run_python, tiny_config

from pvensemble import schema
from pvensemble.errors import ConfigError
from pvensemble.store import Ensemble
from pvensemble.train import data as data_sets
from pvensemble.train import training
from pvensemble.train.executors import InProcess
from pvensemble.train.models import build_model
from pvensemble.train.native import build
from pvensemble.train.search import sample_runs
from pvensemble.train.trainer import train

SESSIONS = """
[[session]]
name = "untouched"
[session.space]
learning_rate = [0.05]

[[session]]
name = "merging"
[session.space]
learning_rate = [0.01, 0.05]
[session.fixed]
reduce.threshold = 0.3
reduce.every = 3
"""
MIXED = TOML[: TOML.index("[[session]]")] + SESSIONS


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """Return the configuration and the ensemble of one untouched run and two that merge."""
    directory = tmp_path_factory.mktemp("mixed")
    config = tiny_config(directory, "record.networks=all", toml=MIXED)
    train(config, directory / "mixed.pvens", workers=0)
    return config, directory / "mixed.pvens"


def test_events_tell_the_filters_that_are_left(mixed):
    _, path = mixed
    ensemble = Ensemble.open(path)
    (group,) = ensemble.groups
    events = ensemble.merges()
    assert {event.run for event in events} == {1, 2}
    assert {event.step for event in events} <= {3, 6, 9}
    assert group.recorded_steps() == [0, 3, 6, 9, 12]
    for run in range(3):
        for layer, n in (("conv1", 4), ("conv2", 6)):
            counts = ensemble.curve(schema.n_filters_metric(layer))
            standing = np.arange(n)
            for column, step in enumerate(counts.steps):
                stored = group.filters(layer, schema.FILTER_GROUP, step)[run]
                np.testing.assert_array_equal(stored, standing)
                assert counts.values[run, column] == len(set(standing))
                for event in events:
                    if (event.run, event.step, event.layer) == (run, step, layer):
                        assert event.n_filters[0] == len(set(standing))
                        for members in event.groups:
                            standing[np.isin(standing, members)] = members[0]
                        assert event.n_filters[1] == len(set(standing))
                        assert all(0.3 <= r <= 1 for r in event.r)
    assert counts.values[0].tolist() == [6] * 5
    assert counts.values[1:, -1].max() < 6


def test_recorded_correlations_give_the_events(mixed):
    from pvensemble.numerics.merging import similar_filters

    _, path = mixed
    ensemble = Ensemble.open(path)
    (group,) = ensemble.groups
    found = {(e.run, e.step, e.layer): [list(g) for g in e.groups] for e in ensemble.merges()}
    for run in (1, 2):
        for step in (3, 6, 9):
            for layer in ("conv1", "conv2"):
                matrix = group.filters(layer, schema.CORRELATION, step)[run]
                groups = [g.tolist() for g in similar_filters(matrix, 0.3)]
                assert found.get((run, step, layer), []) == groups


def test_what_was_merged_away_is_0_and_loads_into_the_whole_network(mixed):
    config, path = mixed
    (group,) = Ensemble.open(path).groups
    data = data_sets.load_data(config.data)
    steps, accuracy = group.metric_rows()[schema.TEST_ACCURACY]
    n_gone = 0
    for position, spec in enumerate(sample_runs(config)):
        for layer in ("conv1", "conv2"):
            standing = group.filters(layer, schema.FILTER_GROUP, 12)[position]
            gone = standing != np.arange(len(standing))
            n_gone += gone.sum()
            for kind in (schema.WEIGHT, schema.GRADIENT, schema.CORRELATION, schema.ACTIVATION):
                tensor = group.filters(layer, kind, 12)[position]
                assert (tensor[gone] == 0).all()
                if kind != schema.GRADIENT:
                    assert (tensor[~gone] != 0).reshape((~gone).sum(), -1).any(axis=1).all()
            assert (
                np.diagonal(group.filters(layer, schema.CORRELATION, 12)[position]) != gone
            ).all()
        model = build_model(
            spec.settings.model, input_shape=data.input_shape, n_classes=10, seed=99
        )
        own = group.network(position, 12)
        model.load_state_dict({name: torch.from_numpy(values) for name, values in own.items()})
        right = (model.eval()(data.test.images).argmax(1) == data.test.labels).float().mean()
        assert float(right) == pytest.approx(accuracy[list(steps).index(12), position])
    assert n_gone > 3


def test_untouched_run_is_that_of_an_ensemble_without_merging(mixed, tmp_path):
    _, path = mixed
    alone = TOML[: TOML.index("[[session]]")] + SESSIONS[: SESSIONS.rindex("[[session]]")]
    config = tiny_config(tmp_path, "record.every=3", "evaluate.every=1", toml=alone)
    train(config, tmp_path / "alone.pvens", workers=0)
    a, b = everything(path), everything(tmp_path / "alone.pvens")
    assert sample_runs(config)[0].run_id == Ensemble.open(path).groups[0].runs[0].run_id
    tensors = [n for n in b if n.startswith("tensor")]
    assert len(tensors) == 2 * 5 * 5
    assert [n for n in tensors if not np.array_equal(a[n], b[n])] == []


class Countdown:
    """Says True from the n-th question on."""

    def __init__(self, n: int) -> None:
        self.left = n

    def __call__(self) -> bool:
        self.left -= 1
        return self.left <= 0


@pytest.mark.parametrize(
    "overrides",
    [(), ("train.optimizer=adam", "train.engine=torch", "model.conv_activation=relu")],
    ids=["sgd", "adam, torch"],
)
def test_interrupted_and_resumed_is_unbroken(tmp_path, monkeypatch, overrides):
    monkeypatch.setattr(training, "PROGRESS_SECONDS", 0.0)
    config = tiny_config(tmp_path, *overrides, toml=MIXED)
    whole, path = tmp_path / "whole.pvens", tmp_path / "broken.pvens"
    train(config, whole, workers=0)
    parts = 0
    while train(
        config, path, workers=0, resume=parts > 0, stop=Countdown(4 + 5 * parts)
    ).interrupted:
        parts += 1
        assert parts < 30
    assert parts >= 2
    assert differences(everything(path), everything(whole)) == []
    assert Ensemble.open(path).merges() == Ensemble.open(whole).merges() != []


NORMED = """
from torch import nn


def net(input_shape, n_classes):
    return nn.Sequential(
        nn.Conv2d(1, 6, 3, bias=False), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout(0.2),
        nn.Conv2d(6, 8, 3), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(2), nn.Flatten(),
        nn.Linear(32, n_classes),
    )
"""


def test_batch_norm_of_a_users_own_network_is_merged_and_resumed(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "PROGRESS_SECONDS", 0.0)
    (tmp_path / "normed_for_merging.py").write_text(NORMED)
    start, end = MIXED.index("[model]"), MIXED.index("[train]")
    toml = MIXED[:start] + '[model]\nname = "normed_for_merging:net"\n\n' + MIXED[end:]
    config = tiny_config(tmp_path, "reduce.every=5", toml=toml)
    whole, path = tmp_path / "whole.pvens", tmp_path / "broken.pvens"
    train(config, whole, workers=0)
    assert train(config, path, workers=0, stop=Countdown(24)).interrupted
    train(config, path, workers=0, resume=True)
    assert differences(everything(path), everything(whole)) == []
    (group,) = Ensemble.open(whole).groups
    assert {event.layer for event in group.merges} == {"0", "4"}
    left = len(set(group.standing(1, 12)["0"].tolist()))
    compact = group.network(1, 12, compact=True)
    for name in ("0.weight", "1.running_var", "1.weight"):
        assert len(compact[name]) == left < 6
        assert (compact[name] != 0).any(axis=tuple(range(1, compact[name].ndim))).all()
    assert compact["4.weight"].shape[1] == left


PROGRAM = """
import os
import signal
import time
from pathlib import Path
from test_merging_runs import MIXED
from training_cases import tiny_config
from pvensemble.store import Ensemble
from pvensemble.train import training
from pvensemble.train.trainer import train
training.CHECKPOINT_SECONDS = 0.1
training.PROGRESS_SECONDS = 0.0
directory = Path({directory!r})
path = directory / "killed.pvens"

def die_in_the_middle(progress):
    time.sleep(0.02)  # the store writes while training goes on
    if path.exists() and len(Ensemble.open(path).recorded_steps) > 12:
        os.kill(os.getpid(), signal.SIGKILL)

train(
    tiny_config(directory, "steps=90", toml=MIXED), path, workers=2, on_progress=die_in_the_middle
)
"""


def test_killed_and_resumed_has_every_merge_once(tmp_path):
    config = tiny_config(tmp_path, "steps=90", toml=MIXED)
    whole, path = tmp_path / "whole.pvens", tmp_path / "killed.pvens"
    train(config, whole, workers=0)
    ended = run_python(PROGRAM.format(directory=str(tmp_path)))
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    seen = Ensemble.open(path)
    assert 12 < len(seen.recorded_steps) < 31
    train(config, path, workers=0, resume=True)
    assert differences(everything(path), everything(whole)) == []
    events = Ensemble.open(path).merges()
    assert events == Ensemble.open(whole).merges()
    assert {e.step for e in events if e.step <= seen.recorded_steps[-2]} <= {
        e.step for e in seen.merges()
    }


def test_planted_duplicates_are_merged_without_a_loss(tmp_path, monkeypatch):
    """Half of the filters are copies at step 0: they go, and accuracy and loss stay."""
    make = build_model

    def planted(*args, **kwargs):
        model = make(*args, **kwargs)
        with torch.no_grad():
            model.conv1.weight[2:] = model.conv1.weight[:2]
            model.conv2.weight[3:] = model.conv2.weight[:3]
        return model

    monkeypatch.setattr("pvensemble.train.executors.one_run.build_model", planted)
    config = tiny_config(
        tmp_path, "reduce.threshold=0.9999", "reduce.start=0", "reduce.every=20", "steps=4"
    )
    train(config, tmp_path / "e.pvens", workers=0)
    events = Ensemble.open(tmp_path / "e.pvens").merges()
    assert len(events) == 8
    for event in events:
        assert (
            event.groups
            == {"conv1": ((0, 2), (1, 3)), "conv2": ((0, 3), (1, 4), (2, 5))}[event.layer]
        )
        assert event.accuracy[0] == event.accuracy[1]
        assert event.loss[0] == pytest.approx(event.loss[1], rel=1e-5)


@pytest.mark.parametrize("engine", ["torch", "native"])
def test_training_goes_on_as_torch_trains_the_small_network(tmp_path, monkeypatch, engine):
    """The update that leaves the merge, momentum included, from what was stored before it."""
    if engine == "native":
        try:
            build.library()
        except build.NoLibrary as error:
            pytest.skip(f"no compiled engine: {error}")
    make = build_model

    def symmetric(*args, **kwargs):
        model = make(*args, **kwargs)
        with torch.no_grad():  # copies that also go into the same weights stay copies
            model.conv1.weight[2:] = model.conv1.weight[:2]
            model.conv2.weight[:, 2:] = model.conv2.weight[:, :2]
        return model

    monkeypatch.setattr("pvensemble.train.executors.one_run.build_model", symmetric)
    config = tiny_config(
        tmp_path,
        *("steps=4", "record.every=1", "record.networks=all", f"train.engine={engine}"),
        *("train.weight_decay=0", "train.bias_lr_multiplier=1", "reduce.layers=conv1"),
        *("reduce.threshold=0.999", "reduce.start=2", "reduce.every=9"),
        *("session.0.space.learning_rate=[0.05]", "session.0.space.momentum=[0.9]"),
    )
    train(config, tmp_path / "e.pvens", workers=0)
    (group,) = Ensemble.open(tmp_path / "e.pvens").groups
    (event,) = group.merges
    assert event.groups == ((0, 2), (1, 3))
    (spec,) = sample_runs(config)
    data = data_sets.load_data(config.data)
    options = {**spec.settings.model.options, "conv1": 2}
    small = make(
        replace(spec.settings.model, options=options),
        input_shape=data.input_shape,
        n_classes=10,
        seed=9,
    )

    def in_small(whole: dict) -> dict:
        """By hand: the mean of both copies, and the sum of what takes them."""
        tensors = {name: torch.from_numpy(values.copy()) for name, values in whole.items()}
        for name in ("conv1.weight", "conv1.bias"):
            tensors[name] = (tensors[name][:2] + tensors[name][2:]) / 2
        tensors["conv2.weight"] = tensors["conv2.weight"][:, :2] + tensors["conv2.weight"][:, 2:]
        return tensors

    before, now = group.network(0, 1), group.network(0, 2)
    small.load_state_dict(in_small(now))
    velocity = in_small({name: (before[name] - now[name]) / 0.05 for name in now})
    chosen = data_sets.batch_indices(spec.settings.seed, 200, 16, 2).copy()
    loss = functional.cross_entropy(small(data.train.images[chosen]), data.train.labels[chosen])
    measured = Ensemble.open(tmp_path / "e.pvens").curve(schema.TRAIN_LOSS)
    assert loss.item() == pytest.approx(measured.values[0, 2], rel=1e-5)
    loss.backward()
    after = group.network(0, 3, compact=True)
    for name, p in small.named_parameters():
        expected = p.detach() - 0.05 * (0.9 * velocity[name] + p.grad)
        np.testing.assert_allclose(after[name], expected.numpy(), rtol=1e-4, atol=2e-6)


def test_a_vectorized_executor_says_why_it_goes_one_by_one(tmp_path):
    texts = []
    config = tiny_config(tmp_path, "steps=4", toml=MIXED)
    train(
        config,
        tmp_path / "e.pvens",
        executor=lambda data: InProcess(data, vectorized=True),
        on_progress=lambda progress: texts.append(progress.message),
    )
    assert any("one run at a time: filters are merged" in text for text in texts)
    assert Ensemble.open(tmp_path / "e.pvens").merges()


def test_settings_of_merging_are_checked(tmp_path):
    with pytest.raises(ConfigError, match=r"reduce.threshold: got 1.5, allowed: at most 1"):
        tiny_config(tmp_path, "reduce.threshold=1.5")
    late = tiny_config(tmp_path, "reduce.threshold=0.9", "reduce.start=12")
    with pytest.raises(ConfigError, match="reduce.start: got 12, allowed: less than the 12 steps"):
        sample_runs(late)
    wrong = tiny_config(tmp_path, "reduce.threshold=0.9", "reduce.layers=cnv1")
    with pytest.raises(ConfigError, match=r"no convolution matches 'cnv1'; did you mean 'conv1'"):
        train(wrong, tmp_path / "e.pvens", workers=0)


def test_threshold_is_a_hyper_parameter_of_the_runs_that_have_one(mixed):
    config, path = mixed
    ensemble = Ensemble.open(path)
    column = ensemble.run_table()["reduce_threshold"]
    np.testing.assert_array_equal(column, [np.nan, 0.3, 0.3])
    assert "reduce_threshold" in [p.name for p in ensemble.hyper_parameters]
    assert len({spec.run_id for spec in sample_runs(config)}) == 3
