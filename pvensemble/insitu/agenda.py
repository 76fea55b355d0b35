"""The steps that all ranks go through together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

Halts = tuple[str, Sequence[int], Sequence[int]]
"""Name of a group, the steps that it will show, and those of them at which it is recorded."""


class Agenda:
    """Steps in ascending order, the same on all ranks as long as all are told the same.

    Attributes
    ----------
    left
        Steps that are still to come.
    recorded
        Steps at which any group is recorded.
    first, last
        Of all steps; -1 without any.
    """

    def __init__(self) -> None:
        self._groups: dict[str, tuple[Sequence[int], Sequence[int]]] = {}
        self._reached: int | None = None
        self.left: list[int] = []
        self.recorded: frozenset[int] = frozenset()
        self.first = self.last = -1

    def take_in(self, groups: Iterable[Halts], *, reopen: bool = False) -> None:
        """Note what groups, known or new, will show; what was passed does not come again.

        Parameters
        ----------
        reopen
            Let the step that was reached come once more when no other is left.
        """
        told = {name: (halts, recorded) for name, halts, recorded in groups}
        self._groups.update(told)
        steps = {step for halts, _ in self._groups.values() for step in halts}
        if not told or not steps:
            return
        if self._reached is None:
            self.first, self._reached = min(steps), min(steps) - 1
        self.last = max(steps)
        self.recorded = frozenset(s for _, recorded in self._groups.values() for s in recorded)
        self.left = sorted(step for step in steps if step > self._reached)
        if reopen and not self.left:
            self.left = [self._reached]

    def reach(self, step: int) -> bool:
        """Tell whether a step is the next one, which is then passed."""
        if self.left[:1] != [step]:
            return False
        self._reached = self.left.pop(0)
        return True

    def close(self) -> None:
        """Let nothing come any more."""
        self.left = []
