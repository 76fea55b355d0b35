"""Options of the models that come with pvensemble: one checked table per model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pvensemble.errors import did_you_mean
from pvensemble.train.config.check import Where, build, setting

ACTIVATIONS = ("none", "relu", "elu", "sigmoid", "tanh")
"""All monotone, so that they may follow a max-pool: the same result from fewer numbers."""
MAX_WIDTH = 100_000
"""Filters or units of a layer at most; with more, a mistake would only fill the memory."""
INITS = (
    "xavier",
    "glorot_uniform",
    "glorot_normal",
    "he_uniform",
    "he_normal",
    "gaussian",
    "constant",
)


@dataclass(frozen=True)
class LenetOptions:
    """LeNet of Caffe's MNIST example; ``conv_activation`` is ``none`` there."""

    conv1: int = setting(20, low=1, high=MAX_WIDTH)
    conv2: int = setting(50, low=1, high=MAX_WIDTH)
    fc1: int = setting(500, low=1, high=MAX_WIDTH)
    kernel: int = setting(5, low=1, high=1000)
    padding: int = setting(0, low=0, high=1000)
    width: float = setting(1.0, above=0, high=1000)
    conv_activation: str = setting("none", choices=ACTIVATIONS)
    activation: str = setting("relu", choices=ACTIVATIONS)
    init: str = setting("xavier", choices=INITS)
    init_std: float | None = setting(None, low=0)


@dataclass(frozen=True)
class Cifar10QuickOptions:
    """CIFAR10_quick of Caffe's example: three 5x5 convolutions and two linear layers."""

    conv1: int = setting(32, low=1, high=MAX_WIDTH)
    conv2: int = setting(32, low=1, high=MAX_WIDTH)
    conv3: int = setting(64, low=1, high=MAX_WIDTH)
    fc1: int = setting(64, low=1, high=MAX_WIDTH)
    width: float = setting(1.0, above=0, high=1000)
    activation: str = setting("relu", choices=ACTIVATIONS)
    init: str = setting("gaussian", choices=INITS)
    init_std: float | None = setting(None, low=0)


@dataclass(frozen=True)
class TensorvizOptions:
    """The TensorViz network: 3x3 convolutions and a wide linear layer."""

    conv1: int = setting(16, low=1, high=MAX_WIDTH)
    conv2: int = setting(32, low=1, high=MAX_WIDTH)
    fc1: int = setting(1024, low=1, high=MAX_WIDTH)
    kernel: int = setting(3, low=1, high=1000)
    width: float = setting(1.0, above=0, high=1000)
    activation: str = setting("relu", choices=ACTIVATIONS)
    init: str = setting("he_normal", choices=INITS)
    init_std: float | None = setting(None, low=0)


@dataclass(frozen=True)
class MlpOptions:
    """``layers`` hidden layers of ``hidden`` units."""

    hidden: int = setting(128, low=1, high=MAX_WIDTH)
    layers: int = setting(1, low=0, high=1000)
    width: float = setting(1.0, above=0, high=1000)
    activation: str = setting("relu", choices=ACTIVATIONS)
    init: str = setting("he_normal", choices=INITS)
    init_std: float | None = setting(None, low=0)


OPTIONS: Mapping[str, type] = {
    "lenet": LenetOptions,
    "cifar10_quick": Cifar10QuickOptions,
    "tensorviz": TensorvizOptions,
    "mlp": MlpOptions,
}


def is_user_model(name: str) -> bool:
    """Whether a model's name is ``module:function``."""
    return ":" in name


def check_name(name: Any, where: Where) -> None:
    """Raise unless ``name`` is one of our models or looks like ``module:function``."""
    if isinstance(name, str) and is_user_model(name):
        module, _, function = name.partition(":")
        if all(part.isidentifier() for part in (*module.split("."), function)):
            return
        raise where.error("name", f"got {name!r}, allowed: module:function")
    if name not in OPTIONS:
        allowed = ", ".join(OPTIONS)
        near = did_you_mean(str(name), OPTIONS)
        hint = near if near.startswith("; did") else ""
        raise where.error("name", f"got {name!r}, allowed: {allowed} or module:function{hint}")


def full_options(name: str, options: Mapping[str, Any], where: Where) -> dict[str, Any]:
    """Return the checked options with the defaults filled in; a user's own model's as they are."""
    if is_user_model(name):
        return dict(options)
    return asdict(build(OPTIONS[name], options, where))


def flatten(table: Mapping[str, Any]) -> dict[str, Any]:
    """Turn nested tables ``model.width = …`` of a search space into dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in table.items():
        if key in ("model", "train", "data", "reduce") and isinstance(value, Mapping):
            flat.update({f"{key}.{sub}": v for sub, v in value.items()})
        else:
            flat[key] = value
    return flat
