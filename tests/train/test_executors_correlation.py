"""Correlations of filters against numpy.corrcoef in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from training_cases import tiny_config

from pvensemble.train.config import RecordConfig
from pvensemble.train.correlation import (
    ROWS,
    CorrelationSums,
    activation_rows,
    correlation_of_patches,
    has_patches,
    patch_covariance,
)
from pvensemble.train.data import load_data
from pvensemble.train.executors.device_data import DeviceData
from pvensemble.train.executors.evaluation import evaluate
from pvensemble.train.executors.one_run import OneRun
from pvensemble.train.preparation import make_job
from pvensemble.train.probing import Probing
from pvensemble.train.recording import recorded_layers
from pvensemble.train.search import sample_runs


def outputs(seed: int = 0, *, mean: float = 0.0, n_images: int = 40) -> np.ndarray:
    """(runs, images, filters, y, x) with correlated filters."""
    rng = np.random.default_rng(seed)
    mixed = rng.normal(size=(3, 6, 6))
    values = np.einsum("rfg,rngyx->rnfyx", mixed, rng.normal(size=(3, n_images, 6, 15, 16)))
    return (values + mean * np.arange(1, 7)[:, None, None]).astype(np.float32)


def by_numpy(values: np.ndarray) -> np.ndarray:
    """The definition: one vector a filter, all images and positions concatenated."""
    return np.stack(
        [np.corrcoef(run.astype(np.float64).swapaxes(0, 1).reshape(6, -1)) for run in values]
    )


def by_sums(values: np.ndarray, chunk: int) -> np.ndarray:
    sums = CorrelationSums()
    for part in torch.from_numpy(values).split(chunk, dim=1):
        sums.add(activation_rows(part))
    return sums.result().numpy()


@pytest.mark.parametrize("mean", [0.0, 10.0, 1000.0])
@pytest.mark.parametrize("chunk", [40, 7])
def test_correlation_is_that_of_numpy_far_from_zero_too(mean, chunk):
    values = outputs(mean=mean)
    assert values.shape[1] * 240 > 2 * ROWS
    got = by_sums(values, chunk)
    np.testing.assert_allclose(got, by_numpy(values), atol=3e-6)
    assert got.dtype == np.float32


@pytest.mark.parametrize("mean", [0.0, 10.0, 1000.0])
def test_merged_sums_are_those_of_all_chunks(mean):
    """The parts have means of their own, so each is shifted by something else."""
    values = outputs(mean=mean)
    values[:, 11:] += np.float32(3.0)
    values[:, 30:, 2] -= np.float32(0.1 * mean + 1)
    merged = CorrelationSums()
    for first, last in ((0, 11), (11, 30), (30, 40)):
        part = CorrelationSums()
        part.add(activation_rows(torch.from_numpy(values[:, first:last])))
        merged.merge(part)
        merged.merge(CorrelationSums())  # of a process that saw nothing
    np.testing.assert_allclose(merged.result(), by_numpy(values), atol=3e-6)
    np.testing.assert_allclose(merged.result(), by_sums(values, 40), atol=2e-6)


def test_merging_leaves_the_other_as_it_was():
    values = outputs()
    first, second = CorrelationSums(), CorrelationSums()
    second.add(activation_rows(torch.from_numpy(values[:, 20:])))
    before = second.result()
    first.merge(second)
    first.add(activation_rows(torch.from_numpy(values[:, :20])))
    assert torch.equal(second.result(), before)
    np.testing.assert_allclose(first.result(), by_numpy(values), atol=3e-6)


def test_plain_float32_moments_would_fail_this():
    """The negative control: without shift and float64 the same data miss the tolerance."""
    values = outputs(mean=1000.0)
    rows = values[0].swapaxes(0, 1).reshape(6, -1)
    covariance = rows @ rows.T / rows.shape[1] - np.outer(rows.mean(1), rows.mean(1))
    deviation = np.sqrt(np.abs(np.diag(covariance)))
    naive = covariance / np.outer(deviation, deviation)
    assert np.abs(naive - by_numpy(values)[0]).max() > 1e-3


@pytest.mark.parametrize("value", [0.0, 0.1, -3e4, np.nan, np.inf])
def test_dead_filters_correlate_with_nothing(value):
    values = outputs()
    values[1, :, 2] = value
    got = by_sums(values, 16)
    clean = by_numpy(outputs())
    clean[1, 2, :] = clean[1, :, 2] = 0
    clean[1, 2, 2] = 1
    np.testing.assert_allclose(got, clean, atol=3e-6)


def test_bounds_hold_for_equal_and_opposite_filters():
    values = outputs(mean=3.0)
    values[:, :, 1] = values[:, :, 0]
    values[:, :, 2] = -values[:, :, 0]
    got = by_sums(values, 9)
    assert got.min() >= -1
    assert got.max() <= 1
    np.testing.assert_allclose(got[:, 0, 1], 1, atol=1e-6)
    np.testing.assert_allclose(got[:, 0, 2], -1, atol=1e-6)
    assert (np.diagonal(got, axis1=1, axis2=2) == 1).all()


def test_linear_layers_have_one_position():
    values = np.random.default_rng(0).normal(size=(1, 30, 6)).astype(np.float32)
    sums = CorrelationSums()
    sums.add(activation_rows(torch.from_numpy(values)))
    np.testing.assert_allclose(sums.result()[0], np.corrcoef(values[0].T), atol=3e-6)


def test_evaluation_and_correlation_share_the_forward_passes():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 6, 3), nn.Flatten(), nn.Linear(216, 4))
    images, labels = torch.randn(50, 1, 8, 8), torch.randint(0, 4, (50,))
    seen: list[int] = []
    record = RecordConfig(probe=20, kinds=("correlation",), layers=("0",))
    probing = Probing(recorded_layers(model, record, images[:2]))
    taps = probing.taps(model)

    def forward(part, tapped):
        seen.append(len(part))
        if not tapped:
            return model(part)[None], {}
        with taps.open():
            logits = model(part)[None]
            return logits, {n: o[None] for n, o in taps.outputs.items()}

    with torch.no_grad():
        loss, accuracy, measured = evaluate(
            forward, images, labels, size=45, probing=probing, chunk=16
        )
        logits, first = model(images[:45]), model[0](images[:20])
    assert sum(seen) == 45
    expected = nn.functional.cross_entropy(logits, labels[:45])
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    right = (logits.argmax(1) == labels[:45]).double().mean()
    assert accuracy.item() == pytest.approx(right.item())
    rows = first.double().movedim(1, 0).reshape(6, -1)
    np.testing.assert_allclose(measured["0", "correlation"][0], np.corrcoef(rows), atol=3e-6)
    assert not model[0]._forward_hooks
    seen.clear()
    with torch.no_grad():
        evaluate(forward, images, labels, size=10, probing=probing, chunk=16)
        nothing, _, _ = evaluate(forward, images, labels, size=0, probing=probing)
    assert sum(seen) == 40
    assert torch.isnan(nothing).all()


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Conv2d(1, 20, 5), (1, 28, 28)),
        (nn.Conv2d(3, 32, 5, padding=2), (3, 32, 32)),
        (nn.Conv2d(2, 7, (3, 5), stride=2, padding=(0, 1), dilation=(2, 1)), (2, 17, 12)),
    ],
)
def test_patches_give_the_correlation_of_the_outputs(layer, shape):
    torch.manual_seed(1)
    with torch.no_grad():
        layer.bias += 3.0
        images = torch.rand(70, *shape)
        rows = layer(images).double().movedim(1, 0).flatten(1)
        got = correlation_of_patches(layer.weight, patch_covariance(images, layer))
        other = correlation_of_patches(layer.weight, patch_covariance(images[:35], layer))
    assert got.dtype == torch.float32
    np.testing.assert_allclose(got[0], np.corrcoef(rows), atol=1e-6)
    assert np.abs(other[0] - np.corrcoef(rows)).max() > 1e-4  # the negative control
    assert (np.diagonal(got[0]) == 1).all()


def test_patches_of_dead_filters_correlate_zero():
    layer = nn.Conv2d(1, 4, 3)
    images = torch.rand(20, 1, 6, 6)
    with torch.no_grad():
        layer.weight[1] = 0.0
        layer.weight[3] = float("nan")
        got = correlation_of_patches(layer.weight, patch_covariance(images, layer))[0].numpy()
        flat = correlation_of_patches(layer.weight[:3], patch_covariance(images * 0, layer))
    assert (got[[1, 3]] == np.eye(4)[[1, 3]]).all()
    assert (got[:, [1, 3]] == np.eye(4)[:, [1, 3]]).all()
    assert abs(got[0, 2]) > 1e-3
    assert np.array_equal(flat[0], np.eye(3))


def test_patches_are_known_of_plain_convolutions_alone():
    assert has_patches(nn.Conv2d(1, 4, 3, padding=1))
    assert not has_patches(nn.Conv2d(4, 4, 3, groups=2))
    assert not has_patches(nn.Conv2d(1, 4, 3, padding="same"))
    assert not has_patches(nn.Conv2d(1, 4, 3, padding=1, padding_mode="circular"))
    assert not has_patches(nn.Linear(4, 4))


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-6), ("bf16", 2e-3)])
def test_recorded_correlations_are_those_of_the_layers_outputs(tmp_path, precision, tolerance):
    """Of the first layer by patches, of the second by its outputs; each against numpy."""
    config = tiny_config(tmp_path, f"train.precision={precision}")
    data = load_data(config.data)
    job = make_job(config, sample_runs(config)[:1], 0, {config.data: data})
    run = OneRun(job, 0, DeviceData(data, torch.device("cpu")))
    for stop in (0, 4, 6):
        run.advance(stop, lambda: False)
        _, tensors = run.report()
        if stop < 6:
            run.leave()
    with torch.no_grad(), run._precision():
        model, images = run.model, data.probe(24)
        first = model.conv1(images)
        second = model.conv2(nn.functional.max_pool2d(first, 2))
    for name, output in (("conv1", first), ("conv2", second)):
        rows = output.double().movedim(1, 0).flatten(1)
        got = tensors[name, "correlation"][0]
        np.testing.assert_allclose(got, np.corrcoef(rows), atol=tolerance, err_msg=name)
        assert np.abs(got - np.eye(len(got))).max() > 0.05
    assert run._by_patches == (("conv1", "correlation"), ("conv1", "gram"))
