"""What people write to steer a training, checked, and what they read of it."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence

from pvensemble.errors import SteeringError, did_you_mean
from pvensemble.numerics.runs import format_runs
from pvensemble.schema import KINDS

MAX_ADDED = 10_000
"""Combinations in one request to add runs at most."""
_NAME = re.compile(r"[A-Za-z_]\w{0,63}(\.[A-Za-z_]\w{0,63}){0,3}")


# -- from the command line and the panel -----------------------------------------------------------


def parse_names(text: str) -> list[str]:
    """Return the names of a text like ``conv1,conv2``."""
    return list(filter(None, re.split(r"[\s,;]+", text.strip())))


def parse_settings(text: str) -> dict[str, list]:
    """Return the values by setting of a text like ``learning_rate=0.01,0.02 momentum=0.9``.

    Raises
    ------
    SteeringError
        It is something else, or says a setting twice.
    """
    settings: dict[str, list] = {}
    for word in text.split():
        name, equals, values = word.partition("=")
        if not equals or not name or not values.strip(","):
            raise SteeringError(
                f"add: got {word!r}, allowed: settings with values, like "
                "learning_rate=0.01,0.02 momentum=0.9"
            )
        if name in settings:
            raise SteeringError(f"add: {name!r} is given twice")
        settings[name] = [_value(part) for part in values.split(",") if part]
    return settings


def _value(text: str) -> object:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return {"true": True, "false": False}.get(text.lower(), text)


# -- checks ----------------------------------------------------------------------------------------


def check_runs(runs: object) -> tuple[int, ...]:
    """Return run indices, distinct and ascending."""
    if not isinstance(runs, list) or not all(_whole(r, 0) for r in runs):
        raise SteeringError(f"runs: got {runs!r:.60}, allowed: a list of run indices")
    if not runs:
        raise SteeringError("runs: got none, allowed: at least one run index, like 3,5-7")
    return tuple(sorted(set(runs)))


def check_recording(content: Mapping) -> dict:
    """Return what of ``every``, ``layers`` and ``kinds`` is given."""
    given = {k: content[k] for k in ("every", "layers", "kinds") if content.get(k) is not None}
    if not given:
        raise SteeringError("record: nothing is changed; give every, layers or kinds")
    if "every" in given and not _whole(given["every"], 1):
        raise SteeringError(f"every: got {given['every']!r:.60}, allowed: a number of steps")
    for name in ("layers", "kinds"):
        texts = given.get(name, [])
        if not isinstance(texts, list) or not all(_is_name(t) for t in texts) or len(texts) > 1000:
            raise SteeringError(f"{name}: got {texts!r:.60}, allowed: a list of names")
    if given.get("layers") == []:
        raise SteeringError("layers: got none, allowed: names, patterns, convolutions or all")
    for kind in given.get("kinds", []):
        if kind not in KINDS:
            raise SteeringError(f"kinds: got {kind!r}{did_you_mean(kind, KINDS)}")
    return given


def check_settings(settings: object) -> dict[str, list]:
    """Return values by setting; which settings there are only the trainer knows."""
    if not isinstance(settings, Mapping) or not settings:
        raise SteeringError("add: no settings; give some, like learning_rate=0.01,0.02")
    for name, values in settings.items():
        if not _NAME.fullmatch(name):
            raise SteeringError(f"add: got {name!r:.60}, allowed: the name of a setting")
        if not isinstance(values, list) or not values or not all(map(_plain, values)):
            raise SteeringError(f"add: {name}: got {values!r:.60}, allowed: numbers or words")
    if math.prod(map(len, settings.values())) > MAX_ADDED:
        raise SteeringError(f"add: more than {MAX_ADDED:,} combinations; add fewer at a time")
    return dict(settings)


def _whole(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value < 2**31


def _is_name(text: object) -> bool:
    return isinstance(text, str) and 0 < len(text) <= 200 and text.isprintable()


def _plain(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, (bool, int)) or _is_name(value)


# -- for people ------------------------------------------------------------------------------------


def runs_text(runs: Sequence[int]) -> str:
    """Return ``run 3`` or ``runs 3, 5-7``."""
    text = format_runs(runs)
    shown = text if len(text) <= 80 else text[:79].rpartition(",")[0] + ",…"
    return f"run{'s' if len(runs) > 1 else ''} {shown.replace(',', ', ')}"


def recording_text(recording: Mapping) -> str:
    """Return ``every 50 steps, layers conv1, kinds weight``."""
    parts = []
    if "every" in recording:
        parts.append(f"every {recording['every']} steps")
    for name in ("layers", "kinds"):
        if name in recording:
            parts.append(f"{name} {_listed(recording[name]) or 'none'}")
    return ", ".join(parts)


def settings_text(settings: Mapping[str, Collection]) -> str:
    """Return ``learning_rate=0.01,0.02 momentum=0.9``."""
    return " ".join(f"{name}={_listed(values, ',')}" for name, values in settings.items())


def _listed(values: Collection, between: str = ", ") -> str:
    shown = [str(v).lower() if isinstance(v, bool) else str(v) for v in values]
    return between.join(shown[:12]) + (between + "…" if len(shown) > 12 else "")
