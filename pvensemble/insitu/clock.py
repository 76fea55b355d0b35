"""When all groups of this process have passed a step."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Clock(Generic[T]):
    """Keeps what groups have shown until no group is behind it.

    Parameters
    ----------
    first
        Name of each group to the first step that it will show, None if it shows nothing.
    """

    def __init__(self, first: Iterable[tuple[str, int | None]]) -> None:
        self._next = dict(first)
        self._waiting: dict[int, list[tuple[str, T]]] = {}

    def expect(self, group: str, step: int | None) -> None:
        """Note the step that a group, known or new, will show next."""
        self._next[group] = step

    def put(self, group: str, step: int, shown: T, following: int | None) -> None:
        """Note what a group has shown at a step, and the step that it will show next."""
        self.expect(group, following)
        self._waiting.setdefault(step, []).append((group, shown))

    @property
    def passed(self) -> float:
        """All groups have passed every step before this one."""
        return min((s for s in self._next.values() if s is not None), default=float("inf"))

    def take(self) -> Iterator[tuple[int, list[tuple[str, T]]]]:
        """Yield the steps that all groups have passed with what was shown, in order, once."""
        for step in sorted(s for s in self._waiting if s < self.passed):
            yield step, self._waiting.pop(step)
