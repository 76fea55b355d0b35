"""Reading a configuration: TOML, presets, ``--set`` overrides."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pvensemble.errors import ConfigError, did_you_mean
from pvensemble.train.config import tables
from pvensemble.train.config.check import Where, build, fields_of, setting, unknown_key
from pvensemble.train.config.model_options import check_name, flatten, full_options
from pvensemble.train.config.parse import parse_sessions

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PRESETS = Path(__file__).parents[1] / "presets"
_PARTS = {
    "data": tables.DataConfig,
    "train": tables.TrainSettings,
    "evaluate": tables.EvaluateConfig,
    "record": tables.RecordConfig,
    "reduce": tables.ReduceConfig,
}


@dataclass(frozen=True)
class _Top:
    """Keys outside all tables."""

    name: str = "ensemble"
    steps: int = setting(1000, low=1, high=tables.MAX_STEPS)
    seed: int = setting(0, low=0, high=2**63 - 1)


def preset_names() -> list[str]:
    """Return the names of the presets, sorted."""
    return sorted(p.stem for p in PRESETS.glob("*.toml"))


def load_config(source: str | Path, overrides: Sequence[str] = ()) -> tables.TrainConfig:
    """Read a configuration.

    Parameters
    ----------
    source
        Name of a preset, or path of a TOML file.
    overrides
        ``"key.sub=value"``, applied in order.

    Raises
    ------
    ConfigError
        Unknown preset or file, TOML that does not parse, unknown keys, wrong types, impossible
        values. The message names file, key, what was got and what is allowed.
    """
    path, label = _find(source)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{label}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{label}: not a TOML file: {error}") from error
    return read_config(text, label, overrides, directory=path.parent)


def read_config(
    text: str, label: str, overrides: Sequence[str] = (), *, directory: Path | None = None
) -> tables.TrainConfig:
    """Read a configuration from the text of a TOML file that messages call ``label``.

    Parameters
    ----------
    directory
        Where the file lies: the user's own models are looked for there.

    Raises
    ------
    ConfigError
        As `load_config`.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{label}: not a TOML file: {error}") from error
    for override in overrides:
        _override(document, override, label)
    config = parse_config(document, label, directory=directory, text=text)
    object.__setattr__(config, "overrides", tuple(overrides))
    return config


def _find(source: str | Path) -> tuple[Path, str]:
    """Return the file of a preset or path, and what messages call it."""
    text = str(source)
    path = Path(source)
    if path.suffix == ".toml" or path.is_file() or len(path.parts) > 1:
        if not path.is_file():
            what = "a directory" if path.is_dir() else "no such file"
            raise ConfigError(f"{text}: {what}; give a TOML file or a preset ({_presets()})")
        return path.resolve(), text
    if text not in preset_names():
        near = did_you_mean(text, preset_names())
        hint = near if near.startswith("; did") else ""
        raise ConfigError(
            f"configuration: got {text!r}, allowed: a TOML file or a preset ({_presets()}){hint}"
        )
    return PRESETS / f"{text}.toml", f"preset {text}"


def _presets() -> str:
    return ", ".join(preset_names())


def parse_config(
    document: Mapping[str, Any], label: str, *, directory: Path | None = None, text: str = ""
) -> tables.TrainConfig:
    """Make a configuration of a parsed TOML document."""

    where = Where(label)
    unknown_key(document, [*fields_of(_Top), *_PARTS, "model", "session"], where)
    top = build(_Top, {k: v for k, v in document.items() if k in fields_of(_Top)}, where)
    parts = {k: build(cls, document.get(k, {}), where.sub(k)) for k, cls in _PARTS.items()}
    _check_record(parts["record"], where.sub("record"))
    model = _model(document.get("model", {}), where.sub("model"), directory)
    config = tables.TrainConfig(
        name=top.name, steps=top.steps, seed=top.seed, model=model, file=label, text=text, **parts
    )
    sessions = parse_sessions(document.get("session", []), config, where)
    object.__setattr__(config, "sessions", sessions)
    return config


def _check_record(record: tables.RecordConfig, where: Where) -> None:
    """Raise when more outputs are stored than there are probe images."""
    if record.activation_images > record.probe:
        raise where.error(
            "activation_images",
            f"got {record.activation_images}, allowed: 0 to record.probe, {record.probe}",
        )


def _model(table: Any, where: Where, directory: Path | None) -> tables.ModelConfig:
    """Return the checked ``[model]`` table."""
    if not isinstance(table, Mapping):
        raise ConfigError(f"{where.file}: {where.table}: got {table!r}, allowed: a table")
    options = dict(table)
    name = options.pop("name", tables.ModelConfig.name)
    check_name(name, where)
    full_options(name, options, where)
    path = None if directory is None or directory == PRESETS else str(directory)
    return tables.ModelConfig(name, options, path)


# -- overrides -----------------------------------------------------------------------------------


def parse_value(text: str) -> Any:
    """Return a value written on the command line.

    Anything that TOML can write is read as TOML; ``a,b`` is a list; anything else is a text.
    """
    try:
        parsed = tomllib.loads(f"v = {text}")
    except tomllib.TOMLDecodeError:
        parsed = {}
    if set(parsed) == {"v"}:
        return parsed["v"]
    if "," in text and text[:1] not in "[{\"'":
        return [parse_value(part.strip()) for part in text.split(",") if part.strip()]
    return text


def _override(document: dict, override: str, label: str) -> None:
    """Put one ``key=value`` into a parsed document."""
    key, equals, text = override.partition("=")
    key = key.strip()
    if not equals or not key:
        raise ConfigError(f"--set: got {override!r}, allowed: key=value")
    parts = key.split(".")
    train = fields_of(tables.TrainSettings)
    if len(parts) == 1 and key in train and key not in fields_of(_Top):
        parts = ["train", key]
    table: Any = document
    for i, part in enumerate(parts[:-1]):
        table = _descend(table, part, ".".join(parts[: i + 1]), label)
        if isinstance(table, list) and len(table) == 1 and not _is_item(table, parts[i + 1]):
            table = table[0]
    if isinstance(table, list):
        raise ConfigError(f"{label}: --set {key}: name the session: {_item_names(table)}")
    value = parse_value(text.strip())
    _searched(document, parts, key, label)
    table[parts[-1]] = value


def _descend(table: Any, part: str, so_far: str, label: str) -> Any:
    """Return the table (or list of tables) ``part`` of a table, made when absent."""
    if isinstance(table, list):
        for i, item in enumerate(table):
            if part in (str(i), str(item.get("name"))):
                return item
        raise ConfigError(
            f"{label}: --set {so_far}: no such session; there are: {_item_names(table)}"
        )
    inner = table.setdefault(part, {})
    if not isinstance(inner, (dict, list)):
        raise ConfigError(f"{label}: --set {so_far}: is a value, not a table")
    return inner


def _is_item(table: list, part: str) -> bool:
    return any(part in (str(i), str(item.get("name"))) for i, item in enumerate(table))


def _item_names(table: list) -> str:
    return ", ".join(str(item.get("name", i)) for i, item in enumerate(table))


def _searched(document: dict, parts: list[str], key: str, label: str) -> None:
    """Raise when an override sets what a session searches: it would have no effect."""
    sessions = document.get("session")
    if parts[0] == "session" or not isinstance(sessions, list):
        return
    names = {".".join(parts)} | ({parts[-1]} if parts[0] == "train" else set())
    for session in sessions:
        space = session.get("space") if isinstance(session, Mapping) else None
        if isinstance(space, Mapping) and names & set(flatten(space)):
            short = parts[-1] if parts[-1] in space else ".".join(parts)
            raise ConfigError(
                f"{label}: --set {key}: has no effect, a session searches it; "
                f"set session.space.{short}"
            )
