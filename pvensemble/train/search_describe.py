"""What a configuration's search is called in the store: sessions and hyper-parameters."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from pvensemble.store.records import HyperParameter, RunInfo, SessionInfo
from pvensemble.train.config import TrainConfig
from pvensemble.train.config_keys import columns
from pvensemble.train.config_session import Dimension, infer_scale
from pvensemble.train.search import RunSpec

_TYPES = {bool: "bool", int: "int", float: "float", str: "categorical"}


def hyper_parameters(config: TrainConfig) -> list[HyperParameter]:
    """Return the columns that runs' ``params`` have, in order of appearance.

    A key that is a whole number in one session and not in another is ``float``; the first session
    that searches a key decides its scale.
    """
    return [_column(config, key, name) for key, name in columns(config).items()]


def _column(config: TrainConfig, key: str, name: str) -> HyperParameter:
    """Describe one searched or fixed key."""
    dimensions = [d for session in config.sessions for d in session.space if d.key == key]
    fixed = [session.fixed[key] for session in config.sessions if key in session.fixed]
    kinds = {d.type for d in dimensions} | {_TYPES[type(value)] for value in fixed}
    kind = (
        kinds.pop() if len(kinds) == 1 else "float" if kinds <= {"int", "float"} else "categorical"
    )
    scale = dimensions[0].scale if dimensions else infer_scale(tuple(dict.fromkeys(fixed)))
    if kind in ("bool", "categorical"):
        scale = "categorical"
    return HyperParameter(name, kind, scale)


def session_infos(config: TrainConfig) -> list[SessionInfo]:
    """Return the sessions with a JSON-able description of their search spaces."""
    names = columns(config)
    return [
        SessionInfo(
            session.name,
            session.color,
            {
                "method": session.method,
                "n": session.n,
                "seed": session.seed,
                "dimensions": [_dimension(d, names) for d in session.space],
                "fixed": dict(session.fixed),
            },
        )
        for session in config.sessions
    ]


def _dimension(dimension: Dimension, names: dict[str, str]) -> dict[str, Any]:
    """Return the description of one dimension, with its column (None: the seed's own)."""
    described = asdict(dimension)
    described["values"] = list(dimension.values)
    return {"column": names.get(dimension.key), **described}


def run_info(spec: RunSpec) -> RunInfo:
    """Return a run as the store keeps it."""
    return RunInfo(spec.run_id, dict(spec.params), spec.settings.seed, spec.session, spec.run_index)
