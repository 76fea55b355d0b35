"""What groups have shown since somebody was told last: other ranks, and the process that draws."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pvensemble.insitu.feed import Feed, Metrics, Tensors

ADD, TENSORS, STORED, STATES = "add", "tensors", "stored", "states"


class News:
    """Collects items, which are plain lists; of tensors only the newest.

    Attributes
    ----------
    tensors
        Whether tensors that are not recorded are wanted. Those that are recorded are only named:
        they can be read from the files.
    """

    def __init__(self, *, tensors: bool) -> None:
        self.tensors = tensors
        self._items: list[list] = []
        self._newest: dict[str, list] = {}

    def add(
        self, group: str, step: int, metrics: Metrics, tensors: Tensors, *, recorded: bool
    ) -> None:
        """Note what the runs of a group measured at a step."""
        rows = [[name, steps, values] for name, (steps, values) in metrics.items()]
        self._items.append([ADD, group, step, rows])
        if tensors and recorded:
            self._newest[group] = [STORED, group, step]
        elif tensors and self.tensors:
            found = [[*key, array] for key, array in tensors.items()]
            self._newest[group] = [TENSORS, group, step, found]

    def set_states(
        self, group: str, positions: Sequence[int], state: str, step: int, reason: str
    ) -> None:
        """Note states of runs."""
        self._items.append([STATES, group, [int(p) for p in positions], state, step, reason])

    def extend(self, items: Iterable[list]) -> None:
        """Note what others have collected."""
        for item in items:
            if item[0] in (TENSORS, STORED):
                self._newest[item[1]] = item
            else:
                self._items.append(item)

    def taken(self) -> list[list]:
        """Return all items, and begin anew."""
        items = [*self._items, *self._newest.values()]
        self._items, self._newest = [], {}
        return items


def apply(items: Iterable[Sequence], feed: Feed, *, tensors: bool = False) -> dict[str, int]:
    """Let an ensemble show what groups have shown elsewhere.

    Parameters
    ----------
    items
        From :meth:`News.taken`.
    feed
        The ensemble.
    tensors
        Whether it takes tensors too.

    Returns
    -------
    dict
        Steps that are recorded, of which the files will have the tensors, by the group's name.
    """
    stored = {}
    for kind, name, *rest in items:
        group = feed.named(name)
        if kind == ADD:
            step, rows = rest
            group.add(step, {metric: (steps, values) for metric, steps, values in rows}, {})
        elif kind == STATES:
            group.set_states(*rest)
        elif kind == TENSORS and tensors:
            step, found = rest
            group.add(step, {}, {(layer, what): array for layer, what, array in found})
        elif kind == STORED:
            stored[name] = rest[0]
    return stored
