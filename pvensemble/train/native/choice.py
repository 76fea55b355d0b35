"""Which engine computes the training steps: PyTorch, or the compiled one where it can."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from pvensemble.errors import ConfigError
from pvensemble.train.config import RunSettings
from pvensemble.train.data import batch_indices
from pvensemble.train.executors.device_data import DeviceSplit
from pvensemble.train.models import build_model
from pvensemble.train.native.build import NoLibrary, library
from pvensemble.train.native.engine import Engine
from pvensemble.train.native.plan import Plan, Unsupported, plan_of

TORCH, NATIVE = "torch", "native"


@dataclass(frozen=True)
class EngineChoice:
    """Engine of a training or of one group.

    Attributes
    ----------
    name
        ``torch`` or ``native``.
    note
        What people should know of it, or "".
    demanded
        Whether the configuration asks for the compiled engine and nothing else.
    """

    name: str = TORCH
    note: str = ""
    demanded: bool = False


def choose_engine(wanted: str, *, cpu: bool, stored: str | None = None) -> EngineChoice:
    """Return the engine of a training; the compiled one is compiled here if need be.

    Parameters
    ----------
    wanted
        ``train.engine``.
    cpu
        Whether runs are trained one at a time on a CPU; else torch does all.
    stored
        The engine that the ensemble was begun with, None for a new one.

    Raises
    ------
    ConfigError
        ``native`` is wanted, or was used before, and is not to be had.
    """
    if not cpu:
        return EngineChoice()
    if stored is not None and wanted not in ("auto", stored):
        raise ConfigError(
            f"train.engine: got {wanted!r}, but this ensemble was begun with {stored!r}, and "
            "their results differ in the last digits; resume with that"
        )
    name = stored or wanted
    if name == TORCH:
        return EngineChoice(TORCH, "engine: torch")
    try:
        library()
    except NoLibrary as error:
        if name == NATIVE:
            before = "this ensemble was begun with 'native', but " if stored else ""
            raise ConfigError(f"train.engine: {before}{error}") from error
        return EngineChoice(
            TORCH, f"engine: torch, because {error}; with g++ small networks train faster"
        )
    return EngineChoice(NATIVE, demanded=wanted == NATIVE)


def engine_of_group(
    choice: EngineChoice, model: nn.Module, settings: RunSettings, data
) -> EngineChoice:
    """Return the engine of a group of runs of one network.

    Parameters
    ----------
    settings
        Of the group's first run.
    data
        The group's data set.

    Raises
    ------
    ConfigError
        The compiled engine is demanded and cannot train this network.
    """
    if choice.name != NATIVE:
        return choice
    try:
        if settings.precision == "bf16":
            raise Unsupported("it computes in float32, not in bf16")
        plan = plan_of(model, data.input_shape)
        _trial(plan, settings, data)
    except Unsupported as error:
        if choice.demanded:
            raise ConfigError(f"train.engine: got 'native', but {_why(error, settings)}") from error
        return EngineChoice(TORCH, f"engine: torch, because {_why(error, settings)}")
    return EngineChoice(NATIVE, "engine: native", choice.demanded)


def _why(error: Unsupported, settings: RunSettings) -> str:
    return f"the compiled one cannot train model {settings.model.name!r}: {error}"


def _trial(plan: Plan, settings: RunSettings, data) -> None:
    """Compare one step with torch's, so that no mistake of plan or compiler trains anything.

    Ties of maxima and rectifiers may fall otherwise in another rounding; the bounds are wide.
    """
    n = settings.batch_size
    chosen = torch.from_numpy(batch_indices(settings.seed, len(data.train), n, 0).copy())
    images, labels = data.train.images[chosen], data.train.labels[chosen]
    model = build_model(
        settings.model,
        input_shape=data.input_shape,
        n_classes=data.n_classes,
        seed=settings.seed,
    )
    model = model.to(memory_format=torch.channels_last).train()
    expected = functional.cross_entropy(model(images), labels)
    expected.backward()
    gradients = {name: p.grad for name, p in model.named_parameters()}
    split = DeviceSplit(images, labels, torch.device("cpu"))
    engine = Engine(model, plan, split, n)
    for what, (loss, *_) in (
        ("step", engine.step(np.arange(n))),
        ("evaluation", engine.evaluate(split, n)),
    ):
        if not math.isclose(loss, expected.item(), rel_tol=1e-3):
            raise Unsupported(f"a trial {what} gave the loss {loss:.6g} instead of {expected:.6g}")
    for name, p in model.named_parameters():
        off = torch.linalg.vector_norm(p.grad - gradients[name])
        if not off <= 0.05 * torch.linalg.vector_norm(gradients[name]) + 1e-6:
            raise Unsupported(f"a trial step gave another gradient of {name}")
