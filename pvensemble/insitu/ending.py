"""Whether the training is to end, for pipelines that make it wait."""

from __future__ import annotations

from collections.abc import Callable

_asked: list[Callable[[], bool]] = []


def ends_when(ask: Callable[[], bool]) -> None:
    """Let a function tell it from now on."""
    _asked[:] = [ask]


def ending() -> bool:
    """Return whether the training is to end, by a signal for example."""
    return any(ask() for ask in _asked)
