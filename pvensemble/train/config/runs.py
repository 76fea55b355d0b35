"""One run of an ensemble, fully determined."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pvensemble.train.config.tables import DataConfig, ModelConfig, ReduceConfig


@dataclass(frozen=True)
class RunSettings:
    """Everything that determines one run; nothing else does.

    The learning rate at a step is ``schedules.lr_at(settings, step)``. ``betas`` and ``eps`` are
    used by Adam, ``alpha``, ``eps`` and ``momentum`` by RMSprop, ``momentum`` and ``nesterov`` by
    SGD. ``seed`` seeds the initial weights and the data order. ``reduce`` is all default where
    nothing is merged.
    """

    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    optimizer: str = "sgd"
    learning_rate: float = 0.01
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    alpha: float = 0.99
    eps: float = 1e-8
    batch_size: int = 64
    steps: int = 1000
    seed: int = 0
    schedule: str = "constant"
    gamma: float = 1e-4
    power: float = 0.75
    step_size: int = 1000
    end_factor: float = 0.0
    bias_lr_multiplier: float = 1.0
    precision: str = "float32"
    reduce: ReduceConfig = field(default_factory=ReduceConfig)


@dataclass(frozen=True)
class RunSpec:
    """One run to be trained.

    Attributes
    ----------
    run_index
        Place in the ensemble, 0 … n_runs - 1.
    run_id
        16 hexadecimal digits: SHA-256 of the canonical JSON of ``settings``. It does not depend on
        the other runs, the session, or where the data lie.
    params
        Hyper-parameters by column name: those that any session searches or fixes, as far as the
        run has them. A searched seed is in ``settings.seed`` (the run table has it anyway).
    """

    run_index: int
    run_id: str
    session: str
    params: dict[str, Any] = field(hash=False)
    settings: RunSettings = field(hash=False)
