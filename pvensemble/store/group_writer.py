"""Writing one group: files first, then the record that makes them exist."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from pvensemble.errors import CorruptFileError, StoreError, did_you_mean
from pvensemble.schema import INDEX_FILE, PROBE_IMAGES, STATES
from pvensemble.store.derived import write_series
from pvensemble.store.files import is_temporary
from pvensemble.store.group_index import GroupIndex, runs_to_ranges
from pvensemble.store.images import arrays_image, read_arrays
from pvensemble.store.journal import PATIENCE, Journal
from pvensemble.store.log_records import Acknowledgement
from pvensemble.store.records import Checkpoint, LayerInfo, MergeEvent, RunInfo, merge_to_json
from pvensemble.store.staging import new_rows, stage_file, stage_rows, stage_tensor
from pvensemble.store.verified import read_verified

CHECKPOINTS = ("checkpoint-A.hdf", "checkpoint-B.hdf")
META = "meta"


def attempt() -> dict:
    """Describe this process, for the index."""
    return {"host": platform.node(), "pid": os.getpid(), "time": round(time.time(), 3)}


class GroupWriter:
    """The one writer of a group. Everything that a method wrote is durable when it returns.

    Made by `EnsembleWriter.create_group` and `EnsembleWriter.open_group`. Methods may be called
    from several threads.
    """

    def __init__(
        self,
        directory: Path,
        *,
        header: Mapping | None = None,
        on_commit: Callable[[], None] = lambda: None,
        patience: float = PATIENCE,
    ) -> None:
        self.path = directory
        self.name = directory.name
        self._on_commit = on_commit
        self._lock = threading.RLock()
        self._journal = Journal(directory / INDEX_FILE, patience=patience)
        try:
            if header is not None and not self._journal.records:
                self._journal.append({**header, "name": self.name, "attempt": attempt()})
            elif self._journal.records:
                self._journal.append({"type": "attempt", "attempt": attempt()})
            self._index = GroupIndex(self.name)
            for record in self._journal.records:
                self._index.apply(record, path=self._journal.path)
            if not self._index.ready:
                raise StoreError(
                    f"{self._journal.path}: the group has no runs: its writer was stopped before "
                    "its first record; delete this directory and create the group again"
                )
            self._clean()
        except BaseException:
            self._journal.close()
            raise

    # -- what is there ------------------------------------------------------------------------
    @property
    def runs(self) -> list[RunInfo]:
        """The runs, in the order of the arrays' first axis."""
        return list(self._index.runs)

    @property
    def layers(self) -> list[LayerInfo]:
        """The layers."""
        return list(self._index.layers)

    @property
    def parameters(self) -> dict[str, tuple]:
        """Shapes of what `NETWORK` tensors hold; empty when the group has none."""
        return dict(self._index.parameters)

    @property
    def recorded_steps(self) -> list[int]:
        """Steps whose tensors are stored, ascending."""
        return list(self._index.recorded_steps)

    @property
    def states(self) -> list[str]:
        """State of each run."""
        return [s.state for s in self._index.states]

    @property
    def acknowledged(self) -> list[Acknowledgement]:
        """Requests that were dealt with."""
        return list(self._index.acknowledged)

    @property
    def has_images(self) -> bool:
        """Whether `PROBE_IMAGES` are stored."""
        return PROBE_IMAGES in self._index.tensors

    @property
    def metric_steps(self) -> dict[str, int]:
        """Last stored step of each metric."""
        return dict(self._index.metric_steps)

    # -- writing ------------------------------------------------------------------------------
    def commit(
        self,
        step: int,
        tensors: Mapping[tuple[str, str], np.ndarray] | None = None,
        metrics: Mapping[str, tuple] | None = None,
    ) -> bool:
        """Store tensors of one step, and metric rows.

        Parameters
        ----------
        step
            Optimizer step.
        tensors
            (layer, kind) to (n_runs, \\*shape), stored as float32; float16 is stored compressed.
            `PROBE_IMAGES` need not be announced and are (1, \\*shape); of `NETWORK`, the header
            lists the parameters.
            Those that are stored already are dropped, so replaying after a resume is harmless.
            Without tensors the step is not a recorded one.
        metrics
            Name to steps (n,) and values (n, n_runs). Rows at or before the last stored step of the
            metric are dropped.

        Returns
        -------
        bool
            False when nothing was new.

        Raises
        ------
        StoreError
            A shape or name is wrong, or the system refuses; then nothing of it is stored, and it
            can be tried again.
        """
        step = self._check_step(step)
        with self._lock:
            stored = {key for key, steps in self._index.tensors.items() if step in steps}
            tensors = {key: value for key, value in (tensors or {}).items() if key not in stored}
            rows = new_rows(self._index, metrics or {})
            if not tensors and not rows:
                return False
            images = [
                stage_tensor(self.path, self._index, step, key, values)
                for key, values in tensors.items()
            ]
            record = {
                "type": "commit",
                "step": step,
                "time": round(time.time(), 3),
                "tensors": images,
                "metrics": stage_rows(self.path, self._index, step, rows) if rows else None,
            }
            self._append(record)
            for layer, kind in tensors:
                with contextlib.suppress(StoreError):  # derived; the next commit writes it again
                    write_series(self.path, layer, kind, self._index.tensors[layer, kind])
        self._on_commit()
        return True

    def set_states(
        self, positions: Sequence[int], state: str, *, step: int, reason: str = ""
    ) -> None:
        """Set the state of the runs at ``positions`` in the group.

        Raises
        ------
        StoreError
            An unknown state or position, or the system refuses.
        """
        if state not in STATES:
            raise StoreError(f"group {self.name}: state is {state!r}{did_you_mean(state, STATES)}")
        positions = [int(p) for p in positions]
        outside = [p for p in positions if not 0 <= p < len(self._index.runs)]
        if outside:
            raise StoreError(
                f"group {self.name}: there is no run at position {outside[0]}; "
                f"expected 0 to {len(self._index.runs) - 1}"
            )
        if not positions:
            return
        record = {
            "type": "state",
            "runs": runs_to_ranges(positions),
            "state": state,
            "step": self._check_step(step),
            "reason": str(reason),
            "time": round(time.time(), 3),
        }
        with self._lock:
            self._append(record)
        self._on_commit()

    def add_merges(self, events: Sequence[MergeEvent]) -> None:
        """Record that filters were merged; events that are stored already are dropped.

        Raises
        ------
        StoreError
            A run is not in the group, or the system refuses.
        """
        with self._lock:
            known = {event.key for event in self._index.merges}
            fresh = [event for event in events if event.key not in known]
            outside = [e.run for e in fresh if not 0 <= e.run < len(self._index.runs)]
            if outside:
                raise StoreError(
                    f"group {self.name}: there is no run at position {outside[0]}; "
                    f"expected 0 to {len(self._index.runs) - 1}"
                )
            if fresh:
                self._append({"type": "merge", "events": [merge_to_json(e) for e in fresh]})
        self._on_commit()

    def acknowledge(self, said: Acknowledgement) -> None:
        """Record what became of a request; once for each request.

        Its ``layers`` are announced from then on.
        """
        with self._lock:
            if all(done.request != said.request for done in self._index.acknowledged):
                self._append(said.to_json())
        self._on_commit()

    def skip(self, step: int, reason: str) -> None:
        """Record that the tensors of a step were not stored, and why."""
        with self._lock:
            self._append({"type": "skip", "step": self._check_step(step), "reason": str(reason)})

    def write_checkpoint(
        self, step: int, arrays: Mapping[str, np.ndarray], meta: Mapping | None = None
    ) -> None:
        """Store the state from which training can go on; the one before it is kept as well.

        Parameters
        ----------
        arrays
            Names (a '/' is allowed) to arrays of numbers.
        meta
            Anything that JSON can hold.
        """
        text = json.dumps(dict(meta or {}), allow_nan=True).encode()
        content = {f"arrays/{name}": np.asarray(array) for name, array in arrays.items()}
        data, _ = arrays_image({**content, META: np.frombuffer(text, np.uint8)})
        with self._lock:
            used = [entry.name for _, entry in self._index.checkpoints[-1:]]
            name = next(n for n in CHECKPOINTS if n not in used)
            record = {"type": "checkpoint", "step": self._check_step(step)}
            self._append({**record, **stage_file(self.path, name, data)})

    def read_checkpoint(self) -> Checkpoint | None:
        """Return the newest checkpoint that is whole, None when there is none.

        Raises
        ------
        CorruptFileError
            There are checkpoints, but all are damaged.
        """
        failure = None
        for step, entry in self._index.live_checkpoints():
            path = self.path / entry.name
            try:
                arrays = read_arrays(bytes(read_verified(path, entry)), path=path)
            except CorruptFileError as error:
                failure = failure or error
                continue
            meta = json.loads(arrays.pop(META).tobytes())
            named = {name.partition("/")[2]: array for name, array in arrays.items()}
            return Checkpoint(step, named, meta)
        if failure is not None:
            raise failure
        return None

    def close(self) -> None:
        """Release the group; another process may write it then."""
        with self._lock:
            self._journal.close()

    def __enter__(self) -> GroupWriter:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    # -- private ------------------------------------------------------------------------------
    def _check_step(self, step: int) -> int:
        if int(step) != step or step < 0:
            raise StoreError(
                f"group {self.name}: step is {step!r}; expected a whole number from 0 on"
            )
        return int(step)

    def _append(self, record: dict) -> None:
        self._journal.append(record)
        self._index.apply(self._journal.records[-1], path=self._journal.path)

    def _clean(self) -> None:
        """Remove what a killed writer left unfinished."""
        for path in self.path.glob("**/.*"):
            if is_temporary(path.name):
                path.unlink(missing_ok=True)
