"""The compiled engine against PyTorch, alone and in ensembles, and where it cannot be had."""

from __future__ import annotations

import shutil
import stat
from pathlib import Path

import numpy as np
import pytest
import torch
from test_executors_reference import reference
from torch import nn
from torch.nn import functional
from training_cases import TOML, differences, everything, tiny_config

from pvensemble import schema
from pvensemble.errors import ConfigError
from pvensemble.store import Ensemble
from pvensemble.train import training
from pvensemble.train.config import load_config
from pvensemble.train.data import DataSets, Split
from pvensemble.train.executors import InProcess
from pvensemble.train.executors.device_data import DeviceSplit
from pvensemble.train.executors.events import Control, Report
from pvensemble.train.models import build_model
from pvensemble.train.native import build
from pvensemble.train.native.choice import EngineChoice
from pvensemble.train.native.engine import Engine
from pvensemble.train.native.plan import Unsupported, plan_of
from pvensemble.train.preparation import make_job
from pvensemble.train.search import sample_runs
from pvensemble.train.trainer import train

PRESETS = {
    "digits": (1, 8, 8),
    "mnist": (1, 28, 28),
    "cifar10": (3, 32, 32),
    "tensorviz": (1, 28, 28),
}
NATIVE = EngineChoice("native", demanded=True)


@pytest.fixture(scope="module", autouse=True)
def _compiler():
    try:
        build.library()
    except build.NoLibrary as error:
        pytest.skip(f"no compiled engine: {error}")


def errors(model: nn.Module, shape: tuple, batch: int, seed: int = 0) -> dict[str, float]:
    """Return how far a step is from float64, relative to the norm; the loss' error is relative."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(batch + 9, *shape, generator=generator)
    labels = torch.randint(0, 10, (batch + 9,), generator=generator)
    chosen = torch.randperm(batch + 9, generator=generator)[:batch]
    model = model.to(memory_format=torch.channels_last)
    split = DeviceSplit(images, labels, torch.device("cpu"))
    engine = Engine(model, plan_of(model, shape), split, batch)
    loss, accuracy = engine.step(chosen.numpy())
    own = {name: p.grad.double().clone() for name, p in model.named_parameters()}
    model.double().zero_grad()
    logits = model(images[chosen].double())
    wanted = functional.cross_entropy(logits, labels[chosen])
    wanted.backward()
    assert accuracy == pytest.approx((logits.argmax(1) == labels[chosen]).double().mean().item())
    norm = torch.linalg.vector_norm
    found = {n: float(norm(own[n] - p.grad) / norm(p.grad)) for n, p in model.named_parameters()}
    return {**found, "loss": abs(loss / wanted.item() - 1)}


@pytest.mark.parametrize("batch", [1, 16, 50, 64])
@pytest.mark.parametrize("preset", PRESETS)
def test_gradients_are_those_of_float64(preset, batch):
    shape = PRESETS[preset]
    model = build_model(load_config(preset).model, input_shape=shape, n_classes=10, seed=2)
    found = errors(model, shape, batch)
    assert len(found) == 1 + len(list(model.parameters()))
    # A maximum or rectifier that falls otherwise in float32 moves the gradient of one place.
    assert max(found.values()) < 2e-3, found
    assert np.median(list(found.values())) < 2e-6, found


NETWORKS = {
    "rectified before pooling": (nn.Conv2d(3, 5, 3), nn.ReLU(), nn.MaxPool2d(2)),
    "rows left over by pooling": (nn.Conv2d(3, 9, 2), nn.MaxPool2d(3)),
    "ceil": (nn.Conv2d(3, 4, 3, padding=1), nn.MaxPool2d(3, 2, ceil_mode=True), nn.ReLU()),
    "gaps between windows": (nn.Conv2d(3, 8, 3), nn.MaxPool2d(2, 3)),
    "not pooled": (nn.Conv2d(3, 13, 4, bias=False), nn.ReLU()),
    "one convolution after another": (nn.Conv2d(3, 9, 3, padding=2), nn.Conv2d(9, 8, 3)),
    "one tap": (nn.Conv2d(3, 17, 1), nn.ReLU(), nn.Conv2d(17, 3, 1), nn.MaxPool2d(2)),
    "seven taps, one row": (nn.Conv2d(3, 2, (1, 7)), nn.AvgPool2d((1, 2)), nn.ReLU()),
    "one column": (nn.Conv2d(3, 2, (5, 1), padding=(2, 0)), nn.MaxPool2d((2, 1))),
    "pooled images": (nn.MaxPool2d(2), nn.Conv2d(3, 6, 3, padding=1), nn.AvgPool2d(2)),
    "linear": (nn.Flatten(), nn.Linear(3 * 11 * 9, 37), nn.ReLU()),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_layers_in_all_forms(name):
    torch.manual_seed(1)
    body = nn.Sequential(*NETWORKS[name])
    n = body(torch.zeros(1, 3, 11, 9)).numel()
    flatten = [] if name == "linear" else [nn.Flatten()]
    model = nn.Sequential(body, *flatten, nn.Linear(n, 10)).float()
    found = errors(model, (3, 11, 9), 21)
    assert max(found.values()) < 2e-5, found


def test_registers_of_eight_numbers(monkeypatch, tmp_path):
    """What processors without AVX-512 run."""
    monkeypatch.setattr(build, "FLAGS", (*build.FLAGS, "-mno-avx512f"))
    try:
        small = build.load(build.COMPILER, tmp_path)
    except build.NoLibrary as error:
        pytest.skip(f"no x86 processor: {error}")
    monkeypatch.setattr("pvensemble.train.native.engine.library", lambda: small)
    for batch in (50, 61):  # kinds of networks that no other test has made with the other library
        model = build_model(
            load_config("digits").model, input_shape=(1, 12, 12), n_classes=10, seed=2
        )
        assert max(errors(model, (1, 12, 12), batch).values()) < 2e-5


def test_a_wrong_gradient_is_seen():
    """The negative control: without its rectifier the network has other gradients."""
    shape = PRESETS["digits"]
    config = load_config("digits").model
    model = build_model(config, input_shape=shape, n_classes=10, seed=2)
    plan = plan_of(model, shape)
    split = DeviceSplit(torch.randn(8, *shape), torch.arange(8), torch.device("cpu"))
    model = model.to(memory_format=torch.channels_last)
    Engine(model, plan, split, 8).step(np.arange(8))
    right = model.fc1.weight.grad.clone()
    model.activation = lambda x: x
    Engine(model, plan_of(model, shape), split, 8).step(np.arange(8))
    off = torch.linalg.vector_norm(model.fc1.weight.grad - right) / torch.linalg.vector_norm(right)
    assert off > 0.1


# -- whole trainings -------------------------------------------------------------------------------

OPTIMIZERS = {
    "plain": (0.0, []),
    "momentum": (0.8, []),
    "nesterov": (0.8, ["train.nesterov=true"]),
    "adam": (0.0, ["train.optimizer=adam"]),
}
TRAININGS = [(p, o) for p in PRESETS for o in OPTIMIZERS if o != "adam" or p == "digits"]


def reports(config, data) -> tuple:
    """Train the first run with the compiled engine; return its settings and a report a step."""
    specs = sample_runs(config)[:1]
    job = make_job(config, specs, 0, {specs[0].settings.data: data}, NATIVE)
    assert job.engine == "native"
    events = InProcess({job.data: data}).run([job], Control())
    return specs[0].settings, [e for e in events if isinstance(e, Report)]


@pytest.mark.parametrize(("preset", "optimizer"), TRAININGS)
def test_ten_steps_are_those_of_plain_pytorch(preset, optimizer):
    momentum, overrides = OPTIMIZERS[optimizer]
    searched = load_config(preset).sessions[0].space
    of_run = {"learning_rate": 0.002, "momentum": momentum}
    keys = {
        k: f"session.space.{k}" if f"train.{k}" in [d.key for d in searched] else k for k in of_run
    }
    config = load_config(
        preset,
        [
            *("steps=10", "record.every=1", "evaluate.every=10", "evaluate.size=10"),
            *("record.kinds=weight,gradient", "record.layers=all", "record.probe=8"),
            *("batch_size=8", "schedule=inv", "gamma=0.1", "weight_decay=0.01"),
            *("bias_lr_multiplier=2", *overrides),
            *(f"{keys[k]}={v}" if keys[k] == k else f"{keys[k]}=[{v}]" for k, v in of_run.items()),
        ],
    )
    generator = torch.Generator().manual_seed(3)
    images = torch.rand(120, *PRESETS[preset], generator=generator)
    split = Split(images, torch.randint(0, 10, (120,), generator=generator))
    data = DataSets(split, split, split, 10, "random")
    settings, found = reports(config, data)
    expected = reference(settings, data)
    assert [r.stop for r in found] == list(range(11))
    off = {"weight": [], "gradient": []}
    for want, report in zip(expected, found):
        loss = report.metrics["train_loss"][1][-1, 0]
        assert loss == pytest.approx(want["loss"], rel=1e-4)
        assert report.metrics["train_accuracy"][1][-1, 0] == pytest.approx(want["accuracy"])
        for (layer, kind), tensor in report.tensors.items():
            if (layer, kind) == schema.NETWORK:  # the same weights once more
                continue
            right = want[kind][f"{layer}.weight"]
            off[kind].append(np.linalg.norm(tensor[0] - right) / np.linalg.norm(right))
        for name, gradient in want["gradient"].items():
            norm = report.metrics[f"gradient_norm:{name}"][1][0, 0]
            assert norm == pytest.approx(np.linalg.norm(gradient), rel=0.1, abs=1e-7)
    assert len(off["weight"]) == len(off["gradient"]) >= 11 * 4
    # A maximum or rectifier that falls otherwise moves the gradient of one place, and from there
    # on all weights a little; a mistake moves all of them at once.
    assert max(off["weight"]) < 1e-3
    assert max(off["gradient"]) < 0.1
    assert np.median(off["weight"]) < 1e-5
    assert np.median(off["gradient"]) < 1e-5


@pytest.fixture(scope="module")
def together(tmp_path_factory) -> dict:
    """The four runs of the tiny training, in this process."""
    directory = tmp_path_factory.mktemp("together")
    said = []
    config = tiny_config(directory, "train.engine=native")
    train(config, directory / "e.pvens", workers=0, on_progress=lambda p: said.append(p.message))
    assert "engine: native" in said
    assert Ensemble.open(directory / "e.pvens").provenance["engine"] == "native"
    return everything(directory / "e.pvens")


def test_native_is_what_auto_takes(tmp_path, together):
    train(tiny_config(tmp_path), tmp_path / "e.pvens", workers=0)
    assert differences(everything(tmp_path / "e.pvens"), together) == []
    train(tiny_config(tmp_path, "train.engine=torch"), tmp_path / "t.pvens", workers=0)
    other = everything(tmp_path / "t.pvens")
    assert list(other["table run_id"]) == list(together["table run_id"])
    assert "values train_loss" in differences(other, together)
    for name, value in other.items():
        if value.dtype.kind == "f":
            np.testing.assert_allclose(value, together[name], rtol=1e-3, atol=2e-5, err_msg=name)


def test_workers_change_no_bit(tmp_path, together):
    train(tiny_config(tmp_path), tmp_path / "e.pvens", workers=3)
    assert differences(everything(tmp_path / "e.pvens"), together) == []


def test_a_run_alone_equals_itself_in_the_ensemble(tmp_path, together):
    config = tiny_config(
        tmp_path, "session.0.space.learning_rate=[0.05]", "session.0.space.momentum=[0.9]"
    )
    train(config, tmp_path / "e.pvens", workers=0)
    alone = everything(tmp_path / "e.pvens")
    place = list(together["table run_id"]).index(alone["table run_id"][0])
    tensors = [n for n in alone if n.startswith("tensor")]
    assert len(tensors) > 20
    for name in tensors:
        np.testing.assert_array_equal(alone[name], together[name])
    for name in (n for n in alone if n.startswith("values")):
        np.testing.assert_array_equal(alone[name][0], together[name][place])


def test_interrupted_and_resumed_is_unbroken(tmp_path, together, monkeypatch):
    monkeypatch.setattr(training, "PROGRESS_SECONDS", 0.0)
    path = tmp_path / "e.pvens"
    parts = 0
    while True:
        asked = iter([False] * (4 + 9 * parts) + [True] * 1000)
        result = train(
            tiny_config(tmp_path),
            path,
            workers=0,
            resume=parts > 0,
            stop=lambda asked=asked: next(asked),
        )
        parts += 1
        if not result.interrupted:
            break
    assert parts >= 3
    assert differences(everything(path), together) == []


def test_planted_divergence_is_marked(tmp_path):
    config = tiny_config(tmp_path, "session.0.space.learning_rate=[0.01, 1e12]")
    result = train(config, tmp_path / "e.pvens", workers=0)
    assert result.states == {"COMPLETE": 2, "DIVERGED": 2}
    ensemble = Ensemble.open(tmp_path / "e.pvens")
    loss, table = ensemble.curve("train_loss").values, ensemble.run_table()
    for run in range(4):
        finite = np.isfinite(loss[run])
        if table["learning_rate"][run] == 0.01:
            assert finite.all()
        else:
            step = int(table["last_step"][run])
            assert finite[:step].all()
            assert not finite[step:].any()
            assert f"at step {step}" in str(table["reason"][run])


# -- where it cannot be had ------------------------------------------------------------------------


@pytest.fixture
def _no_compiler(monkeypatch):
    monkeypatch.setattr(build, "COMPILER", "no-such-compiler")
    build.library.cache_clear()
    yield
    build.library.cache_clear()


@pytest.mark.usefixtures("_no_compiler")
def test_without_a_compiler_torch_trains_and_it_is_said(tmp_path):
    said = []
    train(
        tiny_config(tmp_path, "steps=1"),
        tmp_path / "e.pvens",
        workers=0,
        on_progress=lambda p: said.append(p.message),
    )
    assert "engine: torch, because there is no no-such-compiler" in "\n".join(said)
    assert Ensemble.open(tmp_path / "e.pvens").provenance["engine"] == "torch"
    config = tiny_config(tmp_path, "train.engine=native")
    with pytest.raises(ConfigError, match="train.engine: there is no no-such-compiler"):
        train(config, tmp_path / "n.pvens", workers=0)
    assert not (tmp_path / "n.pvens").exists()


def test_an_ensemble_goes_on_with_its_engine(tmp_path, request):
    config = tiny_config(tmp_path, "steps=1")
    train(config, tmp_path / "n.pvens", workers=0)
    other = tiny_config(tmp_path, "steps=1", "train.engine=torch")
    train(other, tmp_path / "t.pvens", workers=0)
    with pytest.raises(ConfigError, match="begun with 'native'"):
        train(other, tmp_path / "n.pvens", workers=0, resume=True)
    said = []
    train(
        config,
        tmp_path / "t.pvens",
        workers=0,
        resume=True,
        on_progress=lambda p: said.append(p.message),
    )
    assert Ensemble.open(tmp_path / "t.pvens").provenance["engine"] == "torch"
    request.getfixturevalue("_no_compiler")
    with pytest.raises(ConfigError, match="begun with 'native', but there is no"):
        train(config, tmp_path / "n.pvens", workers=0, resume=True)


@pytest.fixture
def copying_compiler(tmp_path) -> Path:
    """A compiler that copies the library that is there already, and counts in a file."""
    made = build.library()._name
    path = tmp_path / "copy-g++"
    path.write_text(
        f"""#!/bin/sh
[ "$1" = --version ] && echo 1 && exit
echo called >> {tmp_path}/calls
while [ "$1" != -o ]; do shift; done
head -c -32 {made} > "$2"
"""
    )
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.mark.parametrize("broken", [b"", b"not a library", None])
def test_a_broken_library_is_made_anew(tmp_path, copying_compiler, broken):
    def calls() -> int:
        return len((tmp_path / "calls").read_text().split())

    folder = tmp_path / "cache"
    build.load(str(copying_compiler), folder)
    build.load(str(copying_compiler), folder)
    assert calls() == 1
    (made,) = folder.glob("*")
    # Not written in place: this process has it in memory.
    content = made.read_bytes()
    made.unlink()
    made.write_bytes(content[: len(content) // 2] if broken is None else broken)
    build.load(str(copying_compiler), folder)
    assert calls() == 2
    assert made.read_bytes() == content


def test_another_compiler_makes_another_library(tmp_path, copying_compiler):
    build.load(str(copying_compiler), tmp_path / "cache")
    newer = copying_compiler.with_name("newer")
    newer.write_text(copying_compiler.read_text().replace("echo 1", "echo 2"))
    shutil.copymode(copying_compiler, newer)
    build.load(str(newer), tmp_path / "cache")
    assert len(list((tmp_path / "cache").glob("*.so"))) == 2


def test_what_the_compiler_says_is_told(tmp_path, copying_compiler):
    copying_compiler.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && exit\necho "x.cpp:1: error: no vectors" >&2\nexit 1\n'
    )
    with pytest.raises(build.NoLibrary, match="cannot compile the engine: .*error: no vectors"):
        build.load(str(copying_compiler), tmp_path / "cache")
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(build.NoLibrary, match="cannot be used"):
        build.load(str(copying_compiler), file / "cache")


class _Own(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(64, 10)

    def forward(self, x):
        return self.linear(x.flatten(1))


def _shared():
    linear = nn.Linear(10, 10)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10), linear, linear)


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4)), "BatchNorm2d '1'"),
        (nn.Sequential(nn.Conv2d(1, 4, 3, stride=2)), "convolution '0' is strided"),
        (nn.Sequential(nn.Conv2d(1, 4, 3, padding=1, padding_mode="circular")), "padded oddly"),
        (nn.Sequential(nn.MaxPool2d(3, padding=1)), "pooling '0' is padded"),
        (nn.Sequential(nn.ReLU()), "a rectifier gets the images"),
        (nn.Sequential(nn.Linear(8, 10)), "does not follow a flattening"),
        (nn.Sequential(nn.Conv2d(1, 10, 8), nn.Flatten()), "last layer is not linear"),
        (_shared(), "parameter '1.weight' is frozen, shared or not used"),
        (_Own(), "_Own"),
    ],
    ids=lambda x: type(x).__name__ if isinstance(x, nn.Module) else x,
)
def test_what_it_cannot_train_is_named(model, reason):
    with pytest.raises(Unsupported, match=reason):
        plan_of(model, (1, 8, 8))


def test_the_group_it_cannot_train_is_named(tmp_path):
    toml = TOML.replace("[train]", 'activation = "tanh"\n\n[train]')
    said = []
    train(
        tiny_config(tmp_path, "steps=1", toml=toml),
        tmp_path / "e.pvens",
        workers=0,
        on_progress=lambda p: said.append(p.message),
    )
    assert any("cannot train model 'lenet': tanh" in text for text in said)
    config = tiny_config(tmp_path, "train.engine=native", toml=toml)
    with pytest.raises(ConfigError, match="got 'native', but .*tanh"):
        train(config, tmp_path / "n.pvens", workers=0)


def test_bf16_is_left_to_torch(tmp_path):
    config = tiny_config(tmp_path, "train.engine=native", "train.precision=bf16")
    with pytest.raises(ConfigError, match="in float32, not in bf16"):
        train(config, tmp_path / "n.pvens", workers=0)
    train(tiny_config(tmp_path, "steps=1", "train.precision=bf16"), tmp_path / "e.pvens", workers=0)


def test_the_engine_is_none_of_the_settings_of_a_run(tmp_path):
    with pytest.raises(ConfigError, match="engine: no such setting of a run"):
        tiny_config(tmp_path, "session.0.space.engine=[torch, native]")
    with pytest.raises(ConfigError, match="train.engine: got 'fast', allowed: auto, torch, native"):
        tiny_config(tmp_path, "engine=fast")
