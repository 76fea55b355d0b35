"""Sampling: which runs a search space gives, what they are called, which train together."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pvensemble.errors import ConfigError
from pvensemble.train.config.file import parse_config
from pvensemble.train.provenance import hyper_parameters, session_infos
from pvensemble.train.search import group_runs, run_id, sample_runs, sample_with_repeats


def config_of(space=None, **document):
    """Return a configuration with one session of a search space."""
    session = document.pop("session", {})
    if space is not None:
        document["session"] = [{"name": "s", "space": space, **session}]
    return parse_config(document, "test")


def params(config):
    return [run.params for run in sample_runs(config)]


# -- grid ------------------------------------------------------------------------------------------


def test_grid_is_the_product_in_order():
    config = config_of({"learning_rate": [0.1, 0.2], "momentum": [0.5, 0.0, 0.9]})
    expected = [(a, b) for a in (0.1, 0.2) for b in (0.5, 0.0, 0.9)]
    assert [(p["learning_rate"], p["momentum"]) for p in params(config)] == expected
    assert [run.run_index for run in sample_runs(config)] == list(range(6))


def test_grid_ranges_are_even_on_their_scale():
    config = config_of(
        {
            "learning_rate": {"low": 0.001, "high": 0.1, "num": 3, "scale": "log"},
            "momentum": {"low": 0.0, "high": 0.8, "num": 3},
        }
    )
    got = params(config)
    assert [p["learning_rate"] for p in got[::3]] == pytest.approx([0.001, 0.01, 0.1], rel=1e-12)
    assert [p["momentum"] for p in got[:3]] == pytest.approx([0.0, 0.4, 0.8])
    assert (got[0]["learning_rate"], got[-1]["learning_rate"]) == (0.001, 0.1)


def test_grid_of_whole_numbers_categories_and_switches():
    space = {
        "conv1": {"low": 2, "high": 4},
        "optimizer": ["sgd", "adam"],
        "nesterov": {"type": "bool"},
        "batch_size": {"low": 16, "high": 64, "num": 3, "scale": "log"},
    }
    got = params(config_of(space))
    assert len(got) == 3 * 2 * 2 * 3
    assert got[0] == {"conv1": 2, "optimizer": "sgd", "nesterov": False, "batch_size": 16}
    assert got[-1] == {"conv1": 4, "optimizer": "adam", "nesterov": True, "batch_size": 64}
    assert {p["batch_size"] for p in got} == {16, 32, 64}
    assert all(type(p["conv1"]) is int for p in got)


def test_no_session_is_one_run():
    runs = sample_runs(config_of(train={"learning_rate": 0.5}))
    assert [(r.params, r.settings.learning_rate) for r in runs] == [({}, 0.5)]


# -- random ----------------------------------------------------------------------------------------

RANDOM = {
    "learning_rate": {"low": 1e-4, "high": 1e-1, "scale": "log"},
    "momentum": {"low": 0.0, "high": 0.9},
    "conv1": {"type": "int", "low": 1, "high": 4},
    "optimizer": {"choices": ["sgd", "adam"]},
    "nesterov": {"type": "bool"},
}


def random_config(n, seed=0, **changes):
    space = {**RANDOM, **changes}
    del space["nesterov"]
    return config_of(space, session={"method": "random", "n": n, "seed": seed})


def test_random_draws_are_repeatable_and_seeded():
    assert params(random_config(20)) == params(random_config(20))
    assert params(random_config(20)) != params(random_config(20, seed=1))


def test_first_random_draws_do_not_depend_on_the_number():
    ids = [run.run_id for run in sample_runs(random_config(40))]
    assert [run.run_id for run in sample_runs(random_config(15))] == ids[:15]


def test_random_draws_follow_their_distributions():
    got = params(random_config(3000))
    log_rates = np.log10([p["learning_rate"] for p in got])
    assert log_rates.min() >= -4
    assert log_rates.max() <= -1
    # Uniform on its scale: mean and spread within five standard errors.
    assert abs(log_rates.mean() + 2.5) < 5 * (3 / math.sqrt(12)) / math.sqrt(3000)
    momenta = np.array([p["momentum"] for p in got])
    assert abs(momenta.mean() - 0.45) < 5 * (0.9 / math.sqrt(12)) / math.sqrt(3000)
    counts = np.bincount([p["conv1"] for p in got], minlength=5)[1:]
    assert counts.sum() == 3000
    assert counts.min() > 750 - 5 * math.sqrt(3000 * 0.25 * 0.75)
    adam = sum(p["optimizer"] == "adam" for p in got)
    assert abs(adam - 1500) < 5 * math.sqrt(750)


def test_random_whole_numbers_on_a_log_scale_stay_in_range():
    space = {
        "batch_size": {"low": 1, "high": 100, "scale": "log"},
        "momentum": {"low": 0, "high": 0.9},
    }
    got = params(config_of(space, session={"n": 500}))
    sizes = [p["batch_size"] for p in got]
    assert (min(sizes), max(sizes)) == (1, 100)
    assert np.median(sizes) < 20


def test_random_asking_for_more_than_there_is_says_so():
    with pytest.raises(ConfigError, match=r"session 's': n: got 5, allowed: at most 3"):
        sample_runs(config_of({"momentum": [0.1, 0.2, 0.3]}, session={"method": "random", "n": 5}))


# -- list, fixed, several sessions -----------------------------------------------------------------


def test_list_gives_its_runs_and_leaves_the_rest():
    runs = [{"learning_rate": 0.5}, {"momentum": 0.1, "model": {"conv1": 3}}]
    config = parse_config({"session": [{"runs": runs}]}, "test")
    got = sample_runs(config)
    assert [r.settings.learning_rate for r in got] == [0.5, 0.01]
    assert [r.settings.momentum for r in got] == [0.9, 0.1]
    assert got[1].params == {"learning_rate": 0.01, "momentum": 0.1, "conv1": 3}


def test_sessions_have_columns_of_each_other():
    config = parse_config(
        {
            "session": [
                {"name": "a", "space": {"learning_rate": [0.1, 0.2]}},
                {"name": "b", "space": {"momentum": [0.3]}, "fixed": {"learning_rate": 0.1}},
            ]
        },
        "test",
    )
    got = sample_runs(config)
    assert [(r.session, r.params) for r in got] == [
        ("a", {"learning_rate": 0.1, "momentum": 0.9}),
        ("a", {"learning_rate": 0.2, "momentum": 0.9}),
        ("b", {"learning_rate": 0.1, "momentum": 0.3}),
    ]
    assert config.sessions[0].color != config.sessions[1].color


def test_model_type_is_a_hyper_parameter():
    config = config_of({"model.name": ["lenet", "mlp"], "model.hidden": [5]})
    first, second = sample_runs(config)
    assert first.params == {"model": "lenet"}
    assert second.params == {"model": "mlp", "hidden": 5}
    assert "hidden" not in first.settings.model.options
    assert [(h.name, h.type) for h in hyper_parameters(config)] == [
        ("model", "categorical"),
        ("hidden", "int"),
    ]


def test_data_set_is_a_hyper_parameter():
    config = config_of({"data.source": ["mnist", "fashion-mnist"]})
    assert [r.params["source"] for r in sample_runs(config)] == ["mnist", "fashion-mnist"]
    assert [r.settings.data.source for r in sample_runs(config)] == ["mnist", "fashion-mnist"]


def test_seed_is_sampled_and_not_a_column():
    runs = sample_runs(config_of({"seed": [1, 2], "momentum": [0.5]}))
    assert [r.settings.seed for r in runs] == [1, 2]
    assert [r.params for r in runs] == [{"momentum": 0.5}] * 2
    assert runs[0].run_id != runs[1].run_id


def test_betas_are_two_hyper_parameters():
    runs = sample_runs(config_of({"beta1": [0.5, 0.8]}, train={"optimizer": "adam"}))
    assert [r.settings.betas for r in runs] == [(0.5, 0.999), (0.8, 0.999)]
    assert [r.params for r in runs] == [{"beta1": 0.5}, {"beta1": 0.8}]


def test_columns_of_the_same_name_are_told_apart():
    model = {"name": "some.module:net", "size": 3}
    config = config_of({"model.size": [1, 2], "data.size": [8]}, model=model)
    assert params(config)[0] == {"model_size": 1, "data_size": 8}


def test_option_of_a_users_model_is_a_hyper_parameter():
    config = config_of({"model.filters": [4, 8]}, model={"name": "nets:mine", "depth": 2})
    runs = sample_runs(config)
    assert [r.settings.model.options for r in runs] == [
        {"depth": 2, "filters": 4},
        {"depth": 2, "filters": 8},
    ]
    assert [r.params for r in runs] == [{"filters": 4}, {"filters": 8}]


def test_repeated_run_is_trained_once():
    session = {"name": "a", "space": {"momentum": [0.1, 0.2]}}
    other = {"name": "b", "space": {"momentum": [0.2, 0.3]}}
    runs, repeated = sample_with_repeats(parse_config({"session": [session, other]}, "test"))
    assert repeated == 1
    assert [(r.session, r.params["momentum"]) for r in runs] == [("a", 0.1), ("a", 0.2), ("b", 0.3)]
    assert len({r.run_id for r in runs}) == 3


# -- run_id ----------------------------------------------------------------------------------------


def test_run_id_does_not_depend_on_the_other_runs():
    alone = sample_runs(config_of({"momentum": [0.2]}))[0]
    among = sample_runs(config_of({"momentum": [0.1, 0.2, 0.3], "learning_rate": [0.01, 0.5]}))
    assert alone.run_id == next(
        r.run_id for r in among if r.params == {"momentum": 0.2, "learning_rate": 0.01}
    )
    assert len({r.run_id for r in among}) == 6


def test_run_id_ignores_where_data_lie_and_what_is_recorded():
    base = sample_runs(config_of())[0].run_id
    assert sample_runs(config_of(data={"dir": "/elsewhere"}))[0].run_id == base
    assert sample_runs(config_of(record={"every": 3}, evaluate={"every": 7}))[0].run_id == base
    assert sample_runs(config_of(model={"conv1": 20}))[0].run_id == base


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 5},
        {"steps": 5},
        {"data": {"scale": 0.5}},
        {"data": {"train": 100}},
        {"model": {"conv1": 3}},
        {"train": {"batch_size": 3}},
        {"train": {"precision": "bf16"}},
        {"train": {"beta1": 0.5}},
        {"train": {"schedule": "inv"}},
    ],
)
def test_run_id_depends_on_what_determines_the_run(change):
    assert sample_runs(config_of(**change))[0].run_id != sample_runs(config_of())[0].run_id


def test_run_id_is_this_one():
    # A change here orphans every ensemble on disk: --resume would not know its runs.
    assert run_id(sample_runs(config_of())[0].settings) == "81c6f39321d519b3"


# -- groups ----------------------------------------------------------------------------------------


def test_runs_of_one_shape_train_together():
    space = {
        "batch_size": [32, 64],
        "learning_rate": [0.1, 0.2],
        "conv1": [4, 8],
        "init": ["xavier", "he_normal"],
    }
    runs = sample_runs(config_of(space))
    groups = group_runs(runs, 100)
    assert [len(g) for g in groups] == [4] * 4
    for group in groups:
        assert len({(r.params["batch_size"], r.params["conv1"]) for r in group}) == 1
    assert sorted(r.run_index for g in groups for r in g) == list(range(16))


@pytest.mark.parametrize(
    "space",
    [
        {"optimizer": ["sgd", "adam"]},
        {"precision": ["float32", "bf16"]},
        {"steps": [3, 4]},
        {"data.scale": [0.5, 1.0]},
        {"activation": ["relu", "tanh"]},
    ],
)
def test_runs_that_differ_in_kind_do_not_train_together(space):
    assert [len(g) for g in group_runs(sample_runs(config_of(space)), 100)] == [1, 1]


@settings(max_examples=50, deadline=None)
@given(n=st.integers(1, 60), limit=st.integers(1, 70))
def test_groups_are_even_and_not_too_large(n, limit):
    runs = sample_runs(config_of({"seed": list(range(n))}))
    groups = group_runs(runs, limit)
    assert [r for g in groups for r in g] == runs
    lengths = [len(g) for g in groups]
    assert max(lengths) <= limit
    assert max(lengths) - min(lengths) <= 1
    assert len(groups) == math.ceil(n / limit)


# -- what the store is told ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "kind", "scale"),
    [
        ([0.1, 0.01, 0.001], "float", "log"),
        ([0.1, 0.2, 0.3], "float", "linear"),
        ([0.1, 0.2], "float", "linear"),
        ({"values": [0.1, 0.2, 0.3], "scale": "categorical"}, "float", "categorical"),
        ({"low": 0.1, "high": 1.0, "scale": "log", "num": 2}, "float", "log"),
    ],
)
def test_scale_of_an_axis(spec, kind, scale):
    (described,) = hyper_parameters(config_of({"learning_rate": spec}))
    assert (described.name, described.type, described.scale) == ("learning_rate", kind, scale)


def test_sessions_are_described():
    config = config_of({"optimizer": ["sgd", "adam"], "seed": [1]})
    (session,) = session_infos(config)
    dimensions = json.loads(json.dumps(session.space))["space"]
    assert [(d["key"], d["values"]) for d in dimensions] == [
        ("train.optimizer", ["sgd", "adam"]),
        ("seed", [1]),
    ]
    (described,) = hyper_parameters(config)
    assert (described.type, described.scale) == ("categorical", "categorical")


@pytest.mark.parametrize(
    "session",
    [
        {"space": {"learning_rate": {"low": 0.1, "high": 1}}, "method": "random", "n": 1_000_001},
        {"space": {"seed": {"low": 0, "high": 1_000_000, "type": "int"}}},
        {"space": {"learning_rate": {"low": 0.1, "high": 1, "num": 10**12}, "momentum": [0.1]}},
    ],
)
def test_more_runs_than_anybody_means_are_refused_at_once(session):
    config = parse_config({"session": [{"name": "s", **session}]}, "my.toml")
    with pytest.raises(ConfigError, match=r"my\.toml: session 's': got 1,.* allowed: at most 1,0"):
        sample_runs(config)
