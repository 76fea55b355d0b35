"""Networks: sizes as published, seeded weights, and the user's own functions."""

from __future__ import annotations

import importlib
import math
import sys

import pytest
import torch
from torch import nn
from torch.nn import functional

from pvensemble.errors import ConfigError
from pvensemble.train.config import ModelConfig, RunSettings, load_config
from pvensemble.train.config.model_options import OPTIONS
from pvensemble.train.models import build_model, initialize
from pvensemble.train.schedules import lr_at
from pvensemble.train.search import sample_runs


def net(name, shape=(1, 28, 28), seed=0, **options):
    return build_model(ModelConfig(name, options), input_shape=shape, n_classes=10, seed=seed)


def sizes(network):
    return {name: tuple(p.shape) for name, p in network.named_parameters()}


def test_lenet_has_caffes_layers():
    assert sizes(net("lenet")) == {
        "conv1.weight": (20, 1, 5, 5),
        "conv1.bias": (20,),
        "conv2.weight": (50, 20, 5, 5),
        "conv2.bias": (50,),
        "fc1.weight": (500, 800),
        "fc1.bias": (500,),
        "fc2.weight": (10, 500),
        "fc2.bias": (10,),
    }


def test_cifar10_quick_has_caffes_layers():
    got = sizes(net("cifar10_quick", (3, 32, 32)))
    assert got["conv1.weight"] == (32, 3, 5, 5)
    assert got["conv2.weight"] == (32, 32, 5, 5)
    assert got["conv3.weight"] == (64, 32, 5, 5)
    assert got["fc1.weight"] == (64, 1024)
    assert sum(math.prod(s) for s in got.values()) == 145_578


def test_tensorviz_has_the_posters_layers():
    got = sizes(net("tensorviz"))
    assert got["conv1.weight"] == (16, 1, 3, 3)
    assert got["conv2.weight"] == (32, 16, 3, 3)
    assert got["fc1.weight"] == (1024, 32 * 7 * 7)


def test_mlp_names_its_layers():
    network = net("mlp", (1, 4, 4), hidden=6, layers=2)
    weights = {k: v for k, v in sizes(network).items() if "weight" in k}
    assert weights == {"fc1.weight": (6, 16), "fc2.weight": (6, 6), "fc3.weight": (10, 6)}
    assert sizes(net("mlp", (1, 4, 4), layers=0)) == {"fc1.weight": (10, 16), "fc1.bias": (10,)}


def test_width_scales_every_layer():
    got = sizes(net("lenet", width=0.5))
    assert got["conv1.weight"][0] == 10
    assert got["fc2.weight"] == (10, 250)


def test_lenet_computes_caffes_function():
    network = net("lenet", conv_activation="relu", seed=3)
    x = torch.randn(4, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    y = functional.max_pool2d(functional.relu(network.conv1(x)), 2)
    y = functional.max_pool2d(functional.relu(network.conv2(y)), 2)
    y = network.fc2(functional.relu(network.fc1(y.flatten(1))))
    torch.testing.assert_close(network(x), y)


def test_lenet_of_caffe_has_no_activation_after_convolutions():
    network = net("lenet", seed=3)
    x = torch.randn(2, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    y = functional.max_pool2d(network.conv1(x), 2)
    y = functional.max_pool2d(network.conv2(y), 2)
    y = network.fc2(functional.relu(network.fc1(y.flatten(1))))
    torch.testing.assert_close(network(x), y)


def test_cifar10_quick_computes_caffes_function():
    network = net("cifar10_quick", (3, 32, 32), init="he_normal")
    x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    pool = {"kernel_size": 3, "stride": 2, "ceil_mode": True}
    y = functional.relu(functional.max_pool2d(network.conv1(x), **pool))
    y = functional.avg_pool2d(functional.relu(network.conv2(y)), **pool)
    y = functional.avg_pool2d(functional.relu(network.conv3(y)), **pool)
    torch.testing.assert_close(network(x), network.fc2(network.fc1(y.flatten(1))))
    relu_first = functional.max_pool2d(functional.relu(network.conv1(x)), **pool)
    torch.testing.assert_close(
        functional.relu(functional.max_pool2d(network.conv1(x), **pool)), relu_first
    )


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (1, 27, 31)])
def test_every_model_takes_every_image(name, shape):
    network = net(name, shape)
    assert network(torch.zeros(2, *shape)).shape == (2, 10)


def test_every_preset_has_a_model_for_its_images():
    shapes = {"digits": (1, 8, 8), "cifar10": (3, 32, 32)}
    for preset in ("digits", "mnist", "fashion-mnist", "cifar10", "tensorviz"):
        settings = sample_runs(load_config(preset))[0].settings
        shape = shapes.get(preset, (1, 28, 28))
        network = build_model(settings.model, input_shape=shape, n_classes=10, seed=1)
        assert network(torch.zeros(3, *shape)).shape == (3, 10)


def test_images_too_small_are_refused():
    with pytest.raises(ConfigError, match=r"'lenet'.*\(1, 8, 8\).*too small.*data.size"):
        net("lenet", (1, 8, 8))


# -- initial weights -------------------------------------------------------------------------------


def test_weights_depend_on_the_seed_alone():
    first, again, other = net("lenet", seed=5), net("lenet", seed=5), net("lenet", seed=6)
    for (name, a), b, c in zip(first.named_parameters(), again.parameters(), other.parameters()):
        assert torch.equal(a, b)
        assert name.endswith("bias") or not torch.equal(a, c)


def test_global_random_state_is_untouched():
    torch.manual_seed(11)
    before = torch.random.get_rng_state()
    net("lenet", seed=5)
    assert torch.equal(torch.random.get_rng_state(), before)


FAN_IN, FAN_OUT = 20 * 25, 50 * 25


@pytest.mark.parametrize(
    ("init", "variance", "bound"),
    [
        ("xavier", 1 / FAN_IN, math.sqrt(3 / FAN_IN)),
        ("glorot_uniform", 2 / (FAN_IN + FAN_OUT), math.sqrt(6 / (FAN_IN + FAN_OUT))),
        ("glorot_normal", 2 / (FAN_IN + FAN_OUT), None),
        ("he_uniform", 2 / FAN_IN, math.sqrt(6 / FAN_IN)),
        ("he_normal", 2 / FAN_IN, None),
        ("gaussian", 0.01**2, None),
    ],
)
def test_initial_weights_have_their_distribution(init, variance, bound):
    weight = net("lenet", init=init).conv2.weight.detach().double()
    assert weight.numel() == 25_000
    # Five standard errors of the mean, and of the variance (at most that of a normal).
    assert abs(weight.mean()) < 5 * math.sqrt(variance / 25_000)
    assert abs(weight.var() / variance - 1) < 5 * math.sqrt(2 / 25_000)
    if bound:
        assert 0.999 * bound < weight.abs().max() <= bound
    else:
        assert weight.abs().max() > 3 * math.sqrt(variance)
    assert net("lenet", init=init).conv2.bias.abs().max() == 0


def test_constant_and_given_deviation():
    assert net("lenet", init="constant", init_std=0.3).conv1.weight.unique().tolist() == [
        pytest.approx(0.3)
    ]
    weight = net("lenet", init="gaussian", init_std=0.5).conv2.weight
    assert float(weight.detach().std()) == pytest.approx(0.5, rel=0.05)


def test_cifar10_quick_starts_with_caffes_deviations():
    network = net("cifar10_quick", (3, 32, 32))
    expected = {"conv1": 1e-4, "conv2": 0.01, "conv3": 0.01, "fc1": 0.1, "fc2": 0.1}
    for name, std in expected.items():
        got = float(getattr(network, name).weight.detach().std())
        assert got == pytest.approx(std, rel=0.1), name


def test_initialize_takes_layers_without_bias():
    network = nn.Sequential(nn.Conv2d(1, 2, 3, bias=False))
    initialize(network, "constant", 1.0, 0)
    assert network[0].weight.unique().tolist() == [1.0]


# -- the user's own --------------------------------------------------------------------------------


@pytest.fixture
def nets(tmp_path, monkeypatch):
    """Write a module of the user's own beside the configuration file."""
    (tmp_path / "nets_for_test.py").write_text(
        """
import torch
from torch import nn

def small(input_shape, n_classes, width=3):
    c, h, w = input_shape
    return nn.Sequential(nn.Flatten(), nn.Linear(c * h * w, width), nn.Linear(width, n_classes))

def any_options(**options):
    return nn.Sequential(nn.Flatten(), nn.Linear(16, options["n_classes"]))

def number(input_shape, n_classes):
    return 3

def wrong(input_shape, n_classes):
    return nn.Flatten()

def misfit(input_shape, n_classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(3, n_classes))

def needs(depth):
    return nn.Flatten()

not_callable = 3
"""
    )
    (tmp_path / "broken_net_for_test.py").write_text("import no_such_module_anywhere\n")
    yield tmp_path
    sys.modules.pop("nets_for_test", None)


def mine(nets, function, seed=0, **options):
    model = ModelConfig(f"nets_for_test:{function}", options, str(nets))
    return build_model(model, input_shape=(1, 4, 4), n_classes=10, seed=seed)


def test_users_model_is_built_beside_its_configuration(nets):
    network = mine(nets, "small", width=5)
    assert network[1].weight.shape == (5, 16)
    assert str(nets) not in sys.path
    assert mine(nets, "any_options")[1].weight.shape == (10, 16)


def test_users_model_is_seeded_and_leaves_the_global_state(nets):
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    first, again, other = (mine(nets, "small", seed=s)[1].weight for s in (4, 4, 5))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize(
    ("function", "options", "message"),
    [
        ("number", {}, "returned int, expected an nn.Module"),
        ("wrong", {}, r"returned \(2, 16\) for 2 images, expected \(2, 10\)"),
        ("misfit", {}, r"fails on images of shape \(1, 4, 4\)"),
        ("none", {}, "nets_for_test has no function 'none'"),
        ("not_callable", {}, "has no function 'not_callable'"),
        ("small", {"wdth": 3}, "model.wdth: .* no such argument; there are: .*width"),
        ("needs", {}, "model.depth: missing; nets_for_test:needs needs it"),
    ],
)
def test_users_model_mistakes_are_named(nets, function, options, message):
    with pytest.raises(ConfigError, match=message):
        mine(nets, function, **options)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 / 0", r"cannot import: ZeroDivisionError: .* \(.*raising_net_for_test\.py, line 1\)"),
        ("raise SystemExit(0)", r"cannot import: SystemExit: 0 \(.*, line 1\)"),
        ("def f(n_classes):\n    return {}[n_classes]", r"fails: KeyError: 10 \(.*, line 2\)"),
        ("def f():\n    raise SystemExit", r"fails: SystemExit \(.*, line 2\)"),
        ("def f():\n    assert False", "fails: AssertionError"),
    ],
)
def test_what_a_users_code_raises_is_told_with_its_place(tmp_path, text, message):
    (tmp_path / "raising_net_for_test.py").write_text(text + "\n")
    sys.modules.pop("raising_net_for_test", None)
    importlib.invalidate_caches()
    model = ModelConfig("raising_net_for_test:f", {}, str(tmp_path))
    with pytest.raises(ConfigError, match=message):
        build_model(model, input_shape=(1, 4, 4), n_classes=10, seed=0)


def test_a_model_that_does_not_fit_the_memory_is_named():
    model = ModelConfig("mlp", {"hidden": 100_000, "layers": 1})
    with pytest.raises(ConfigError, match=r"model 'mlp' .* cannot be built: .*use smaller numbers"):
        build_model(model, input_shape=(1, 100_000, 100_000), n_classes=10, seed=0)


@pytest.mark.parametrize("module", ["no_such_module_for_test", "broken_net_for_test"])
def test_module_that_cannot_be_imported_is_named(nets, module):
    with pytest.raises(ConfigError, match=f"{module}:f: cannot import: No module named"):
        build_model(
            ModelConfig(f"{module}:f", {}, str(nets)), input_shape=(1, 4, 4), n_classes=10, seed=0
        )


# -- learning rates --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schedule", "options", "expected"),
    [
        ("constant", {}, [1, 1, 1]),
        ("inv", {"gamma": 1e-4, "power": 0.75}, [1, (1 + 0.05) ** -0.75, (1 + 0.1) ** -0.75]),
        ("step", {"gamma": 0.1, "step_size": 400}, [1, 0.1, 0.01]),
        ("exp", {"gamma": 0.999}, [1, 0.999**500, 0.999**1000]),
        ("poly", {"power": 2}, [1, 0.25, 0]),
        ("poly", {"power": 1, "end_factor": 0.5}, [1, 0.75, 0.5]),
        (
            "sigmoid",
            {"gamma": -0.01, "step_size": 500},
            [0.9933071490757153, 0.5, 0.0066928509242848554],
        ),
        ("sigmoid", {"gamma": 10.0, "step_size": 500}, [0, 0.5, 1]),
        ("cosine", {}, [1, 0.5, 0]),
        ("cosine", {"end_factor": 0.2}, [1, 0.6, 0.2]),
    ],
)
def test_learning_rate_follows_its_schedule(schedule, options, expected):
    settings = RunSettings(learning_rate=0.3, schedule=schedule, steps=1000, **options)
    got = [lr_at(settings, step) for step in (0, 500, 1000)]
    assert got == pytest.approx([0.3 * e for e in expected], abs=1e-15)


def test_learning_rate_agrees_with_pytorch():
    parameter = nn.Parameter(torch.zeros(1))
    for schedule, options, scheduler in (
        ("step", {"gamma": 0.5, "step_size": 3}, {"step_size": 3, "gamma": 0.5}),
        ("exp", {"gamma": 0.9}, {"gamma": 0.9}),
        ("cosine", {}, {"T_max": 20}),
    ):
        optimizer = torch.optim.SGD([parameter], lr=0.3)
        kind = {"step": "StepLR", "exp": "ExponentialLR", "cosine": "CosineAnnealingLR"}[schedule]
        theirs = getattr(torch.optim.lr_scheduler, kind)(optimizer, **scheduler)
        settings = RunSettings(learning_rate=0.3, schedule=schedule, steps=20, **options)
        for step in range(20):
            assert lr_at(settings, step) == pytest.approx(theirs.get_last_lr()[0], rel=1e-9)
            optimizer.step()
            theirs.step()
