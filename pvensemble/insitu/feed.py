"""The ensemble that is being trained, as readers see it: memory over files.

Table, states and metrics are kept in memory from the first step on. The tensors of the newest step,
and those that the disk does not have yet, are the trainer's own arrays; older recorded steps are
read from the files when a filter asks for them.
"""

from __future__ import annotations

import copy
import os
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np

from pvensemble.errors import NotRecordedError, StoreError
from pvensemble.schema import NETWORK
from pvensemble.store import Ensemble
from pvensemble.store.ensemble import is_group
from pvensemble.store.files import VISIBLE_SECONDS
from pvensemble.store.group import Group
from pvensemble.store.group_index import RunState
from pvensemble.store.tiling import tile, untile

LOOK_SECONDS = 0.1
Metrics = Mapping[str, "tuple[np.ndarray, np.ndarray]"]
Tensors = Mapping["tuple[str, str]", np.ndarray]


class LiveGroup(Group):
    """A group while it trains.

    What stands in the files when the training begins is read once; then the trainer tells.

    Attributes
    ----------
    here
        Whether it is trained by this process; else this one has no tensors of it.
    recorded
        Steps at which this process stores its tensors.
    """

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.here = False
        self._stored = Group(directory)
        self._steps: dict[int, Tensors] = {}
        self.recorded: frozenset[int] = frozenset()
        self._tiled: dict[tuple[str, str, int], np.ndarray] = {}

    def begin(self, recorded: Collection[int]) -> None:
        """This process trains it and stores its tensors at these steps."""
        self.here, self.recorded = True, frozenset(recorded)

    def read_header(self) -> bool:
        """Read which runs it has, and nothing that they did: that will be told.

        Returns
        -------
        bool
            Whether it is there.
        """
        self.refresh()
        if self.ready:
            self._index = self._index.header()
        return self.ready

    def add(self, step: int, metrics: Metrics, tensors: Tensors) -> None:
        """Take in what the runs measured at a step; arrays are kept, not copied."""
        self.metric_rows()  # what the files have comes first
        for name, (steps, values) in metrics.items():
            new = steps > self._index.metric_steps.get(name, -1)
            if new.any():
                self._rows.setdefault(name, []).append((steps[new], values[new]))
                self._index.metric_steps[name] = int(steps[-1])
        self._index.last_step = max(self._index.last_step, step)
        if tensors:
            self.look()
            self._steps[step] = {key: t for key, t in tensors.items() if key != NETWORK}

    def set_states(self, positions: Sequence[int], state: str, step: int, reason: str) -> None:
        """Note states of runs."""
        for position in positions:
            self._index.states[position] = RunState(state, step, reason)

    def has_stored(self, step: int) -> bool:
        """Look what the files have by now; tell whether that is the tensors of a step.

        Also true when the step was skipped, because the disk was full.
        """
        self.look()
        return step in {*self._index.recorded_steps, *(s for s, _ in self._index.skipped)}

    def look(self) -> None:
        """Look what the disk has by now, and which layers are recorded.

        What it has, or never will, is let go of.
        """
        self._stored.refresh()
        stored = self._stored.index
        self._index.tensors, self._index.recorded_steps = stored.tensors, stored.recorded_steps
        self._index.skipped, self._index.merges = stored.skipped, stored.merges
        self._index.layers = stored.layers
        gone = {*stored.recorded_steps, *(step for step, _ in stored.skipped)}
        self._steps = {s: t for s, t in self._steps.items() if s in self.recorded - gone}
        self._tiled = {key: stack for key, stack in self._tiled.items() if key[2] in self._steps}

    # -- reading: memory first ------------------------------------------------------------------
    def recorded_steps(self, layer: str | None = None, kind: str | None = None) -> list[int]:
        """Return the steps whose tensors can be read, ascending; none that is still to be seen."""
        if layer is None:
            return self._seen({*self._steps, *super().recorded_steps()})
        if not self.here:
            return []
        here = {step for step, tensors in self._steps.items() if (layer, kind) in tensors}
        try:
            return self._seen({*here, *super().recorded_steps(layer, kind)})
        except NotRecordedError:
            if not here:
                raise
            return self._seen(here)

    def _seen(self, steps: set[int]) -> list[int]:
        """Leave out steps that the files have before this process was told of them."""
        return sorted(step for step in steps if step <= self._index.last_step)

    def tensor(self, layer: str, kind: str, step: int) -> np.ndarray:
        """Return one layer's tensors of all runs, (n_runs, y, x) float32."""
        tensors = self._steps.get(step, {})
        if (layer, kind) not in tensors:
            return super().tensor(layer, kind, step)
        key = layer, kind, step
        if key not in self._tiled:
            self._tiled[key] = tile(tensors[layer, kind])
        return self._tiled[key]

    def filters(self, layer: str, kind: str, step: int) -> np.ndarray:
        """Return one layer's tensors of all runs in their own shape."""
        shape = self.tensor_shape(layer, kind, step)
        return untile(self.tensor(layer, kind, step), shape)

    def tensor_shape(self, layer: str, kind: str, step: int) -> tuple:
        """Return the shape of one run's tensor."""
        tensors = self._steps.get(step, {})
        if (layer, kind) in tensors:
            return tuple(tensors[layer, kind].shape[1:])
        return super().tensor_shape(layer, kind, step)


class Feed(Ensemble):
    """The ensemble that is being trained.

    Each reader gets a view of its own (:meth:`view`), which notices what is new since it looked
    last.
    """

    group_class = LiveGroup
    _origin: Feed | None = None
    _own: Mapping[str, object] = MappingProxyType({})
    version = 0
    _elsewhere: frozenset[int] = frozenset()

    @property
    def recorded_steps(self) -> list[int]:
        """Steps whose tensors can be read, of any group, ascending; the same on all ranks."""
        return sorted({*self._elsewhere, *self.own_steps()})

    def own_steps(self) -> set[int]:
        """Return the steps whose tensors can be read of groups that this process trains."""
        return {s for g in self.groups if g.here for s in g.recorded_steps()}

    def read_elsewhere(self, steps: Iterable[int]) -> None:
        """Note the steps whose tensors other ranks have."""
        self._elsewhere = frozenset(steps)

    def view(self, path: Path) -> Feed:
        """Return the ensemble for a reader, whatever file it names."""
        view = copy.copy(self)
        view._origin = self
        view._own = {"_origin": self, "stands_in": path.absolute() != self.path.absolute()}
        view.__dict__.update(view._own)
        return view

    def refresh(self) -> bool:
        """In a view: tell whether there is anything new. Else: read the files."""
        if self._origin is None:
            return super().refresh()
        changed = self.version != self._origin.version
        self.__dict__.update({**self._origin.__dict__, **self._own})
        return changed

    def changed(self) -> None:
        """Let all views notice that there is something new."""
        self.version += 1

    def named(self, group: str) -> LiveGroup:
        """Return a group by name, also one that was added since.

        Raises
        ------
        StoreError
            This process does not see it after two minutes.
        """
        if group not in self._known:
            self._take_in(group)
        return self._known[group]

    def _take_in(self, last: str) -> None:
        """Wait for a group that is new; take it in with those that were added before it."""
        give_up = time.monotonic() + VISIBLE_SECONDS
        while True:
            names = [e.name for e in os.scandir(self.directory) if is_group(e.name)]
            names = [n for n in names if n not in self._known and _order(n) <= _order(last)]
            new = [LiveGroup(self.directory / name) for name in sorted(names, key=_order)]
            new = [group for group in new if group.read_header()]
            if new and new[-1].name == last:
                break
            if time.monotonic() > give_up:
                raise StoreError(
                    f"{self.path.absolute()}: another process has added group {last}, which this "
                    "one does not see; the directory must be on a file system that all share"
                )
            time.sleep(LOOK_SECONDS)
        self._known.update((group.name, group) for group in new)
        self._number(new)
        self.groups = [group for _, group in sorted(self._known.items()) if group.ready]


def _order(name: str) -> tuple[int, str]:
    """Return what sorts groups in the order in which they were added."""
    return len(name), name
