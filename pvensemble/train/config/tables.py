"""What an ensemble is: the tables of a training configuration, checked and immutable.

A configuration is a TOML file; each table below is one dataclass, so the defaults, types and
limits that the documentation states are the ones the program uses. Sessions (``[[session]]``)
are in :mod:`pvensemble.train.config.session`, reading in :mod:`pvensemble.train.config.file`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pvensemble import schema
from pvensemble.train.config.check import setting
from pvensemble.train.config.session import SessionConfig

SOURCES = ("digits", "mnist", "fashion-mnist", "cifar10", "npy", "torchvision")
OPTIMIZERS = ("sgd", "adam", "rmsprop")
SCHEDULES = ("constant", "inv", "step", "exp", "poly", "sigmoid", "cosine")
PRECISIONS = ("float32", "bf16", "tf32")
ENGINES = ("auto", "torch", "native")
NETWORKS = ("last", "all", "none")
DTYPES = ("float32", "float16")
MAX_STEPS = 100_000_000
"""Steps of a run at most: its stops are listed before it starts."""


@dataclass(frozen=True)
class DataConfig:
    """``[data]``: the data set, its split and its preparation.

    The validation split is held out from the *end of the training set*
    (``validation_from = "train"``) or drawn from the published test set (``"test"``; the test
    split is then the rest of it, so no image is in two splits). ``split_seed`` shuffles before
    anything is held out; absent, the published order is kept. ``validation`` is 1,000 images when
    absent (digits: 300), ``test`` all that are left (digits: 300), ``train`` likewise. Pixels are
    multiplied by ``scale`` (absent: 1/16 for digits, 1/255 for bytes, 1 for other numbers) after
    ``subtract`` took away the mean of the training split; ``size`` resizes to size x size by
    bilinear interpolation.
    ``npy`` reads ``train_images``, ``train_labels`` and, where given, ``test_images`` and
    ``test_labels``; ``torchvision`` its class ``dataset``.
    """

    source: str = setting("digits", choices=SOURCES)
    dir: str | None = setting(None)
    train: int | None = setting(None, low=1)
    validation: int | None = setting(None, low=1)
    test: int | None = setting(None, low=1)
    validation_from: str = setting("train", choices=("train", "test"))
    split_seed: int | None = setting(None, low=0)
    scale: float | None = setting(None, above=0)
    subtract: str = setting("none", choices=("none", "mean_image", "mean_channel"))
    size: int | None = setting(None, low=2, high=4096)
    train_images: str | None = setting(None)
    train_labels: str | None = setting(None)
    test_images: str | None = setting(None)
    test_labels: str | None = setting(None)
    dataset: str | None = setting(None)


@dataclass(frozen=True)
class ModelConfig:
    """``[model]``: ``name`` and the options of that model.

    ``path`` is the directory of the configuration file, where a ``module:function`` of the
    user's own is looked for before the working directory.
    """

    name: str = "lenet"
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    path: str | None = field(default=None, compare=False)


@dataclass(frozen=True)
class TrainSettings:
    """``[train]``: batch, optimizer, learning-rate schedule and arithmetic.

    ``engine`` says what computes the steps on a CPU: ``torch``; ``native``, which g++ compiles for
    this processor and which trains chains of convolutions, pooling, rectifiers and linear layers
    in float32; or ``auto``, the latter where it can. It holds for all runs.
    """

    batch_size: int = setting(64, low=1)
    optimizer: str = setting("sgd", choices=OPTIMIZERS)
    learning_rate: float = setting(0.01, low=0)
    momentum: float = setting(0.9, low=0, below=1)
    nesterov: bool = setting(False)
    weight_decay: float = setting(0.0, low=0)
    beta1: float = setting(0.9, low=0, below=1)
    beta2: float = setting(0.999, low=0, below=1)
    alpha: float = setting(0.99, low=0, below=1)
    eps: float = setting(1e-8, above=0)
    schedule: str = setting("constant", choices=SCHEDULES)
    gamma: float = setting(1e-4)
    power: float = setting(0.75, low=0)
    step_size: int = setting(1000, low=1)
    end_factor: float = setting(0.0, low=0, high=1)
    bias_lr_multiplier: float = setting(1.0, low=0)
    precision: str = setting("float32", choices=PRECISIONS)
    engine: str = setting("auto", choices=ENGINES)


@dataclass(frozen=True)
class EvaluateConfig:
    """``[evaluate]``: every how many steps, and on how many validation images.

    ``size`` images of the validation split (absent: all of it); the whole test split at the last
    step and, where given, every ``test_every`` steps.
    """

    every: int = setting(20, low=1)
    size: int | None = setting(None, low=1)
    test_every: int | None = setting(None, low=1)


@dataclass(frozen=True)
class RecordConfig:
    """``[record]``: which tensors are exported, and every how many steps.

    ``layers`` are names of modules or patterns (``conv*``), or ``convolutions`` or ``all``.
    ``probe`` images of the validation split are the inputs of correlations and Gram matrices; the
    outputs for the first ``activation_images`` of them are stored as they are. ``networks`` says
    at which recorded steps all parameters and buffers are stored: none, the last or all.
    """

    every: int = setting(20, low=1)
    kinds: tuple[str, ...] = setting(schema.KINDS, choices=schema.KINDS)
    layers: tuple[str, ...] = setting(("convolutions",))
    dtype: str = setting("float32", choices=DTYPES)
    probe: int = setting(256, low=4)
    activation_images: int = setting(4, low=0)
    networks: str = setting("last", choices=NETWORKS)


@dataclass(frozen=True)
class ReduceConfig:
    """``[reduce]``: filters that do the same become one while training goes on.

    Filters of a convolution of which every two correlate by at least ``threshold`` on the probe
    images are merged (absent: never), every ``every`` steps (absent: an epoch, at most a quarter
    of the training) from step ``start`` on (absent: ``every``). ``layers`` are names of
    convolutions or patterns (absent: all).
    """

    threshold: float | None = setting(None, above=0, high=1)
    every: int | None = setting(None, low=1)
    start: int | None = setting(None, low=0)
    layers: tuple[str, ...] = setting(())


@dataclass(frozen=True)
class TrainConfig:
    """A whole training configuration.

    Attributes
    ----------
    steps
        Optimizer steps of every run.
    seed
        Seed of the initial weights and of the data order of every run that does not have its own.
    file
        The file or preset it was read from, for messages.
    text
        The TOML text as read, for the provenance; ``overrides`` were applied to it.
    """

    name: str = "ensemble"
    steps: int = 1000
    seed: int = 0
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    train: TrainSettings = field(default_factory=TrainSettings)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)
    record: RecordConfig = field(default_factory=RecordConfig)
    reduce: ReduceConfig = field(default_factory=ReduceConfig)
    sessions: tuple[SessionConfig, ...] = ()
    file: str = field(default="configuration", compare=False)
    text: str = field(default="", compare=False)
    overrides: tuple[str, ...] = field(default=(), compare=False)


def to_dict(config: Any) -> dict[str, Any]:
    """Return a configuration (or a part of one) as a JSON-able dictionary."""
    return {k: v for k, v in dataclasses.asdict(config).items() if k not in ("path", "file")}
