"""Configurations: what is read, and what each mistake is told."""

from __future__ import annotations

import dataclasses

import pytest

from pvensemble.errors import ConfigError
from pvensemble.train.config import load_config, to_dict
from pvensemble.train.config.file import parse_value, preset_names
from pvensemble.train.search import sample_runs

PRESETS = ["cifar10", "digits", "fashion-mnist", "mnist", "tensorviz"]


@pytest.fixture
def write(tmp_path):
    """Write a TOML text to a file and return its path."""

    def write(text: str):
        path = tmp_path / "my.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_the_presets_are_these():
    assert preset_names() == PRESETS


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_mnist_presets_are_caffes_lenet(name):
    config = load_config(name)
    assert (config.steps, config.data.source) == (1000, name)
    assert config.data.scale == 1 / 256
    assert config.data.validation == 1000
    settings = sample_runs(config)[0].settings
    options = settings.model.options
    assert [options[k] for k in ("conv1", "conv2", "kernel", "fc1")] == [20, 50, 5, 500]
    assert (options["conv_activation"], options["init"]) == ("none", "xavier")
    assert (settings.batch_size, settings.weight_decay) == (64, 5e-4)
    assert (settings.schedule, settings.gamma, settings.power) == ("inv", 1e-4, 0.75)
    assert settings.bias_lr_multiplier == 2


def test_cifar10_preset_is_caffes_quick():
    settings = sample_runs(load_config("cifar10"))[0].settings
    assert (settings.steps, settings.batch_size, settings.weight_decay) == (4000, 100, 0.004)
    options = settings.model.options
    assert [options[k] for k in ("conv1", "conv2", "conv3", "fc1")] == [32, 32, 64, 64]
    assert (options["init"], settings.data.subtract) == ("gaussian", "mean_image")
    assert settings.data.scale == 1 / 16
    assert (settings.schedule, settings.bias_lr_multiplier) == ("constant", 2)


def test_tensorviz_preset_has_the_posters_split():
    config = load_config("tensorviz")
    data = config.data
    assert (data.train, data.validation, data.test) == (55_000, 5_000, 10_000)
    assert (config.train.batch_size, config.steps) == (100, 5500)
    options = sample_runs(config)[0].settings.model.options
    assert [options[k] for k in ("conv1", "conv2", "kernel", "fc1")] == [16, 32, 3, 1024]


@pytest.mark.parametrize("name", ["digits", "mnist", "fashion-mnist", "cifar10"])
def test_paper_grid_has_the_papers_121_runs(name):
    runs = sample_runs(load_config(name))
    rates = sorted([0.01 * 0.9**i for i in range(6)] + [0.01 * 1.1**i for i in range(1, 6)])
    momenta = sorted(0.9**i for i in range(1, 12))
    got = [(r.params["learning_rate"], r.params["momentum"]) for r in runs]
    assert len(got) == 121
    for (rate, momentum), expected in zip(got, [(a, b) for a in rates for b in momenta]):
        assert (rate, momentum) == pytest.approx(expected, rel=1e-9)


def test_example_of_every_table_is_read(write):
    config = load_config(
        write(
            """
            name = "mine"
            steps = 7
            seed = 3
            [data]
            source = "npy"
            train_images = "x.npy"
            train_labels = "y.npy"
            [model]
            name = "mlp"
            hidden = 5
            [train]
            optimizer = "adam"
            learning_rate = 1
            [evaluate]
            every = 2
            [record]
            every = 3
            kinds = ["weight"]
            layers = "fc1"
            """
        )
    )
    assert (config.name, config.steps, config.seed) == ("mine", 7, 3)
    assert config.train.learning_rate == 1.0
    assert isinstance(config.train.learning_rate, float)
    assert config.record.layers == ("fc1",)
    assert config.record.kinds == ("weight",)
    assert config.model.options == {"hidden": 5}
    assert [r.settings.model.options["hidden"] for r in sample_runs(config)] == [5]


# -- mistakes ------------------------------------------------------------------------------------

MISTAKES = {
    'step = 3': ["step", "unknown key", "did you mean 'steps'?"],
    '[trian]\nx = 1': ["trian", "unknown key", "did you mean 'train'?"],
    '[train]\nbatchsize = 3': ["train.batchsize", "did you mean 'batch_size'?"],
    '[train]\nbatch_size = "many"': ["train.batch_size", "got 'many'", "a whole number"],
    "[train]\nbatch_size = 0": ["train.batch_size", "got 0", "at least 1"],
    "[train]\nbatch_size = 1.5": ["train.batch_size", "got 1.5", "a whole number"],
    "[train]\nbatch_size = true": ["train.batch_size", "got true", "a whole number"],
    "[train]\nnesterov = 1": ["train.nesterov", "got 1", "true or false"],
    "[train]\nlearning_rate = nan": ["train.learning_rate", "got nan", "a number"],
    "[train]\nlearning_rate = -1": ["train.learning_rate", "got -1", "at least 0"],
    "[train]\nmomentum = 1.0": ["train.momentum", "got 1.0", "less than 1"],
    '[train]\noptimizer = "sdg"': ["train.optimizer", "'sdg'", "sgd, adam, rmsprop", "'sgd'?"],
    '[train]\nschedule = "linear"': ["train.schedule", "step, exp, poly, sigmoid, cosine"],
    '[data]\nsource = "minst"': ["data.source", "'minst'", "did you mean 'mnist'?"],
    "data = 3": ["data", "got 3", "a table"],
    "[record]\nkinds = 3": ["record.kinds", "got 3", "a list of texts"],
    '[record]\nkinds = ["weights"]': ["record.kinds", "'weights'", "did you mean 'weight'?"],
    "[evaluate]\nevery = 0": ["evaluate.every", "at least 1"],
    '[model]\nname = "lennet"': ["model.name", "did you mean 'lenet'?"],
    '[model]\nname = "a b:c"': ["model.name", "'a b:c'", "module:function"],
    "[model]\nconv9 = 3": ["model.conv9", "unknown key", "did you mean 'conv"],
    '[model]\nactivation = "gelu"': ["model.activation", "'gelu'", "none, relu, elu"],
    "[model]\nconv1 = 0": ["model.conv1", "at least 1"],
    "session = 3": ["session", "got 3", "[[session]]"],
    '[[session]]\ncolour = "#ffffff"': ["colour", "did you mean 'color'?"],
    '[[session]]\ncolor = "red"': ["color", "'red'", "#rrggbb"],
    '[[session]]\nmethod = "random"': ["session 1.n", "missing"],
    "[[session]]\nn = 3\nmethod = \"grid\"": [".n", "got 3", "random"],
    '[[session]]\nmethod = "list"': ["runs", "missing"],
    "[[session]]\n[session.space]\nlearning_rte = [1]": ["learning_rte", "'learning_rate'?"],
    "[[session]]\n[session.space]\nlearning_rate = 0.1": ["space.train.learning_rate", "fixed"],
    "[[session]]\n[session.space]\nlearning_rate = []": ["at least one value"],
    "[[session]]\n[session.space]\nlearning_rate = [-1]": ["got -1", "at least 0"],
    "[[session]]\n[session.space]\nlearning_rate = [1, 1.0]": ["every value once"],
    '[[session]]\n[session.space]\nlearning_rate = [1, "a"]': ["got 'a'", "a number"],
    "[[session]]\n[session.space]\nlearning_rate = {low = 1}": ["needs low and high"],
    "[[session]]\n[session.space]\nmomentum = {low = 0.2, high = 0.1, num = 3}": ["less than high"],
    "[[session]]\n[session.space]\nlearning_rate = {low = 1, high = 2}": ["missing num"],
    '[[session]]\nn = 2\n[session.space]\nlearning_rate = {low=0, high=2, scale="log"}': ["log"],
    "[[session]]\nn = 2\n[session.space]\nlearning_rate = {lo = 1, high = 2}": ["lo", "'low'?"],
    "[[session]]\nn = 2\n[session.space]\noptimizer = {low = 1, high = 2}": ["list its values"],
    "[[session]]\nn = 2\n[session.space]\nbatch_size = {low = 1.5, high = 2}": ["whole numbers"],
    '[[session]]\nname = "a"\n[[session]]\nname = "a"': ["'a'", "two sessions"],
    "[[session]]\nspace = 3": ["space", "got 3", "a table"],
    "[[session]]\n[session.space]\nmomentum=[0.1]\n[session.fixed]\nmomentum=0.2": ["given twice"],
    "[[session]]\nruns = [3]": ["runs", "got 3", "a table"],
    "= 3": ["not a TOML file", "line 1"],
}  # fmt: skip


@pytest.mark.parametrize("text", MISTAKES)
def test_mistake_is_named(write, text):
    path = write(text)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    for part in MISTAKES[text]:
        assert part in message


def test_unknown_preset_names_the_near_one():
    with pytest.raises(ConfigError, match=r"got 'digit', allowed: .*digits, .*did you mean 'digi"):
        load_config("digit")


def test_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match="none.toml: no such file"):
        load_config(tmp_path / "none.toml")


def test_binary_file_is_refused(tmp_path):
    path = tmp_path / "x.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not a TOML file"):
        load_config(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[train]\nnesterov = true\nmomentum = 0", "train.nesterov"),
        ('[train]\nschedule = "inv"\ngamma = -1', "train.gamma"),
        ('[data]\nsource = "npy"', "data.train_images"),
        ('[data]\nsource = "npy"\ntrain_images="a"\ntrain_labels="b"\ntest_images="c"', "together"),
        ('[data]\nsource = "torchvision"', "data.dataset"),
    ],
)
def test_impossible_combination_is_refused(write, text, message):
    with pytest.raises(ConfigError, match=message):
        sample_runs(load_config(write(text)))


# -- --set ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("1e-3", 1e-3),
        ("true", True),
        ("adam", "adam"),
        ("'3'", "3"),
        ("conv1,conv2", ["conv1", "conv2"]),
        ("0.5, 0.9", [0.5, 0.9]),
        ('["a", "b"]', ["a", "b"]),
        ("{low = 1, high = 2}", {"low": 1, "high": 2}),
        ("my.module:net", "my.module:net"),
        ("1\nx = 2", "1\nx = 2"),
        ("", ""),
    ],
)
def test_value_on_the_command_line(text, value):
    got = parse_value(text)
    assert got == value
    assert type(got) is type(value)


def test_overrides_reach_every_table():
    config = load_config(
        "digits",
        [
            "steps=5",
            "seed=9",
            "record.every=2",
            "record.layers=conv1,conv2",
            "record.kinds=weight",
            "train.batch_size=16",
            "weight_decay=0",
            "session.space.momentum=0.5,0.9",
        ],
    )
    assert (config.steps, config.seed, config.record.every) == (5, 9, 2)
    assert config.record.layers == ("conv1", "conv2")
    assert config.record.kinds == ("weight",)
    assert (config.train.batch_size, config.train.weight_decay) == (16, 0.0)
    assert len(sample_runs(config)) == 22
    assert config.overrides[0] == "steps=5"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("steps", "--set: got 'steps', allowed: key=value"),
        ("=3", "allowed: key=value"),
        ("steps=many", "preset digits: steps: got 'many'"),
        ("recrd.every=3", "recrd: unknown key; did you mean 'record'"),
        ("train.steps=3", "train.steps: unknown key"),
        ("steps.x=3", "--set steps: is a value"),
        ("learning_rate=0.1", "has no effect.*session.space.learning_rate"),
        ("train.momentum=0.1", "has no effect.*session.space.momentum"),
        ("session.other.n=3", "n: got 3|no such session|unknown key"),
    ],
)
def test_override_mistakes_are_named(override, message):
    with pytest.raises(ConfigError, match=message):
        load_config("digits", [override])


def test_overrides_name_one_of_several_sessions(write):
    path = write(
        '[[session]]\nname="a"\n[session.space]\nmomentum=[0.1]\n'
        '[[session]]\nname="b"\n[session.space]\nmomentum=[0.2]\n'
    )
    config = load_config(path, ["session.b.space.momentum=0.3,0.4", "session.0.color=#000000"])
    assert [r.params["momentum"] for r in sample_runs(config)] == [0.1, 0.3, 0.4]
    assert config.sessions[0].color == "#000000"
    with pytest.raises(ConfigError, match="no such session; there are: a, b"):
        load_config(path, ["session.c.color=#000000"])
    with pytest.raises(ConfigError, match="no such session"):
        load_config(path, ["session.space.momentum=3"])


def test_config_is_immutable_and_becomes_json():
    import json

    config = load_config("digits")
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.steps = 3
    assert json.loads(json.dumps(to_dict(config)))["data"]["source"] == "digits"
    assert 'name = "digits"' in config.text


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("steps=99999999999999999999999", r"steps: got .*, allowed: at most 100000000"),
        ("model.fc1=1000000000", r"model\.fc1: got 1000000000, allowed: at most 100000"),
        ("model.conv1=100000000", r"model\.conv1: got 100000000, allowed: at most 100000"),
        ("data.size=100000", r"data\.size: got 100000, allowed: at most 4096"),
        ("session.0.method=bogus", r"method: got 'bogus', allowed: grid, random, list"),
        ("session.0.method=3", r"method: got 3, allowed: grid, random, list"),
        ("session.0.fixed={steps=1000000000}", r"got 1000000000, allowed: at most 100000000"),
    ],
)
def test_numbers_that_only_fill_the_memory_are_refused(override, message):
    with pytest.raises(ConfigError, match=message):
        load_config("digits", [override])


def test_a_directory_is_no_configuration(tmp_path):
    with pytest.raises(ConfigError, match="a directory; give a TOML file or a preset"):
        load_config(tmp_path)
