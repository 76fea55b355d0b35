"""Reading one group, also while its writer is at work in another process."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from pvensemble.errors import CorruptFileError, NotRecordedError, did_you_mean
from pvensemble.schema import FAILED, FILTER_GROUP, INDEX_FILE, NETWORK, PRUNED, tensor_name
from pvensemble.store.files import unreadable
from pvensemble.store.group_index import GroupIndex, SegmentEntry, TensorEntry
from pvensemble.store.images import block, read_arrays
from pvensemble.store.journal import parse
from pvensemble.store.networks import Reducible, without_merged
from pvensemble.store.records import LayerInfo, MergeEvent, RunInfo
from pvensemble.store.tiling import untile
from pvensemble.store.verified import read_verified


class Group:
    """Runs of equal shape that train together. Made by `Ensemble`.

    Attributes
    ----------
    name : str
    run_indices : ndarray
        (n_runs,) int64: places of the group's runs among all runs of the ensemble; -1 for a run
        that failed and was tried again in a later group.
    """

    def __init__(self, directory: Path) -> None:
        self.path = directory
        self.name = directory.name
        self.run_indices = np.empty(0, np.int64)
        self._reset()

    def _reset(self) -> None:
        """Know nothing of what the index says."""
        self._index = GroupIndex(self.name)
        self._consumed = 0
        self._last_line = b""
        self._damaged_lines = 0
        self._segments_read = 0
        self._rows: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}

    # -- what is there ------------------------------------------------------------------------
    @property
    def ready(self) -> bool:
        """Whether the header with the runs is written."""
        return self._index.ready

    @property
    def index(self) -> GroupIndex:
        """Everything that the index says."""
        return self._index

    @property
    def runs(self) -> list[RunInfo]:
        """The runs, in the order of the first axis of all arrays."""
        return list(self._index.runs)

    @property
    def layers(self) -> list[LayerInfo]:
        """The layers."""
        return list(self._index.layers)

    @property
    def merges(self) -> list[MergeEvent]:
        """Filters that were merged during training; ``run`` is the position in the group."""
        return list(self._index.merges)

    @property
    def skipped(self) -> list[tuple[int, str]]:
        """Steps whose tensors were not stored, and why."""
        return list(self._index.skipped)

    @property
    def n_bytes(self) -> int:
        """Size of the index and of all files that it vouches for."""
        return self._consumed + sum(entry.size for entry in self._index.files())

    def damage(self) -> str | None:
        """Return what is wrong with the index, so that less is there than was written; or None.

        What a writer at work or a killed one leaves is not wrong.
        """
        path = self.path / INDEX_FILE
        if self._damaged_lines:
            return (
                f"{path}: record {self._index.count} is damaged; what was written after it is not "
                "there"
            )
        if not self._consumed and any(entry.is_dir() for entry in self.path.iterdir()):
            return f"{path}: the index is missing or empty; the runs of this group are not there"
        return None

    def recorded_steps(self, layer: str | None = None, kind: str | None = None) -> list[int]:
        """Return the steps at which a layer's tensors of a kind are stored; of any when omitted."""
        if layer is None:
            return list(self._index.recorded_steps)
        return sorted(self._entries(layer, kind))

    def refresh(self) -> bool:
        """Read what the writer added.

        Returns
        -------
        bool
            True when there was something.

        Raises
        ------
        CorruptFileError
            A record is not understood.
        """
        path = self.path / INDEX_FILE
        start = self._consumed - len(self._last_line)
        try:
            with path.open("rb") as file:
                file.seek(start)
                data = file.read()
        except FileNotFoundError:  # claimed by a writer that has not written its header yet
            return False
        except OSError as error:
            raise unreadable(path, error, what="the index of a group") from error
        if not data.startswith(self._last_line):
            # The writer took back a record that it could not sync (disk full): read anew.
            self._reset()
            self.refresh()
            return True
        prefix = parse(data[len(self._last_line) :], first=self._index.count)
        self._damaged_lines = prefix.damaged_lines
        if not prefix.records:
            return False
        for record in prefix.records:
            self._index.apply(record, path=path)
        self._consumed += prefix.end
        taken = data[: len(self._last_line) + prefix.end]
        self._last_line = taken[taken.rfind(b"\n", 0, len(taken) - 1) + 1 :]
        return True

    # -- values -------------------------------------------------------------------------------
    def tensor(self, layer: str, kind: str, step: int) -> np.ndarray:
        """Return one layer's tensors of all runs.

        Returns
        -------
        ndarray
            (n_runs, y, x) float32; convolutions are tiled to y = out*kh, x = in*kw.

        Raises
        ------
        NotRecordedError
            The group does not hold it.
        CorruptFileError
            The file is missing or is not the one that was written.
        """
        return self._read(self._entry(layer, kind, step), kind)

    def filters(self, layer: str, kind: str, step: int) -> np.ndarray:
        """Return one layer's tensors of all runs in their own shape, (n_runs, \\*shape) float32."""
        entry = self._entry(layer, kind, step)
        return untile(self._read(entry, kind), entry.shape)

    def tensor_shape(self, layer: str, kind: str, step: int) -> tuple:
        """Return the shape of one run's tensor as it was recorded, before tiling."""
        return self._entry(layer, kind, step).shape

    @property
    def network_steps(self) -> list[int]:
        """Steps at which the whole networks are stored, ascending."""
        return sorted(self._index.tensors.get(NETWORK, ()))

    @property
    def reducible(self) -> list[Reducible]:
        """Layers whose filters may be merged during training."""
        return list(self._index.reducible)

    def standing(self, position: int, step: int) -> dict[str, np.ndarray]:
        """Return of one run, for each filter of such layers, the one that stands for it.

        Returns
        -------
        dict of str to ndarray
            Layer to (n_filters,) int64: numbers of filters at step 0.

        Raises
        ------
        NotRecordedError, CorruptFileError
            As of `filters`.
        """
        names = [layer.layer for layer in self.reducible]
        return {n: self.filters(n, FILTER_GROUP, step)[position].astype(np.int64) for n in names}

    def network(self, position: int, step: int, *, compact: bool = False) -> dict[str, np.ndarray]:
        """Return one run's parameters and buffers by their names in torch's ``state_dict``.

        Parameters
        ----------
        position
            Of the run in the group.
        step
            One of `network_steps`.
        compact
            Leave out filters that were merged away, instead of giving them as 0.

        Returns
        -------
        dict of str to ndarray
            float32, in their own shapes.

        Raises
        ------
        NotRecordedError
            The networks of that step are not stored.
        CorruptFileError
            A file is missing or is not the one that was written.
        """
        if step not in self.network_steps:
            there = ", ".join(map(str, self.network_steps)) or "none (record.networks)"
            raise NotRecordedError(
                f"group {self.name} of {self.path.parent}: whole networks are not stored at step "
                f"{step}; stored are those of steps: {there}"
            )
        vector = self.filters(*NETWORK, step)[position].copy()
        state = self._index.states[position]
        if state.state in (PRUNED, FAILED) and state.step < step and not vector.any():
            raise NotRecordedError(
                f"group {self.name} of {self.path.parent}: the run at position {position} ended "
                f"({state.state}) at step {state.step}, before its network was stored"
            )
        shapes = self._index.parameters
        ends = np.cumsum([math.prod(shape) for shape in shapes.values()])
        parts = np.split(vector, ends[:-1])
        whole = {name: part.reshape(shape) for (name, shape), part in zip(shapes.items(), parts)}
        if not (compact and self.reducible):
            return whole
        return without_merged(whole, self.reducible, self.standing(position, step))

    def metric_rows(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Return for each metric its steps (n,) int64 and values (n, n_runs) float64."""
        for segment in self._index.segments[self._segments_read :]:
            for name, rows in self._read_segment(segment).items():
                self._rows.setdefault(name, []).append(rows)
            self._segments_read += 1
        joined = {}
        for name, parts in self._rows.items():
            if len(parts) > 1:
                steps, values = zip(*parts)
                parts[:] = [(np.concatenate(steps), np.concatenate(values))]
            joined[name] = parts[0]
        return joined

    # -- private ------------------------------------------------------------------------------
    def _entries(self, layer: str, kind: str | None) -> dict[int, TensorEntry]:
        entries = self._index.tensors.get((layer, kind))
        if entries is None:
            names = sorted(tensor_name(*key) for key in self._index.tensors)
            wanted = tensor_name(layer, kind)
            raise NotRecordedError(
                f"group {self.name} of {self.path.parent}: '{wanted}' is not recorded"
                + (did_you_mean(wanted, names) or "; nothing is recorded yet")
            )
        return entries

    def _entry(self, layer: str, kind: str, step: int) -> TensorEntry:
        entries = self._entries(layer, kind)
        if step not in entries:
            raise NotRecordedError(
                f"group {self.name} of {self.path.parent}: '{tensor_name(layer, kind)}' is not "
                f"recorded at step {step}{did_you_mean(str(step), sorted(entries))}"
            )
        return entries[step]

    def _read(self, entry: TensorEntry, kind: str) -> np.ndarray:
        path = self.path / entry.file.name
        data = read_verified(path, entry.file)
        if entry.offset is not None:
            stack = block(data, "<f4", list(entry.stack), entry.offset, path=path)
            return stack if stack.flags.aligned else stack.copy()
        arrays = read_arrays(bytes(data), path=path)
        stack = arrays.get(f"VTKHDF/CellData/{kind}")
        if stack is None or stack.shape != entry.stack:
            raise CorruptFileError(
                f"{path}: holds no cell array '{kind}' of shape {entry.stack}; copy it again from "
                "where it came from"
            )
        return stack

    def _read_segment(self, segment: SegmentEntry) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        path = self.path / segment.file.name
        data = read_verified(path, segment.file)
        rows = {}
        for name, place in segment.metrics.items():
            steps = block(data, *segment.arrays[place], path=path)
            values = block(data, *segment.arrays[f"values/{name}"], path=path)
            rows[name] = steps.astype(np.int64), values.astype(np.float64)
        return rows
