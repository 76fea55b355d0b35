"""Checks of configuration tables: a frozen dataclass is the schema of a TOML table.

Each field carries its type in its annotation and its limits in ``setting(...)``, so the allowed
keys, types and values stand in one place and every message can name them.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pvensemble.errors import ConfigError, did_you_mean

_TYPE_NAMES = {"str": "text", "int": "a whole number", "float": "a number", "bool": "true or false"}


@dataclass(frozen=True)
class Where:
    """Place in a configuration, for messages: the file (or preset) and the table."""

    file: str
    table: str = ""

    def error(self, key: str, message: str) -> ConfigError:
        """Return the error that names file, key and ``message``."""
        return ConfigError(f"{self.file}: {self.key(key)}: {message}")

    def key(self, name: str) -> str:
        """Dotted name of a key in this table."""
        return ".".join(part for part in (self.table, name) if part)

    def sub(self, name: str) -> Where:
        """Return the place of a table inside this one."""
        return Where(self.file, self.key(name))


def setting(
    default: Any,
    *,
    choices: Sequence[str] = (),
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    below: float | None = None,
) -> Any:
    """Declare a field of a configuration table.

    Parameters
    ----------
    default
        Value when the key is absent.
    choices
        The allowed texts; any when empty.
    low, high
        Closed limits of a number.
    above, below
        Open limits of a number.
    """
    limits = {"choices": tuple(choices), "low": low, "high": high, "above": above, "below": below}
    return field(default=default, metadata=limits)


def fields_of(cls: type) -> dict[str, dataclasses.Field]:
    """Return the fields of a configuration table by name."""
    return {f.name: f for f in dataclasses.fields(cls)}


def build(cls: type, table: Any, where: Where) -> Any:
    """Make the dataclass ``cls`` of a table, checking every key, type and value.

    Raises
    ------
    ConfigError
        For a key that ``cls`` lacks, a wrong type, or a value outside its limits.
    """
    if not isinstance(table, Mapping):
        raise ConfigError(f"{where.file}: {where.table}: got {show(table)}, allowed: a table")
    fields = fields_of(cls)
    unknown_key(table, fields, where)
    return cls(**{k: check_value(fields[k], v, where.error) for k, v in table.items()})


def unknown_key(table: Mapping, known: Any, where: Where) -> None:
    """Raise for the first key of ``table`` that is not in ``known``."""
    for key in table:
        if key not in known:
            raise where.error(key, f"unknown key{did_you_mean(key, known)}")


def check_value(spec: dataclasses.Field, value: Any, error: Any) -> Any:
    """Return ``value`` in the type of the field ``spec``, or raise ``error(name, message)``."""
    kind = str(spec.type)
    if kind.endswith("| None"):
        kind = kind.split("|")[0].strip()
        if value is None:
            return None
    if kind == "tuple[str, ...]":
        return _texts(spec, value, error)
    converted = _convert(kind, value)
    if converted is None:
        allowed = ", ".join(filter(None, spec.metadata.get("choices", ()))) or _TYPE_NAMES[kind]
        raise error(spec.name, f"got {show(value)}, allowed: {allowed}")
    _limits(spec, converted, error)
    return converted


def _texts(spec: dataclasses.Field, value: Any, error: Any) -> tuple[str, ...]:
    """Return a list of texts (a single text counts as a list of one)."""
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, (list, tuple)) or not all(isinstance(i, str) for i in items):
        raise error(spec.name, f"got {show(value)}, allowed: a list of texts")
    for item in items:
        _limits(spec, item, error)
    return tuple(items)


def _convert(kind: str, value: Any) -> Any:
    """Return ``value`` as ``kind``, or None when it is of another type."""
    if kind == "bool":
        return value if isinstance(value, bool) else None
    if isinstance(value, bool):
        return None
    if kind == "str":
        return value if isinstance(value, str) else None
    if not isinstance(value, (int, float)):
        return None
    if kind == "int":
        return int(value) if float(value).is_integer() else None
    return float(value) if math.isfinite(value) else None


def _limits(spec: dataclasses.Field, value: Any, error: Any) -> None:
    """Raise when a value is outside the limits of its field."""
    limits = spec.metadata
    choices = limits.get("choices", ())
    if choices and value not in choices:
        near = did_you_mean(value, choices)
        hint = near if near.startswith("; did") else ""
        raise error(
            spec.name, f"got {show(value)}, allowed: {', '.join(filter(None, choices))}{hint}"
        )
    tests = (
        ("low", "at least", lambda a, b: a >= b),
        ("high", "at most", lambda a, b: a <= b),
        ("above", "more than", lambda a, b: a > b),
        ("below", "less than", lambda a, b: a < b),
    )
    for name, words, holds in tests:
        bound = limits.get(name)
        if bound is not None and not holds(value, bound):
            raise error(spec.name, f"got {show(value)}, allowed: {words} {bound}")


def show(value: Any) -> str:
    """Return a value as TOML would write it, shortened."""
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else text[:57] + "…"
