"""A training configuration: read, checked, immutable."""

from pvensemble.train.config.file import load_config, preset_names, read_config
from pvensemble.train.config.runs import RunSettings, RunSpec
from pvensemble.train.config.session import SessionConfig
from pvensemble.train.config.tables import (
    DataConfig,
    EvaluateConfig,
    ModelConfig,
    RecordConfig,
    ReduceConfig,
    TrainConfig,
    TrainSettings,
    to_dict,
)

__all__ = [
    "DataConfig",
    "EvaluateConfig",
    "ModelConfig",
    "RecordConfig",
    "ReduceConfig",
    "RunSettings",
    "RunSpec",
    "SessionConfig",
    "TrainConfig",
    "TrainSettings",
    "load_config",
    "preset_names",
    "read_config",
    "to_dict",
]
