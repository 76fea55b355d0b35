"""Training and loss surfaces on a CUDA device against the CPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from training_cases import everything, tiny_config

from pvensemble.train.loss_surface import loss_surface
from pvensemble.train.surface_options import SurfaceOptions
from pvensemble.train.trainer import train

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "rmsprop"])
def test_cuda_agrees_with_the_cpu(tmp_path, optimizer):
    overrides = [f"train.optimizer={optimizer}", "session.0.space.seed=[1, 2]"]
    if optimizer != "sgd":
        overrides.append("session.0.space.learning_rate=[0.001, 0.002]")
    config = tiny_config(tmp_path, *overrides)
    train(config, tmp_path / "cpu.pvens", workers=0)
    result = train(config, tmp_path / "gpu.pvens", device="cuda")
    assert result.states == {"COMPLETE": 8}
    cpu, gpu = everything(tmp_path / "cpu.pvens"), everything(tmp_path / "gpu.pvens")
    assert sorted(cpu) == sorted(gpu)
    for name, value in cpu.items():
        if value.dtype.kind == "f":
            accuracy = "accuracy" in name
            tolerance = {"rtol": 0, "atol": 0.05} if accuracy else {"rtol": 5e-3, "atol": 2e-4}
            np.testing.assert_allclose(gpu[name], value, err_msg=name, **tolerance)


def test_cuda_resumes(tmp_path):
    config = tiny_config(tmp_path)
    asked = iter([False] * 3 + [True] * 1000)
    train(config, tmp_path / "e.pvens", device="cuda", stop=lambda: next(asked))
    assert train(config, tmp_path / "e.pvens", device="cuda", resume=True).states["COMPLETE"] == 4


def test_cuda_measures_the_same_loss_surface(tmp_path):
    path = tmp_path / "e.pvens"
    train(tiny_config(tmp_path, "record.networks=all"), path, workers=0)
    cpu, gpu = (
        loss_surface(path, SurfaceOptions((1,), size=7, images=50, name=name), device=name)
        for name in ("cpu", "cuda")
    )
    np.testing.assert_allclose(gpu.loss, cpu.loss, rtol=1e-4)
    np.testing.assert_allclose(gpu.accuracy, cpu.accuracy, atol=1.01 / 50)
    np.testing.assert_allclose(gpu.path_loss, cpu.path_loss, rtol=1e-4)
