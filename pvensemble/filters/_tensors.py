"""A "Tensors" data set: blocks of a layer and kind, matched to the runs of the input.

The tensors may lie in several processes (see ``_volumes``); a filter needs not care.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from vtkmodules.vtkCommonDataModel import vtkMultiBlockDataSet

from pvensemble import schema
from pvensemble.errors import MissingArrayError, NotRecordedError, did_you_mean
from pvensemble.filters._local_tensors import LocalTensors, kind_of
from pvensemble.filters._volumes import Volume, volumes
from pvensemble.numerics.correlation import existing_filters
from pvensemble.numerics.merging import existing


@dataclass(frozen=True, eq=False)
class Block:
    """The tensors of one group of runs, of one layer and kind, at one step.

    Attributes
    ----------
    volume : Volume
        With the slices of all runs of the group that were read.
    rows : numpy.ndarray
        (n,) int64 slices of the runs that are in the input, in the order of their cells.
    cells : numpy.ndarray
        (n,) int64 cell of each of these runs in the input.
    standing : Volume or None
        For each filter of each slice the one that stands for it, where filters are merged during
        training and the input holds `schema.FILTER_GROUP` of this layer.
    """

    volume: Volume
    rows: np.ndarray
    cells: np.ndarray
    standing: Volume | None = None

    @property
    def group(self) -> str:
        """Name of the group, ``g000``."""
        return kind_of(self.volume.name)[0]

    @property
    def layer(self) -> str:
        return kind_of(self.volume.name)[1]

    @property
    def kind(self) -> str:
        return kind_of(self.volume.name)[2]

    @property
    def step(self) -> int:
        """Recorded step of the tensors; -1 when it is not known."""
        return self.volume.step

    @property
    def shape(self) -> tuple:
        """Shape of one run's tensor before it was tiled to (y, x); () when it is not known."""
        return self.volume.shape

    @property
    def size(self) -> tuple:
        """(y, x) of a slice."""
        return self.volume.size

    @property
    def where(self) -> tuple:
        """Tell in which processes the runs' slices are, () when all are in this one."""
        return () if self.stack is not None else (*self.volume.starts.tolist(), *self.rows.tolist())

    @property
    def n_filters(self) -> int:
        """Number of filters: rows of a correlation matrix, first axis of other tensors."""
        return self.shape[0] if self.shape else self.size[0]

    @property
    def n_weights(self) -> int:
        """Numbers in a slice."""
        return int(np.prod(self.size))

    @property
    def stack(self) -> np.ndarray | None:
        """(n_slices, y, x) where all are in this process, else None."""
        return self.volume.stack

    def slice(self, row: int) -> np.ndarray:
        """Return a slice (y, x), a view where it is in this process: never write to it."""
        return self.volume.slices([row])[0]

    def exists(self, row: int) -> np.ndarray:
        """Tell which filters of a slice are there, (n_filters,) bool: not merged away.

        Correlations show it themselves; of other kinds it is known from ``standing``.
        """
        if self.kind == schema.CORRELATION:
            return existing_filters(self.slice(row))
        if self.standing is None or self.standing.size[1] != self.n_filters:
            return np.ones(self.n_filters, bool)
        return existing(self.standing.slices([row])[0, 0])

    def chosen(self) -> np.ndarray:
        """Return the slices (n, y, x) of the input's runs; a view when that is all in order."""
        return self.volume.slices(self.rows)

    def per_run(
        self, function: Callable, *options: object, keep: bool = False
    ) -> Sequence[np.ndarray]:
        """Return what a function gives of the input's runs, see ``Volume.per_run``."""
        return self.volume.per_run(function, *options, rows=self.rows, keep=keep)


class Tensors:
    """Read access to a "Tensors" data set.

    Parameters
    ----------
    data : vtkMultiBlockDataSet or dict of str to Volume
        The second output of Ensemble Reader, which this process holds alone; or its volumes.
    """

    def __init__(self, data: vtkMultiBlockDataSet | dict[str, Volume]) -> None:
        if not isinstance(data, dict):
            local = LocalTensors(data)
            data = volumes(local.ask("describe", {}), local, local.ask)
        self._volumes = {kind_of(name): volume for name, volume in data.items()}

    @property
    def kinds(self) -> list[str]:
        """Kinds that are there, each once."""
        return list(dict.fromkeys(kind for _, _, kind in self._volumes))

    def layers(self, kind: str) -> list[str]:
        """Layers that have a kind, in the order of the network."""
        return list(dict.fromkeys(layer for _, layer, k in self._volumes if k == kind))

    def layer(self, name: str, kind: str) -> str:
        """Return the layer of that name, or for "" the last one that has the kind.

        Raises
        ------
        NotRecordedError
            When the input does not hold it; the message says what to check in the reader.
        """
        there = self.layers(kind)
        if name in there:
            return name
        if not name and there:
            return there[-1]
        wanted = f"layer {name!r}" if name else "a layer"
        if name and any(layer == name for _, layer, _ in self._volumes):
            raise NotRecordedError(
                f"layer {name!r} comes without its {kind}: check {kind!r} under Kinds of the "
                f"Ensemble Reader; if it is not listed there, or checked, it was not recorded "
                f"(record.kinds of the training)"
            )
        held = f"; the input holds the {kind} of {', '.join(there)}" if there else ""
        near = did_you_mean(name, there) if name and there else ""
        raise NotRecordedError(
            f"the tensors hold no {kind} of {wanted}: check {wanted} under Layers of the Ensemble "
            f"Reader, and {kind!r} under Kinds{near or held}"
        )

    def blocks(self, layer: str, kind: str, run_index: np.ndarray) -> list[Block]:
        """Return the blocks of a layer and kind that hold runs of the input.

        Parameters
        ----------
        layer : str
            "" for the last layer that has the kind.
        kind : str
        run_index : (n_runs,) int
            Of the "Runs" input.

        Returns
        -------
        list of Block
            One a group; groups of which no run is in the input are left out.

        Raises
        ------
        NotRecordedError
            When the layer or its kind is not there.
        """
        layer = self.layer(layer, kind)
        found = []
        for (group, name, a_kind), volume in self._volumes.items():
            if (name, a_kind) == (layer, kind):
                rows, cells = _matched(volume, np.asarray(run_index))
                if len(cells):
                    found.append(Block(volume, rows, cells, self._standing(group, layer, volume)))
        return found

    def _standing(self, group: str, layer: str, like: Volume) -> Volume | None:
        """Return which filter stands for which in the slices of a volume, None if unknown."""
        found = self._volumes.get((group, layer, schema.FILTER_GROUP))
        if found is None or found.step != like.step:
            return None
        return found if np.array_equal(found.run_index, like.run_index) else None

    def probe_images(self, group: str) -> np.ndarray | None:
        """Return the images that a group's activations are of, None when they are not there.

        Returns
        -------
        (n_channels, n_images, h, w) float32
        """
        volume = self._volumes.get((group, *schema.PROBE_IMAGES))
        shape = () if volume is None else volume.shape
        if not 2 <= len(shape) <= 4:
            return None
        channels, n_images, h, w = (*shape[:2], *(1, 1, *shape[2:])[-2:])
        return volume.slices([0])[0].reshape(channels, h, n_images, w).swapaxes(1, 2)


def _matched(volume: Volume, run_index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the slices (n,) of a volume that are of runs of the input, and their cells (n,)."""
    if volume.lacks:
        raise MissingArrayError(
            f"block {volume.name} has no {volume.lacks}; use the second output of Ensemble Reader"
        )
    slices = volume.run_index
    order = np.argsort(slices, kind="stable")
    place = np.searchsorted(slices[order], run_index)
    place = np.minimum(place, max(len(slices) - 1, 0))
    has = slices[order][place] == run_index if len(slices) else np.zeros(len(run_index), bool)
    return order[place[has]].astype(np.int64), np.flatnonzero(has).astype(np.int64)
