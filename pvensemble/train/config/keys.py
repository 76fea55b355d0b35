"""Dotted keys: how a hyper-parameter names a setting, and how values are put into a run."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from pvensemble import schema
from pvensemble.errors import did_you_mean
from pvensemble.train.config.check import Where, check_value, fields_of, setting, show
from pvensemble.train.config.model_options import OPTIONS, check_name, full_options, is_user_model
from pvensemble.train.config.runs import RunSettings
from pvensemble.train.config.tables import (
    MAX_STEPS,
    DataConfig,
    ModelConfig,
    ReduceConfig,
    TrainConfig,
    TrainSettings,
)

SECTIONS = {"train": TrainSettings, "data": DataConfig, "reduce": ReduceConfig}


@dataclasses.dataclass(frozen=True)
class _Top:
    """Settings of a run that stand at the top of a configuration."""

    steps: int = setting(1, low=1, high=MAX_STEPS)
    seed: int = setting(0, low=0, high=2**63 - 1)


TOP = fields_of(_Top)
_OF_ALL_RUNS = {"engine"}
"""Settings of ``[train]`` that are no setting of a single run."""
_REDUCE = ("threshold", "every", "start")
"""Settings of ``[reduce]`` of a single run; their short names would say too little."""
_SETTINGS_NAMES = {"beta1": ("betas", 0), "beta2": ("betas", 1)}
_RESERVED = {
    *schema.FIXED_COLUMNS,
    *(schema.P1, schema.P2, schema.P3, schema.COMBINED, schema.FINAL, schema.BEST),
    *(schema.TIME_TO_THRESHOLD, schema.GROUP, schema.GROUP_COLOR),
}


def dotted_key(key: str, models: set[str], where: Where) -> str:
    """Return the full dotted key that a hyper-parameter's name stands for.

    ``learning_rate`` is ``train.learning_rate``; ``conv1`` is ``model.conv1`` when one of the
    configuration's ``models`` has that option.

    Raises
    ------
    ConfigError
        For a name that nothing has.
    """
    options = {o for m in models if m in OPTIONS for o in fields_of(OPTIONS[m])} | {"name"}
    user = any(is_user_model(m) for m in models)
    train = [k for k in fields_of(TrainSettings) if k not in _OF_ALL_RUNS]
    tables = {"train": train, "model": options, "data": fields_of(DataConfig)}
    section, _, rest = key.partition(".")
    if rest:
        tables["reduce"] = _REDUCE
        if rest in tables.get(section, ()) or (section == "model" and user):
            return key
        names = [f"{s}.{k}" for s, keys in tables.items() for k in keys]
        raise where.error(key, f"no such setting of a run{did_you_mean(key, names)}")
    if key in TOP:
        return key
    for name, known in tables.items():
        if key in known and key != "name":
            return f"{name}.{key}"
    known = [*TOP, *(k for keys in tables.values() for k in keys)]
    raise where.error(key, f"no such setting of a run{did_you_mean(key, known)}")


def field_of(key: str, models: set[str]) -> dataclasses.Field | None:
    """Return the schema of a dotted key; None for an option of a user's own model."""
    section, _, rest = key.partition(".")
    if not rest:
        return TOP[key]
    if section in SECTIONS:
        return fields_of(SECTIONS[section])[rest]
    for model in sorted(models):
        if model in OPTIONS and rest in fields_of(OPTIONS[model]):
            return fields_of(OPTIONS[model])[rest]
    return None


def check_key_value(key: str, value: Any, models: set[str], where: Where) -> Any:
    """Return a hyper-parameter's value in the type of its setting."""

    def error(_: str, message: str) -> Exception:
        return where.error(key, message)

    if key == "model.name":
        check_name(value, Where(where.file, where.key(key).rpartition(".")[0]))
        return value
    spec = field_of(key, models)
    if spec is None:
        if not isinstance(value, (bool, int, float, str)):
            raise error(key, f"got {show(value)}, allowed: a number, a text, true or false")
        return value
    return check_value(spec, value, error)


def run_settings(config: TrainConfig, values: Mapping[str, Any], session: str) -> RunSettings:
    """Return the settings of one run: the configuration with ``values`` put in.

    Raises
    ------
    ConfigError
        When the combination is impossible.
    """
    where = Where(config.file, f"session {session!r}")
    parts = {
        "": {"steps": config.steps, "seed": config.seed},
        "train": dataclasses.asdict(config.train),
        "data": dataclasses.asdict(config.data),
        "reduce": dataclasses.asdict(config.reduce),
    }
    name = values.get("model.name", config.model.name)
    same = name == config.model.name
    options = dict(config.model.options) if same else {}
    for key, value in values.items():
        section, _, rest = key.rpartition(".")
        if section != "model":
            parts[section][rest] = value
        elif rest != "name" and (is_user_model(name) or rest in fields_of(OPTIONS[name])):
            options[rest] = value
    train = parts["train"]
    for name_of_all in _OF_ALL_RUNS:
        del train[name_of_all]
    train["betas"] = (train.pop("beta1"), train.pop("beta2"))
    options = full_options(name, options, where.sub("model"))
    settings = RunSettings(
        data=DataConfig(**parts["data"]),
        model=ModelConfig(name, options, config.model.path),
        reduce=ReduceConfig(**parts["reduce"]) if parts["reduce"]["threshold"] else ReduceConfig(),
        **train,
        **parts[""],
    )
    check_settings(settings, where)
    return settings


def check_settings(settings: RunSettings, where: Where) -> None:
    """Raise for settings that are fine one by one but impossible together."""
    s, data = settings, settings.data
    if s.optimizer == "sgd" and s.nesterov and s.momentum == 0:
        raise where.error("train.nesterov", "got true, allowed: only with momentum more than 0")
    if s.gamma < 0 and s.schedule != "sigmoid":
        message = f"got {s.gamma:g}, allowed: at least 0 (less than 0 with schedule 'sigmoid' only)"
        raise where.error("train.gamma", message)
    first = s.reduce.every if s.reduce.start is None else s.reduce.start
    if first is not None and first >= s.steps:
        key = "reduce.every" if s.reduce.start is None else "reduce.start"
        raise where.error(key, f"got {first}, allowed: less than the {s.steps} steps of the run")
    if data.source == "npy" and not (data.train_images and data.train_labels):
        message = "missing; source 'npy' needs train_images and train_labels"
        raise where.error("data.train_images", message)
    if data.source == "npy" and bool(data.test_images) != bool(data.test_labels):
        message = "test_images and test_labels are given together or not at all"
        raise where.error("data.test_images", message)
    if data.source == "torchvision" and not data.dataset:
        message = "missing; source 'torchvision' needs the name of a class, e.g. SVHN"
        raise where.error("data.dataset", message)


def searched_keys(config: TrainConfig) -> list[str]:
    """Return the dotted keys that any session searches or fixes, in order of appearance."""
    keys: dict[str, None] = {}
    for session in config.sessions:
        keys.update(dict.fromkeys(d.key for d in session.space))
        keys.update(dict.fromkeys(session.fixed))
    return [k for k in keys if k != schema.SEED]


def columns(config: TrainConfig) -> dict[str, str]:
    """Return the column name of every searched key: its last part, where that is unique."""
    keys = searched_keys(config)
    short = {k: "model" if k == "model.name" else k.rpartition(".")[2] for k in keys}
    short.update({k: k.replace(".", "_") for k in keys if k.startswith("reduce.")})
    counts = list(short.values())
    taken = {s for s in counts if counts.count(s) > 1} | _RESERVED
    return {k: k.replace(".", "_") if s in taken else s for k, s in short.items()}


def session_params(config: TrainConfig, settings: RunSettings) -> dict[str, Any]:
    """Return a run's hyper-parameters by column; those that its model lacks are left out."""
    params = {}
    for key, column in columns(config).items():
        value = setting_value(settings, key)
        if value is not None:
            params[column] = value
    return params


def setting_value(settings: RunSettings, key: str) -> Any:
    """Return the value of a dotted key in a run's settings; None when it has none."""
    section, _, rest = key.rpartition(".")
    if section == "model":
        return settings.model.name if rest == "name" else settings.model.options.get(rest)
    if section in ("data", "reduce"):
        return getattr(getattr(settings, section), rest)
    if rest in _SETTINGS_NAMES:
        name, index = _SETTINGS_NAMES[rest]
        return getattr(settings, name)[index]
    return getattr(settings, rest)
