"""From a configuration to runs: sampling the search space, naming runs, forming groups."""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from pvensemble.errors import ConfigError
from pvensemble.train.config import (
    DataConfig,
    ReduceConfig,
    RunSettings,
    RunSpec,
    SessionConfig,
    TrainConfig,
)
from pvensemble.train.config.keys import run_settings, session_params
from pvensemble.train.config.model_options import OPTIONS
from pvensemble.train.config.session import Dimension, draw, grid_values

log = logging.getLogger(__name__)

MAX_RUNS = 1_000_000
"""Runs of one session at most."""
_INIT_OPTIONS = ("init",)
"""Options of our models that change initial weights only: such runs still form one group."""


def run_id(settings: RunSettings) -> str:
    """Return the identity of a run: a hash of what determines it.

    Settings at their default are left out, so that a setting which a later release adds does not
    rename the runs of today. Defaults therefore never change.
    """
    values = _identity(settings)
    name, options = settings.model.name, settings.model.options
    if name in OPTIONS:
        options = _changed(options, _defaults(OPTIONS[name]))
    values["data"] = _changed(values["data"], _defaults(DataConfig))
    nothing = _defaults(ReduceConfig)
    values["reduce"] = _changed(values["reduce"], nothing) or nothing
    values = _changed(values, _defaults(RunSettings))
    values["model"] = {"name": name, "options": dict(options)}
    return hashlib.sha256(canonical(values).encode()).hexdigest()[:16]


@functools.cache
def _defaults(table: type) -> dict[str, Any]:
    """Return the defaults of a table, which nobody may change."""
    return asdict(table())


def _changed(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that differ from their defaults."""
    return {k: v for k, v in values.items() if k not in defaults or defaults[k] != v}


def canonical(value: Any) -> str:
    """Return the canonical JSON of a value: sorted keys, no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def _identity(settings: RunSettings) -> dict[str, Any]:
    """Return what determines a run, without the places where files lie."""
    values = dict(vars(settings))
    values["data"] = {k: v for k, v in vars(settings.data).items() if k != "dir"}
    values["model"] = {"name": settings.model.name, "options": dict(settings.model.options)}
    values["reduce"] = dict(vars(settings.reduce))
    return values


def sample_runs(config: TrainConfig) -> list[RunSpec]:
    """Return the runs of all sessions, in order; a repeated run is kept once.

    Raises
    ------
    ConfigError
        When a combination of values is impossible.
    """
    return sample_with_repeats(config)[0]


def sample_with_repeats(config: TrainConfig) -> tuple[list[RunSpec], int]:
    """Return :func:`sample_runs` and how many repeated runs were left out."""

    specs: dict[str, RunSpec] = {}
    repeated = 0
    for session in config.sessions:
        _check_number(session, config.file)
        for values in _combinations(session):
            settings = run_settings(config, {**session.fixed, **values}, session.name)
            identity = run_id(settings)
            if identity in specs:
                repeated += 1
                continue
            params = session_params(config, settings)
            specs[identity] = RunSpec(len(specs), identity, session.name, params, settings)
    if repeated:
        log.info("%s: %d repeated runs are trained once", config.file, repeated)
    return list(specs.values()), repeated


def _check_number(session: SessionConfig, file: str) -> None:
    """Raise when a session has more runs than anybody can mean, before they are counted out."""
    n_runs = session.n or len(session.runs)
    if session.method == "grid":
        n_runs = math.prod(_axis_length(d) for d in session.space)
    if n_runs > MAX_RUNS:
        raise ConfigError(
            f"{file}: session {session.name!r}: got {n_runs:,} runs, allowed: at most "
            f"{MAX_RUNS:,}; use fewer values, or method 'random' with n"
        )


def _axis_length(dimension: Dimension) -> int:
    """Return how many values a grid axis has, without making them."""
    d = dimension
    return len(d.values) or d.num or int(d.high) - int(d.low) + 1


def _combinations(session: SessionConfig) -> Iterator[dict[str, Any]]:
    """Yield the hyper-parameters of each run of a session, by dotted key."""
    if session.method == "list":
        yield from (dict(run) for run in session.runs)
    elif session.method == "grid":
        keys = [d.key for d in session.space]
        for values in itertools.product(*(grid_values(d) for d in session.space)):
            yield dict(zip(keys, values))
    else:
        yield from _random(session)


def _random(session: SessionConfig) -> Iterator[dict[str, Any]]:
    """Yield ``n`` distinct draws; the first ones do not depend on ``n``."""
    rng = np.random.Generator(np.random.Philox(session.seed))
    seen: set[str] = set()
    for _ in range(100 * session.n):
        if len(seen) == session.n:
            return
        values = {d.key: draw(d, rng) for d in session.space}
        key = canonical(values)
        if key not in seen:
            seen.add(key)
            yield values
    if len(seen) < session.n:
        raise ConfigError(
            f"session {session.name!r}: n: got {session.n}, allowed: at most {len(seen)}, "
            "the number of different combinations found in its space"
        )


def group_runs(specs: Sequence[RunSpec], max_size: int | None = None) -> list[list[RunSpec]]:
    """Split runs into groups that can train as one vectorized batch.

    Runs share a group when data, model (initialization apart), kind of optimizer, batch size,
    steps and precision are equal; order is kept. A group larger than ``max_size`` is cut into
    parts whose sizes differ by at most one.
    """
    groups: dict[str, list[RunSpec]] = {}
    for spec in specs:
        groups.setdefault(group_key(spec.settings), []).append(spec)
    parts: list[list[RunSpec]] = []
    for members in groups.values():
        n_parts = 1 if not max_size else -(-len(members) // max_size)
        edges = [len(members) * i // n_parts for i in range(n_parts + 1)]
        parts += [members[a:b] for a, b in zip(edges, edges[1:])]
    return parts


def group_key(settings: RunSettings) -> str:
    """Return what runs of one group have in common."""
    values = _identity(settings)
    keys = ("data", "model", "optimizer", "nesterov", "batch_size", "steps", "precision")
    common = {k: values[k] for k in keys}
    if ":" not in settings.model.name:
        options = common["model"]["options"]
        common["model"]["options"] = {k: v for k, v in options.items() if k not in _INIT_OPTIONS}
    return canonical(common)
