"""Activations and Gram matrices against float64, in both executors and the recorder."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn
from training_cases import differences, everything, tiny_config

from pvensemble import schema
from pvensemble.errors import ConfigError
from pvensemble.store import Ensemble
from pvensemble.store.check import check_ensemble
from pvensemble.store.tiling import tile
from pvensemble.train import training
from pvensemble.train.config import RecordConfig
from pvensemble.train.data import load_data
from pvensemble.train.executors import InProcess
from pvensemble.train.executors.device_data import DeviceData
from pvensemble.train.executors.one_run import OneRun
from pvensemble.train.gram import PatchProducts, gram_shape, u_centred
from pvensemble.train.preparation import make_job
from pvensemble.train.probing import Probing
from pvensemble.train.recorder import Recorder
from pvensemble.train.recording import RecordedLayer, recorded_layers, recording_size
from pvensemble.train.search import sample_runs
from pvensemble.train.trainer import train


def by_definition(outputs: np.ndarray, batch: int) -> np.ndarray:
    """Gram matrices (n_batches, batch, batch) of outputs (n, …), entry by entry, float64."""
    rows = np.asarray(outputs, np.float64).reshape(len(outputs), -1)
    found = []
    for start in range(0, len(rows) - batch + 1, batch):
        k = rows[start : start + batch] @ rows[start : start + batch].T
        np.fill_diagonal(k, 0)
        centred = np.zeros_like(k)
        for i in range(batch):
            for j in range(batch):
                if i != j:
                    sums = (k[i].sum() + k[:, j].sum()) / (batch - 2)
                    centred[i, j] = k[i, j] - sums + k.sum() / ((batch - 1) * (batch - 2))
        found.append(centred)
    return np.stack(found) / np.linalg.norm(found)


def hsic(x: np.ndarray, y: np.ndarray) -> float:
    """Unbiased HSIC of two sets of rows with linear kernels (Song et al. 2012, equation 5)."""
    k, m = x @ x.T, y @ y.T
    np.fill_diagonal(k, 0)
    np.fill_diagonal(m, 0)
    n, one = len(k), np.ones(len(k))
    mixed = (one @ k @ one) * (one @ m @ one) / ((n - 1) * (n - 2))
    return (np.trace(k @ m) + mixed - 2 * (one @ k @ m @ one) / (n - 2)) / (n * (n - 3))


def outputs(n: int = 72, mean: float = 0.0) -> np.ndarray:
    """(2 runs, n images, 6 filters, 5, 4)"""
    values = np.random.default_rng(n).normal(size=(2, n, 6, 5, 4))
    return (values + mean * np.arange(6)[:, None, None]).astype(np.float32)


def grams(values: np.ndarray, chunk: int) -> np.ndarray:
    layer = RecordedLayer(
        "layer", "Conv2d", (6, 1, 1, 1), ("gram",), values.shape[2:], False, values.shape[1]
    )
    sums = Probing([layer]).begin()
    for part in torch.from_numpy(values).split(chunk, dim=1):
        sums.add({"layer": part})
    return sums.result()["layer", "gram"].numpy()


# -- Gram matrices ---------------------------------------------------------------------------------


@pytest.mark.parametrize("mean", [0.0, 100.0])
@pytest.mark.parametrize("chunk", [72, 32, 64, 7])
def test_grams_are_those_of_the_definition_whatever_the_chunks(mean, chunk):
    values = outputs(mean=mean)
    got = grams(values, chunk)
    assert got.shape == (2, *gram_shape(72)) == (2, 2, 32, 32)
    assert got.dtype == np.float32
    for run in range(2):
        np.testing.assert_allclose(got[run], by_definition(values[run], 32), atol=2e-7)


def test_uncentred_products_in_float32_would_fail_this():
    """The negative control: without the shift the same data miss the tolerance."""
    values = outputs(mean=100.0)[0, :64].reshape(2, 32, -1)
    naive = u_centred(torch.from_numpy(values @ values.swapaxes(1, 2)).double()).numpy()
    naive /= np.linalg.norm(naive)
    assert np.abs(naive - by_definition(outputs(mean=100.0)[0], 32)).max() > 1e-5


def test_the_sum_of_products_is_the_minibatch_cka():
    x, y = outputs()[:, :64].reshape(2, 64, -1).astype(np.float64)
    y = y + 0.5 * x
    batches = [slice(0, 32), slice(32, 64)]
    cross, own_x, own_y = (
        sum(hsic(a[b], c[b]) for b in batches) for a, c in ((x, y), (x, x), (y, y))
    )
    got = grams(np.stack([x, y]).astype(np.float32).reshape(2, 64, 6, 5, 4), 64)
    assert np.sum(got[0] * got[1]) == pytest.approx(cross / np.sqrt(own_x * own_y), abs=1e-6)
    assert 0.1 < cross / np.sqrt(own_x * own_y) < 0.9
    np.testing.assert_allclose(np.linalg.norm(got.reshape(2, -1), axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(got.sum(-1), 0, atol=1e-6)
    assert (np.diagonal(got, axis1=2, axis2=3) == 0).all()


def test_few_images_are_one_smaller_minibatch():
    assert gram_shape(256) == gram_shape(128) == (4, 32, 32)
    assert gram_shape(127) == (3, 32, 32)
    assert gram_shape(63) == (1, 32, 32)
    assert gram_shape(4) == (1, 4, 4)
    values = outputs(n=5)
    np.testing.assert_allclose(grams(values, 3)[1], by_definition(values[1], 5), atol=2e-7)


@pytest.mark.parametrize("chunk", [64, 50])
def test_images_beyond_the_first_are_left_out(chunk):
    values = outputs(n=200)
    got = grams(values, chunk)
    assert got.shape == (2, 4, 32, 32)
    np.testing.assert_allclose(got[0], by_definition(values[0, :128], 32), atol=2e-7)


@pytest.mark.parametrize("value", [0.0, 0.1, -3e4, np.nan, np.inf, 1e30])
def test_grams_of_dead_layers_are_zero(value):
    values = outputs()
    values[1] = value
    got = grams(values, 64)
    assert (got[1] == 0).all()
    np.testing.assert_allclose(got[0], by_definition(values[0], 32), atol=2e-7)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Conv2d(1, 20, 5), (1, 28, 28)),
        (nn.Conv2d(3, 8, 3, padding=2), (3, 12, 12)),
        (nn.Conv2d(2, 7, (3, 5), stride=2, padding=(0, 1), dilation=(2, 1)), (2, 17, 12)),
    ],
)
def test_patches_give_the_grams_of_the_outputs(layer, shape):
    torch.manual_seed(1)
    with torch.no_grad():
        layer.bias += 3.0
        images = torch.rand(70, *shape)
        got = PatchProducts(images, layer).gram(layer.weight)
        expected = by_definition(copy.deepcopy(layer).double()(images.double()).numpy(), 32)
        dead = PatchProducts(images, layer).gram(layer.weight * 0)
        broken = PatchProducts(images, layer).gram(layer.weight * np.nan)
    assert got.shape == (1, 2, 32, 32)
    np.testing.assert_allclose(got[0], expected, atol=2e-7)
    assert (dead == 0).all()
    assert (broken == 0).all()


def test_products_of_large_patches_are_not_kept():
    assert PatchProducts.fits(256, nn.Conv2d(3, 32, 5))
    assert not PatchProducts.fits(256, nn.Conv2d(3, 64, 7))


# -- what is recorded ------------------------------------------------------------------------------


def test_recorded_kinds_are_those_of_the_layers_outputs(tmp_path):
    config = tiny_config(tmp_path, "record.probe=40", "record.activation_images=3")
    data = load_data(config.data)
    job = make_job(config, sample_runs(config)[:1], 0, {config.data: data})
    run = OneRun(job, 0, DeviceData(data, torch.device("cpu")))
    for stop in (0, 4, 6):
        run.advance(stop, lambda: False)
        _, tensors = run.report()
        if stop < 6:
            run.leave()
    model, images = copy.deepcopy(run.model).double(), data.probe(40).double()
    with torch.no_grad():
        first = model.conv1(images)
        second = model.conv2(nn.functional.max_pool2d(first, 2))
    for name, output in (("conv1", first.numpy()), ("conv2", second.numpy())):
        got = tensors[name, "activation"][0]
        assert got.shape == (output.shape[1], 3, *output.shape[2:])
        np.testing.assert_allclose(got, output[:3].swapaxes(0, 1), rtol=1e-5, atol=1e-6)
        got = tensors[name, "gram"][0]
        np.testing.assert_allclose(got, by_definition(output, 32), atol=3e-7)
    for layer in job.layers:
        for kind in layer.kinds:
            assert tensors[layer.name, kind].shape == (1, *layer.tensor_shape(kind))


def test_both_executors_store_the_same(tmp_path):
    config = tiny_config(tmp_path, "record.probe=40")
    found = []
    for name in ("sequential", "vectorized"):
        vectorized = name == "vectorized"
        path = tmp_path / f"{name}.pvens"
        train(config, path, executor=lambda d, v=vectorized: InProcess(d, vectorized=v))
        assert not check_ensemble(path).problems
        found.append(everything(path))
        (group,) = Ensemble.open(path).groups
        assert group.filters("conv1", "activation", 6).shape == (4, 4, 4, 8, 8)
        assert group.tensor("conv1", "activation", 6).shape == (4, 4 * 8, 4 * 8)
        assert group.filters("conv2", "gram", 6).shape == (4, 1, 32, 32)
        assert group.tensor("conv2", "gram", 6).shape == (4, 1, 32 * 32)
    names = [n for n in found[0] if " activation " in n or " gram " in n]
    assert len(names) == 4 * 2 * 2 * 3
    for name in names:
        np.testing.assert_allclose(found[0][name], found[1][name], rtol=1e-3, atol=1e-5)
    assert differences(*found)


def test_probe_images_are_stored_once_and_are_no_layer(tmp_path, monkeypatch):
    config = tiny_config(tmp_path, "record.probe=40")
    train(config, tmp_path / "e.pvens", workers=0)
    ensemble = Ensemble.open(tmp_path / "e.pvens")
    (group,) = ensemble.groups
    assert group.recorded_steps(*schema.PROBE_IMAGES) == [0]
    stored = group.filters(*schema.PROBE_IMAGES, 0)
    expected = load_data(config.data).probe(4).numpy()
    np.testing.assert_array_equal(stored, expected.swapaxes(0, 1)[None])
    np.testing.assert_array_equal(group.tensor(*schema.PROBE_IMAGES, 0), tile(stored))
    asked = iter([False] * 20 + [True] * 100)
    monkeypatch.setattr(training, "PROGRESS_SECONDS", 0.0)
    path = tmp_path / "broken.pvens"
    assert train(config, path, workers=0, stop=lambda: next(asked)).interrupted
    train(config, path, workers=0, resume=True)
    assert Ensemble.open(path).groups[0].recorded_steps(*schema.PROBE_IMAGES) == [0]
    assert ensemble.layers == ["conv1", "conv2"]
    assert ensemble.summary()["kinds"] == [*schema.KINDS, "image"]


@pytest.mark.parametrize(
    ("overrides", "kinds", "images"),
    [
        (["record.activation_images=0"], ["weight", "gradient", "correlation", "gram"], False),
        (["record.kinds=gram"], ["gram"], False),
        (["record.kinds=activation,weight"], ["weight", "activation"], True),
    ],
)
def test_only_what_is_asked_for_is_recorded(tmp_path, overrides, kinds, images):
    config = tiny_config(tmp_path, *overrides)
    for vectorized in (False, True):
        path = tmp_path / f"{vectorized}.pvens"
        train(config, path, executor=lambda d, v=vectorized: InProcess(d, vectorized=v))
        found = Ensemble.open(path).summary()["kinds"]
        assert sorted(found) == sorted([*kinds, *(["image"] if images else [])])


def test_the_size_told_before_is_that_of_the_tensors(tmp_path):
    config = tiny_config(tmp_path)
    told = recording_size(config, sample_runs(config))
    result = train(config, tmp_path / "e.pvens", workers=0)
    (group,) = Ensemble.open(result.path).groups
    tensors = [(k, s) for k, steps in group.index.tensors.items() for s in steps]
    assert told.n_files == len(tensors) + told.n_steps
    tensors.remove((schema.NETWORK, 12))
    n_bytes = sum(group.tensor(*key, step).nbytes for key, step in tensors)
    images = group.tensor(*schema.PROBE_IMAGES, 0).nbytes
    assert told.bytes_per_step * told.n_steps == n_bytes - images
    assert abs(told.bytes_total - group.n_bytes) < 0.5 * told.bytes_total


def test_more_activations_than_probe_images_are_refused(tmp_path):
    message = r"record.activation_images: got 25, allowed: 0 to record.probe, 24"
    with pytest.raises(ConfigError, match=message):
        tiny_config(tmp_path, "record.activation_images=25")
    with pytest.raises(ConfigError, match=r"record.probe: got 3, allowed: .*4"):
        tiny_config(tmp_path, "record.probe=3")


@pytest.mark.parametrize("vectorized", [False, True], ids=["sequential", "vectorized"])
def test_diverged_runs_have_finite_tensors(tmp_path, vectorized):
    config = tiny_config(tmp_path, "session.0.space.learning_rate=[0.01, 1e30]")
    path = tmp_path / "e.pvens"
    result = train(config, path, executor=lambda d: InProcess(d, vectorized=vectorized))
    assert result.states["DIVERGED"] == 2
    (group,) = Ensemble.open(path).groups
    dead = [s.state == "DIVERGED" for s in group.index.states]
    for layer in ("conv1", "conv2"):
        assert np.isfinite(group.filters(layer, "activation", 12)).all()
        gram = group.filters(layer, "gram", 12)
        assert (gram[dead] == 0).all()
        assert (np.abs(gram[np.invert(dead)]).max((1, 2, 3)) > 0).all()


# -- models of users -------------------------------------------------------------------------------


class Odd(nn.Module):
    """One convolution is overwritten by its activation, one is never used."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.relu = nn.ReLU(inplace=True)
        self.unused = nn.Conv2d(1, 2, 3)
        self.fc = nn.Linear(4 * 36, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.fc(self.relu(self.conv(images)).flatten(1))


def test_recorder_records_what_the_layer_returns(tmp_path):
    torch.manual_seed(0)
    model, probe = Odd(), torch.randn(70, 1, 8, 8)
    with Recorder(model, tmp_path / "e.pvens", probe=probe, layers=("all",)) as recorder:
        recorder.step(loss=1.0)
    with torch.no_grad():
        output = copy.deepcopy(model.conv).double()(probe.double()).numpy()
        logits = model(probe).numpy()
    assert (output < 0).any()  # what the activation would take away
    (group,) = Ensemble.open(tmp_path / "e.pvens").groups
    stored = group.filters("conv", "activation", 1)[0]
    np.testing.assert_allclose(stored, output[:4].swapaxes(0, 1), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        group.filters("conv", "gram", 1)[0], by_definition(output, 32), atol=3e-7
    )
    expected = np.corrcoef(output.swapaxes(0, 1).reshape(4, -1))
    np.testing.assert_allclose(group.filters("conv", "correlation", 1)[0], expected, atol=3e-6)
    stored = group.filters("fc", "activation", 1)[0]
    np.testing.assert_allclose(stored, logits[:4].T, rtol=1e-4, atol=1e-5)
    assert group.recorded_steps(*schema.PROBE_IMAGES) == [0]
    np.testing.assert_array_equal(
        group.filters(*schema.PROBE_IMAGES, 0)[0], probe[:4].numpy().swapaxes(0, 1)
    )
    kinds = {layer.name: layer.kinds for layer in group.layers}
    assert kinds["unused"] == ("weight", "gradient")
    assert kinds["conv"] == kinds["fc"] == schema.KINDS


def test_recorder_refuses_probes_that_are_too_small(tmp_path):
    path = tmp_path / "e.pvens"
    with pytest.raises(ConfigError, match="probe: got 3 inputs, allowed: at least 4"):
        Recorder(Odd(), path, probe=torch.randn(3, 1, 8, 8))
    with pytest.raises(ConfigError, match="activation_images: got 9, allowed: 0 to 8"):
        Recorder(Odd(), path, probe=torch.randn(8, 1, 8, 8), activation_images=9)
    assert not path.exists()
    with Recorder(Odd(), path, probe=torch.randn(4, 1, 8, 8), kinds=("activation",)) as recorder:
        recorder.step(loss=1.0)
    assert Ensemble.open(path).summary()["kinds"] == ["activation", "image"]


def test_overwritten_outputs_are_noticed():
    record = RecordConfig(probe=8, layers=("all",))
    layers = recorded_layers(Odd(), record, torch.zeros(2, 1, 8, 8))
    assert [(x.name, x.overwritten) for x in layers] == [
        ("conv", True),
        ("unused", False),
        ("fc", False),
    ]
    assert [x.output for x in layers] == [(4, 6, 6), (), (3,)]
    assert Probing(layers).n_images == 8
