"""Which values an option of a pipeline may have, so that a wrong one is told before training.

The third thing that a script's ``OPTIONS`` say of an option is its rule: the name of one of `RULES`
or, where that takes arguments, a tuple of the name and those::

    OPTIONS = {"port": ("22222", "port at which it waits", ("whole number", 1, 65535))}

``"whole number"``, ``"number"``
    from the first argument to the second, as far as there are.
``"number above"``
    greater than the argument.
``"one of"``, ``"any of"``
    of the texts that follow; any of them, several with commas, or none.
``"picture size"``
    width x height in pixels.
``"scenes"``
    scenes by name with commas, or a scene file.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from pvensemble.errors import ConfigError, SceneError, did_you_mean
from pvensemble.insitu.settings import names_in
from pvensemble.launcher.pictures import SIZES, picture_size
from pvensemble.launcher.scenes import scene_files, scene_names

Verdict = tuple[bool, str]
"""Whether a value is allowed, and which are."""


@dataclass(frozen=True)
class Option:
    """An option of a pipeline.

    Attributes
    ----------
    default
        Always allowed.
    text
        What it is, for people.
    rule
        Name and arguments of its rule; () when any text is allowed.
    """

    default: str
    text: str = ""
    rule: tuple = ()

    def check(self, value: str, where: str) -> None:
        """Raise when a value is not allowed.

        Raises
        ------
        ConfigError
            It is not; the message begins with ``where``.
        """
        if not self.rule or value == self.default:
            return
        fits, allowed = RULES[self.rule[0]](value, *self.rule[1:])
        if not fits:
            raise ConfigError(f"{where}: got {value!r}, allowed: {allowed}")


def option(default: object, text: object, rule: object = ()) -> Option:
    """Return what a script says of an option.

    Raises
    ------
    ConfigError
        There is no such rule, or it takes other arguments.
    """
    rule = (rule,) if isinstance(rule, str) else tuple(rule)
    if rule:
        if rule[0] not in RULES:
            raise ConfigError(f"there is no rule {rule[0]!r}{did_you_mean(rule[0], RULES)}")
        try:
            RULES[rule[0]](str(default), *rule[1:])
        except (TypeError, ValueError):
            raise ConfigError(f"rule {rule[0]!r} does not take {rule[1:]}") from None
    return Option(str(default), str(text), rule)


def _number(value: str, least: float | None = None, most: float | None = None) -> Verdict:
    return _between(_parsed(float, value), least, most), "a number" + _limits(least, most)


def _whole_number(value: str, least: int | None = None, most: int | None = None) -> Verdict:
    return _between(_parsed(int, value), least, most), "a whole number" + _limits(least, most)


def _number_above(value: str, limit: float) -> Verdict:
    return limit < _parsed(float, value) < math.inf, f"a number above {limit:g}"


def _one_of(value: str, *texts: str) -> Verdict:
    return value in texts, ", ".join(texts)


def _any_of(value: str, *texts: str) -> Verdict:
    return {*names_in(value)} <= {*texts}, "any of " + ", ".join(texts)


def _picture_size(value: str) -> Verdict:
    return picture_size(value) is not None, SIZES


def _scenes(value: str) -> Verdict:
    try:
        scene_files(value)
    except SceneError as error:
        allowed = f"any of {', '.join(scene_names())}, or a scene file (.py) that is there"
        return False, f"{allowed} ({error})"
    return True, ""


def _parsed(kind: Callable[[str], float], value: str) -> float:
    """Return a number, NaN when it is none."""
    try:
        return kind(value)
    except ValueError:
        return math.nan


def _between(value: float, least: float | None, most: float | None) -> bool:
    return (
        -math.inf < value < math.inf
        and (least is None or least <= value)
        and (most is None or value <= most)
    )


def _limits(least: float | None, most: float | None) -> str:
    if most is None:
        return "" if least is None else f" of at least {least:g}"
    return f" of at most {most:g}" if least is None else f" from {least:g} to {most:g}"


RULES: dict[str, Callable[..., Verdict]] = {
    "whole number": _whole_number,
    "number": _number,
    "number above": _number_above,
    "one of": _one_of,
    "any of": _any_of,
    "picture size": _picture_size,
    "scenes": _scenes,
}
