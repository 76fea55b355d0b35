"""An observer that keeps all it sees."""

from __future__ import annotations

import numpy as np


class Witness:
    """Keeps what it is told, in order.

    Attributes
    ----------
    seen
        (group, step, metrics, tensors, following) of every halt.
    changes
        (number of halts seen before, group) of every group that was changed or added.
    """

    def __init__(self, seen=(), tensors=()) -> None:
        self._wishes = tuple(seen), tuple(tensors)
        self.groups, self.path, self.ended = (), None, False
        self.seen: list[tuple] = []
        self.told: list[tuple] = []
        self.changes: list[tuple] = []

    def wishes(self, steps):
        return tuple([s for s in wish if s <= steps] for wish in self._wishes)

    def begin(self, path, groups):
        self.path, self.groups = path, groups

    def changed(self, group):
        self.changes.append((len(self.seen), group))

    def stop(self, group, step, stop, following):
        self.seen.append((group, step, stop.metrics, stop.tensors, following))

    def states(self, group, positions, state, step, reason):
        self.told.append((group, tuple(positions), state, step))

    def end(self):
        self.ended = True

    def of(self, group: str) -> list[int]:
        """Return the steps at which a group was seen."""
        return [seen[1] for seen in self.seen if seen[0] == group]

    def metric(self, name: str) -> dict[tuple[str, int], np.ndarray]:
        """Return the values of a metric by group and step, each (n_runs,)."""
        return {
            (group, int(step)): row
            for group, _, metrics, _, _ in self.seen
            if name in metrics
            for step, row in zip(*metrics[name])
        }
