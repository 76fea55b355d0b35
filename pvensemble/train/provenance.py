"""What an ensemble says of its own making, and whether a configuration may go on with it."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from pvensemble.errors import ConfigError
from pvensemble.store import HyperParameter, SessionInfo
from pvensemble.train.config import SessionConfig, TrainConfig, to_dict
from pvensemble.train.config.keys import columns

_PLACES = ("text", "overrides", "file", "data.dir", "model.path", "train.engine")
"""Parts of a configuration that do not change what is trained or recorded, and the engine: an
ensemble goes on with the one that it was begun with."""


def provenance(config: TrainConfig, device: str, engine: str, seconds: Mapping[str, float]) -> dict:
    """Return versions, machine, engine (``torch`` or ``native``) and the whole configuration.

    Parameters
    ----------
    seconds
        What was measured of a step, by shape of runs.
    """
    return {
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
        },
        "machine": {"system": platform.platform(), "processor": platform.machine()},
        "device": device,
        "engine": engine,
        "seconds_per_step": dict(seconds),
        "config_text": config.text,
        "overrides": list(config.overrides),
        "config": json.loads(json.dumps(to_dict(config), default=str)),
    }


def session_infos(config: TrainConfig) -> list[SessionInfo]:
    """Return the sessions as the store describes them."""
    return [session_info(session) for session in config.sessions]


def session_info(session: SessionConfig) -> SessionInfo:
    """Return one session as the store describes it."""
    space = json.loads(json.dumps(to_dict(session), default=str))
    return SessionInfo(session.name, session.color, space)


def hyper_parameters(config: TrainConfig) -> list[HyperParameter]:
    """Return the columns that any session searches or fixes, with type and scale."""
    found = []
    for key, column in columns(config).items():
        dimensions = [d for s in config.sessions for d in s.space if d.key == key]
        if dimensions:
            scales = [d.scale for d in dimensions]
            scale = "log" if "log" in scales else scales[0]
            found.append(HyperParameter(column, dimensions[0].type, scale))
        else:
            fixed = next(s.fixed[key] for s in config.sessions if key in s.fixed)
            found.append(_of_value(column, fixed))
    return found


def _of_value(column: str, value: Any) -> HyperParameter:
    for kind, name, scale in (
        (bool, "bool", "categorical"),
        (int, "int", "linear"),
        (float, "float", "linear"),
    ):
        if isinstance(value, kind):
            return HyperParameter(column, name, scale)
    return HyperParameter(column, "categorical", "categorical")


def check_same(stored: Mapping, config: TrainConfig, path: object) -> None:
    """Refuse to go on with an ensemble of another configuration.

    Raises
    ------
    ConfigError
        The message names every difference.
    """
    found = differences(stored, config)
    if found:
        raise ConfigError(
            f"{path}: cannot resume with another configuration: {found}; give another name, or the "
            "configuration it was made with"
        )


def differences(stored: Mapping, config: TrainConfig) -> str:
    """Return in what a configuration differs from that of an ensemble, "" for nothing."""
    old = _flat(stored.get("config", {}))
    new = _flat(json.loads(json.dumps(to_dict(config), default=str)))
    keys = [k for k in {**old, **new} if not k.startswith(_PLACES) and old.get(k) != new.get(k)]
    more = f"; and {len(keys) - 6} more" if len(keys) > 6 else ""
    return "; ".join(f"{k} was {old.get(k)!r}, now {new.get(k)!r}" for k in keys[:6]) + more


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Return nested tables as dotted keys."""
    if isinstance(value, Mapping):
        items = value.items()
    elif isinstance(value, list):
        items = ((str(i), v) for i, v in enumerate(value))
    else:
        return {prefix: value}
    flat: dict[str, Any] = {}
    for key, inner in items:
        flat.update(_flat(inner, f"{prefix}.{key}" if prefix else str(key)))
    return flat
