"""Evaluation and probing by the compiled engine, against PyTorch and float64."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from test_native import NETWORKS, PRESETS
from test_probing import by_definition
from torch import nn
from torch.nn import functional

from pvensemble.train.config import RecordConfig, load_config
from pvensemble.train.executors.device_data import DeviceSplit
from pvensemble.train.executors.evaluation import evaluate
from pvensemble.train.gram import gram_shape
from pvensemble.train.models import build_model
from pvensemble.train.native import build
from pvensemble.train.native.engine import Engine
from pvensemble.train.native.plan import plan_of
from pvensemble.train.probing import Probing
from pvensemble.train.recording import recorded_layers

KINDS = ("correlation", "gram", "activation")


@pytest.fixture(scope="module", autouse=True)
def _compiler():
    try:
        build.library()
    except build.NoLibrary as error:
        pytest.skip(f"no compiled engine: {error}")


def split_of(n: int, shape: tuple, seed: int = 0) -> DeviceSplit:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(n, *shape, generator=generator)
    labels = torch.randint(0, 10, (n,), generator=generator)
    return DeviceSplit(images, labels, torch.device("cpu"))


def engine_of(model: nn.Module, split: DeviceSplit, batch: int = 8) -> Engine:
    model = model.to(memory_format=torch.channels_last)
    return Engine(model, plan_of(model, tuple(split.images.shape[1:])), split, batch)


def preset(name: str) -> nn.Module:
    return build_model(
        load_config(name).model, input_shape=PRESETS[name], n_classes=10, seed=2
    ).eval()


def network(name: str) -> nn.Module:
    """A body of `NETWORKS` and a linear layer, random."""
    torch.manual_seed(1)
    body = copy.deepcopy(nn.Sequential(*NETWORKS[name]).float())
    n = body(torch.zeros(1, 3, 11, 9)).numel()
    flatten = [] if name == "linear" else [nn.Flatten()]
    return nn.Sequential(body, *flatten, nn.Linear(n, 10))


def probing_of(model: nn.Module, split: DeviceSplit, n: int, layers=("convolutions",)) -> Probing:
    record = RecordConfig(kinds=KINDS, layers=layers, probe=n, activation_images=3)
    return Probing(recorded_layers(model, record, split.images[:2]))


def outputs_of(model: nn.Module, split: DeviceSplit, n: int) -> dict[str, np.ndarray]:
    """Outputs of all convolutions for the first images, (n, filters, h, w) float64."""
    found = {}
    model = model.double()

    def keep(name):
        return lambda module, given, output: found.update({name: output.detach().numpy().copy()})

    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(keep(name))
    model(split.images[:n].double())
    return found


def check_probes(model: nn.Module, shape: tuple, n: int, size: int) -> int:
    """Compare what is measured with float64; return the number of layers."""
    split = split_of(max(n, size) + 5, shape)
    probing = probing_of(model, split, n)
    engine = engine_of(model, split)
    *_, found = engine.evaluate(split, size, probing)
    assert len(found) == 3 * len(probing.layers)
    for name, output in outputs_of(model, split, n).items():
        correlation = np.corrcoef(output.swapaxes(0, 1).reshape(output.shape[1], -1))
        np.testing.assert_allclose(found[name, "correlation"][0], correlation, atol=1e-6)
        grams = found[name, "gram"][0].numpy()
        assert grams.shape == gram_shape(n)
        used = len(grams) * grams.shape[1]
        np.testing.assert_allclose(
            grams, by_definition(output[:used], grams.shape[1]), atol=3e-5 * np.abs(grams).max()
        )
        shown = found[name, "activation"][0]
        np.testing.assert_allclose(
            shown, output[:3].swapaxes(0, 1), atol=2e-6 * np.abs(output).max()
        )
    return len(probing.layers)


# -- loss and accuracy -----------------------------------------------------------------------------


def check_scores(model: nn.Module, shape: tuple, size: int) -> None:
    split = split_of(size + 3, shape)
    loss, accuracy, measured = engine_of(model, split).evaluate(split, size)
    logits = model.double()(split.images[:size].double())
    labels = split.labels[:size]
    assert measured == {}
    assert loss == pytest.approx(functional.cross_entropy(logits, labels).item(), rel=1e-5)
    assert accuracy == pytest.approx((logits.argmax(1) == labels).double().mean().item())


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("size", [1, 64, 150])
def test_loss_and_accuracy_are_those_of_float64(name, size):
    check_scores(preset(name), PRESETS[name], size)


@pytest.mark.parametrize("name", NETWORKS)
def test_loss_and_accuracy_of_layers_in_all_forms(name):
    check_scores(network(name), (3, 11, 9), 70)


def test_it_is_what_the_other_evaluation_returns():
    model, split = preset("digits"), split_of(100, PRESETS["digits"])
    probing = probing_of(model, split, 40)
    taps = probing.taps(model)

    def forward(images, tapped):
        with taps.open():
            logits = model(images)[None]
            return logits, {n: out[None] for n, out in taps.outputs.items()} if tapped else {}

    with torch.no_grad():
        wanted = evaluate(forward, split.images, split.labels, size=90, probing=probing)
        found = engine_of(model, split).evaluate(split, 90, probing)
    assert found[0] == pytest.approx(wanted[0].item(), rel=1e-5)
    assert found[1] == pytest.approx(wanted[1].item())
    assert found[2].keys() == wanted[2].keys()
    for key, value in wanted[2].items():
        assert found[2][key].dtype == value.dtype
        torch.testing.assert_close(found[2][key], value, rtol=0, atol=2e-6)


def test_nothing_to_evaluate_is_nan():
    model, split = preset("digits"), split_of(20, PRESETS["digits"])
    loss, accuracy, _ = engine_of(model, split).evaluate(split, 0)
    assert np.isnan([loss, accuracy]).all()


def test_probing_and_evaluating_change_no_bit_of_each_other_or_of_training():
    model, split = preset("digits"), split_of(150, PRESETS["digits"])
    probing = probing_of(model, split, 40)
    engine = engine_of(model, split, 64)  # the network that evaluation uses as well
    step = engine.step(np.arange(64))
    gradients = [p.grad.clone() for p in model.parameters()]
    scores = engine.evaluate(split, 150)[:2]
    *with_probes, found = engine.evaluate(split, 150, probing)
    assert tuple(with_probes) == scores
    *_, alone = engine.evaluate(split, 0, probing)
    assert all(torch.equal(alone[key], found[key]) for key in found)
    assert engine.step(np.arange(64)) == step
    assert all(torch.equal(p.grad, g) for p, g in zip(model.parameters(), gradients))
    other = engine_of(preset("digits"), split, 7)  # its training has other buffers
    assert other.evaluate(split, 150)[:2] == scores


# -- what layers show ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PRESETS)
def test_probes_are_those_of_float64(name):
    assert check_probes(preset(name), PRESETS[name], 70, 75) >= 2


@pytest.mark.parametrize("name", [n for n in NETWORKS if n != "linear"])
def test_probes_of_layers_in_all_forms(name):
    assert check_probes(network(name), (3, 11, 9), 33, 0) >= 1


@pytest.mark.parametrize("n", [4, 16, 20, 32, 63, 64, 100, 200])
def test_probe_batches_of_any_size(n):
    assert check_probes(preset("digits"), PRESETS["digits"], n, 50) == 2


def test_registers_of_eight_numbers(monkeypatch, tmp_path):
    """What processors without AVX-512 run: a minibatch is two blocks."""
    monkeypatch.setattr(build, "FLAGS", (*build.FLAGS, "-mno-avx512f"))
    try:
        small = build.load(build.COMPILER, tmp_path)
    except build.NoLibrary as error:
        pytest.skip(f"no x86 processor: {error}")
    monkeypatch.setattr("pvensemble.train.native.engine.library", lambda: small)
    config = load_config("digits").model
    for n in (15, 20, 70):  # images of a size that no other test has, so that networks are new
        model = build_model(config, input_shape=(1, 12, 13), n_classes=10, seed=2)
        check_scores(model, (1, 12, 13), 75)
        assert check_probes(model.float(), (1, 12, 13), n, 75) == 2


def test_means_far_from_zero_cost_no_accuracy():
    model = preset("digits")
    with torch.no_grad():
        model.conv1.bias += 100.0
        model.conv2.bias -= 1000.0
    split = split_of(64, PRESETS["digits"])
    *_, found = engine_of(model, split).evaluate(split, 0, probing_of(model, split, 64))
    for name, output in outputs_of(model, split, 64).items():
        correlation = np.corrcoef(output.swapaxes(0, 1).reshape(output.shape[1], -1))
        # The outputs themselves are rounded to float32 there.
        np.testing.assert_allclose(found[name, "correlation"][0], correlation, atol=2e-4)


def test_dead_filters_and_layers():
    model = preset("digits")
    with torch.no_grad():
        model.conv1.weight[3] = 0.0
        model.conv2.weight[:] = 0.0
        model.conv2.bias[:] = 0.1
    split = split_of(64, PRESETS["digits"])
    *_, found = engine_of(model, split).evaluate(split, 0, probing_of(model, split, 64))
    row = found["conv1", "correlation"][0, 3]
    assert row[3] == 1
    assert row.abs().sum() == 1
    n = len(model.conv2.weight)
    assert torch.equal(found["conv2", "correlation"][0], torch.eye(n))
    assert not found["conv2", "gram"].any()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_give_finite_tensors(value):
    model = preset("digits")
    with torch.no_grad():
        model.conv1.weight[0, 0, 0, 0] = value
    split = split_of(64, PRESETS["digits"])
    loss, _, found = engine_of(model, split).evaluate(split, 64, probing_of(model, split, 64))
    assert np.isnan(loss)
    assert all(torch.isfinite(tensor).all() for tensor in found.values())
    assert found["conv1", "correlation"][0, 0].abs().sum() == 1
    assert found["conv1", "correlation"][0, 1].abs().sum() > 1


def test_linear_layers_are_left_to_pytorch():
    model, split = preset("digits"), split_of(40, PRESETS["digits"])
    engine = engine_of(model, split)
    assert engine.sees(probing_of(model, split, 32))
    assert not engine.sees(probing_of(model, split, 32, layers=("all",)))


def test_another_image_is_seen():
    """The negative control."""
    model, split = preset("digits"), split_of(64, PRESETS["digits"])
    engine, probing = engine_of(model, split), probing_of(model, split, 33)
    *_, before = engine.evaluate(split, 0, probing)
    split.images[32] *= -1  # a view of what the engine reads
    *_, after = engine.evaluate(split, 0, probing)
    off = (after["conv2", "correlation"] - before["conv2", "correlation"]).abs().max()
    assert off > 1e-3
    assert torch.equal(after["conv2", "gram"], before["conv2", "gram"])  # of 32 images
