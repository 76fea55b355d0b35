"""Reading ``[[session]]`` tables: search spaces, fixed settings, lists of runs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pvensemble.errors import ConfigError
from pvensemble.train.config import session as model
from pvensemble.train.config.check import Where, build, fields_of, setting, show, unknown_key
from pvensemble.train.config.keys import check_key_value, dotted_key, field_of
from pvensemble.train.config.model_options import flatten
from pvensemble.train.config.tables import TrainConfig


@dataclass(frozen=True)
class _Session:
    """Plain keys of a session."""

    name: str = ""
    color: str = ""
    method: str = setting("", choices=("", *model.METHODS))
    n: int | None = setting(None, low=1)
    seed: int = setting(0, low=0)


@dataclass(frozen=True)
class _Range:
    """Keys of a dimension written as a table."""

    low: float | None = setting(None)
    high: float | None = setting(None)
    num: int | None = setting(None, low=1)
    scale: str | None = setting(None, choices=model.SCALES)
    type: str | None = setting(None, choices=model.TYPES)


def parse_sessions(tables: Any, config: TrainConfig, where: Where) -> tuple:
    """Return the checked sessions; without any, one session of the single run as it stands."""
    if isinstance(tables, Mapping):
        tables = [tables]
    if not isinstance(tables, list) or not all(isinstance(t, Mapping) for t in tables):
        raise where.error("session", f"got {show(tables)}, allowed: [[session]] tables")
    if not tables:
        return (model.SessionConfig(method="list", runs=({},)),)
    models = _model_names(tables, config)
    sessions = tuple(_session(t, i, models, where) for i, t in enumerate(tables))
    names = [s.name for s in sessions]
    for name in names:
        if names.count(name) > 1:
            raise where.error("session.name", f"{name!r} is given to two sessions")
    return sessions


def _model_names(tables: list, config: TrainConfig) -> set[str]:
    """Return all models that any run may have."""
    names = [config.model.name]
    for table in tables:
        for part in (table.get("space"), table.get("fixed"), *(table.get("runs") or ())):
            value = flatten(part).get("model.name", []) if isinstance(part, Mapping) else []
            if isinstance(value, Mapping):
                value = value.get("values", value.get("choices", []))
            names += [value] if isinstance(value, str) else value
    return {n for n in names if isinstance(n, str)}


def _session(table: Mapping, index: int, models: set[str], where: Where) -> model.SessionConfig:
    """Return one checked session."""
    name = table.get("name", f"session {index + 1}")
    where = where.sub(f"session.{name}")
    unknown_key(table, [*fields_of(_Session), "space", "fixed", "runs"], where)
    plain = build(_Session, {k: v for k, v in table.items() if k in fields_of(_Session)}, where)
    for part in ("space", "fixed"):
        if not isinstance(table.get(part, {}), Mapping):
            raise where.error(part, f"got {show(table[part])}, allowed: a table")
    if not isinstance(table.get("runs", []), list):
        raise where.error("runs", f"got {show(table['runs'])}, allowed: a list of tables")
    space = tuple(
        _dimension(dotted_key(k, models, where.sub("space")), v, models, where.sub("space"))
        for k, v in flatten(table.get("space", {})).items()
    )
    fixed = _values(table.get("fixed", {}), models, where.sub("fixed"))
    runs = tuple(_values(r, models, where.sub("runs")) for r in table.get("runs", []))
    method = plain.method or ("list" if runs else "random" if plain.n else "grid")
    color = plain.color or model.COLORS[index % len(model.COLORS)]
    if not re.fullmatch("#[0-9a-fA-F]{6}", color):
        raise where.error("color", f"got {color!r}, allowed: #rrggbb")
    if method == "list":
        keys = tuple(dict.fromkeys(k for run in runs for k in run))
        space = space or tuple(_listed(k, runs, models, where.sub("runs")) for k in keys)
    session = model.SessionConfig(
        str(name), color.lower(), method, plain.n, plain.seed, space, fixed, runs
    )
    _check_method(session, where)
    return session


def _values(table: Any, models: set[str], where: Where) -> dict[str, Any]:
    """Return a checked table of plain values by dotted key."""
    if not isinstance(table, Mapping):
        raise ConfigError(f"{where.file}: {where.table}: got {show(table)}, allowed: a table")
    keys = {dotted_key(k, models, where): v for k, v in flatten(table).items()}
    return {k: check_key_value(k, v, models, where) for k, v in keys.items()}


def _check_method(session: model.SessionConfig, where: Where) -> None:
    """Raise when a session's method lacks what it needs."""
    if session.method == "random" and session.n is None:
        raise where.error("n", "missing; a random session needs the number of runs")
    if session.method != "random" and session.n is not None:
        raise where.error("n", f"got {session.n}, allowed: only with method 'random'")
    if session.method == "list" and not session.runs:
        raise where.error("runs", "missing; a list session needs at least one run")
    if session.method != "list" and session.runs:
        raise where.error("runs", "got a list, allowed: only with method 'list'")
    keys = [d.key for d in session.space]
    for key in keys:
        if key in session.fixed or keys.count(key) > 1:
            raise where.error(key, "is given twice in one session")
    for d in session.space if session.method == "grid" else ():
        if not d.values and d.num is None and d.type != "int":
            raise where.error(f"space.{d.key}", "missing num; a grid needs the number of values")


def _listed(key: str, runs: tuple, models: set[str], where: Where) -> model.Dimension:
    """Return the dimension that a list of runs spans, for axes and scales."""
    values = list(dict.fromkeys(run[key] for run in runs if key in run))
    return _dimension(key, values, models, where)


def _dimension(key: str, spec: Any, models: set[str], where: Where) -> model.Dimension:
    """Return one checked dimension."""
    place = where.sub(key)
    if isinstance(spec, list):
        return _choices(key, spec, None, models, where)
    if not isinstance(spec, Mapping):
        raise where.error(
            key, f"got {show(spec)}, allowed: a list or a table; one value goes to fixed"
        )
    listed = [k for k in ("values", "choices") if k in spec]
    rest = {k: v for k, v in spec.items() if k not in listed}
    unknown_key(rest, ["values", "choices", *fields_of(_Range)], place)
    r = build(_Range, rest, place)
    if listed or r.type == "bool":
        if r.low is not None or r.high is not None or r.num is not None or len(listed) > 1:
            raise where.error(key, "give either values or low and high")
        values = spec[listed[0]] if listed else [False, True]
        scale = "categorical" if r.type == "categorical" else r.scale
        return _choices(key, values, scale, models, where)
    return _range(key, r, models, where)


def _choices(
    key: str, values: Any, scale: str | None, models: set[str], where: Where
) -> model.Dimension:
    """Return the dimension of listed values."""
    if not isinstance(values, list) or not values:
        raise where.error(key, f"got {show(values)}, allowed: a list of at least one value")
    checked = tuple(check_key_value(key, v, models, where) for v in values)
    kinds = {type(v) for v in checked}
    if kinds == {int, float}:
        checked, kinds = tuple(float(v) for v in checked), {float}
    if len(kinds) > 1:
        raise where.error(key, f"got {show(values)}, allowed: values of one type")
    if len(set(checked)) < len(checked):
        raise where.error(key, f"got {show(values)}, allowed: every value once")
    kind = {float: "float", int: "int", bool: "bool", str: "categorical"}[kinds.pop()]
    scale = scale or model.infer_scale(checked)
    if scale == "log" and (kind in ("bool", "categorical") or min(checked) <= 0):
        raise where.error(key, "scale 'log' needs numbers more than 0")
    return model.Dimension(key, kind, scale, values=checked)


def _range(key: str, r: _Range, models: set[str], where: Where) -> model.Dimension:
    """Return the dimension of a closed range."""
    if r.low is None or r.high is None:
        raise where.error(key, "missing; a range needs low and high")
    spec = field_of(key, models)
    kind = str(spec.type).split("|")[0].strip() if spec is not None else r.type or "float"
    if kind not in ("float", "int") or key == "model.name":
        raise where.error(key, "is not a number; list its values")
    if r.type == "int":
        kind = "int"
    low, high = (_bound(v, key, kind, models, where) for v in (r.low, r.high))
    if not low < high:
        raise where.error(key, f"got low {low}, high {high}, allowed: low less than high")
    if r.scale == "log" and low <= 0:
        raise where.error(key, f"got low {low}, allowed: more than 0 for scale 'log'")
    return model.Dimension(key, kind, r.scale or "linear", (), low, high, r.num)


def _bound(value: float, key: str, kind: str, models: set[str], where: Where) -> Any:
    """Return one end of a range, checked like a value."""
    if kind == "int" and not float(value).is_integer():
        raise where.error(key, f"got {value}, allowed: whole numbers")
    return check_key_value(key, int(value) if kind == "int" else value, models, where)
