"""Recording beside the training: a thread that writes, and a queue that never makes training wait.

When the disk cannot keep up, or is full, tensors of a step are left out and that is recorded;
metrics, being small, wait for the next commit. Training goes on in any case.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping, Sequence

import numpy as np

from pvensemble.errors import StoreError
from pvensemble.store.group_writer import GroupWriter

QUEUE_FULL = "the disk cannot keep up: the queue was full"


class BackgroundWriter:
    """Writes a group from a thread of its own.

    Parameters
    ----------
    group
        Nobody else should commit to it meanwhile. It is not closed by `close`.
    max_pending
        Steps that wait at most; a step that comes when so many wait is skipped.

    Attributes
    ----------
    skipped : list of (int, str)
        Steps whose tensors were not stored, and why.
    """

    def __init__(self, group: GroupWriter, max_pending: int = 2) -> None:
        self.group = group
        self.skipped: list[tuple[int, str]] = []
        self._max_pending = max_pending
        self._queue: deque = deque()
        self._change = threading.Condition()
        self._busy = False
        self._closing = False
        self._failure: BaseException | None = None
        self._waiting_metrics: dict[str, list] = {}
        self._waiting_records: deque = deque()
        self._last_step = 0
        self._thread = threading.Thread(target=self._run, name=f"record {group.name}", daemon=True)
        self._thread.start()

    # -- called by the trainer ----------------------------------------------------------------
    def submit(
        self,
        step: int,
        tensors: Mapping[tuple[str, str], np.ndarray] | None = None,
        metrics: Mapping[str, tuple] | None = None,
    ) -> bool:
        """Hand over what `GroupWriter.commit` takes; the arrays must not be written any more.

        Returns
        -------
        bool
            False when the tensors were skipped because the queue is full.

        Raises
        ------
        StoreError
            An earlier step could not be stored for another reason than the disk.
        """
        self._raise_failure()
        with self._change:
            full = bool(tensors) and self._n_steps() >= self._max_pending
            if full:
                self._skip(step, QUEUE_FULL)
                tensors = {}
            self._queue.append(("commit", int(step), dict(tensors or {}), dict(metrics or {})))
            self._change.notify_all()
        return not full

    def set_states(
        self, positions: Sequence[int], state: str, *, step: int, reason: str = ""
    ) -> None:
        """As `GroupWriter.set_states`, in order with the steps; tried again while the disk is full."""
        self._raise_failure()
        with self._change:
            self._queue.append(("states", int(step), (list(positions), state, reason), {}))
            self._change.notify_all()

    def write_checkpoint(
        self, step: int, arrays: Mapping[str, np.ndarray], meta: Mapping | None = None
    ) -> None:
        """As `GroupWriter.write_checkpoint`, in order with the steps; skipped while the disk is full."""
        self._raise_failure()
        with self._change:
            self._queue.append(("checkpoint", int(step), (dict(arrays), dict(meta or {})), {}))
            self._change.notify_all()

    def flush(self) -> None:
        """Wait until everything handed over is stored or skipped.

        Raises
        ------
        StoreError
            Something could not be stored for another reason than the disk.
        """
        with self._change:
            self._change.wait_for(lambda: not self._queue and not self._busy)
        self._raise_failure()

    def close(self) -> None:
        """Store what waits and end the thread.

        Raises
        ------
        StoreError
            Metrics or states could not be stored; the message says why.
        """
        with self._change:
            self._closing = True
            self._change.notify_all()
        self._thread.join()
        self._raise_failure()
        if self._waiting_metrics or any(r[0] == "states" for r in self._waiting_records):
            self._store_waiting()

    def __enter__(self) -> BackgroundWriter:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    # -- the thread ---------------------------------------------------------------------------
    def _n_steps(self) -> int:
        return sum(1 for item in self._queue if item[0] == "commit" and item[2]) + self._busy

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise StoreError(
                f"group {self.group.name}: recording stopped: {self._failure}"
            ) from self._failure

    def _run(self) -> None:
        while True:
            with self._change:
                self._change.wait_for(lambda: self._queue or self._closing)
                if not self._queue:
                    return
                item = self._queue.popleft()
                self._busy = True
            try:
                if self._failure is None:
                    self._write(*item)
            except BaseException as failure:  # noqa: BLE001  handed to the trainer by the next call
                self._failure = failure
            finally:
                with self._change:
                    self._busy = False
                    self._change.notify_all()

    def _write(self, kind: str, step: int, content: object, metrics: Mapping[str, tuple]) -> None:
        self._last_step = max(self._last_step, step)
        for name, rows in metrics.items():
            self._waiting_metrics.setdefault(name, []).append(rows)
        try:
            if kind == "commit":
                self.group.commit(step, content, self._joined_metrics())
                self._waiting_metrics.clear()
                self._store_waiting()
                return
            if kind == "states":
                self._waiting_records.append(("states", step, content))
            self._store_waiting()
            if kind == "checkpoint":
                self.group.write_checkpoint(step, *content)
        except StoreError as error:
            if not isinstance(error.__cause__, OSError):
                raise
            reason = f"{error.__cause__.strerror or error.__cause__}"
            if kind == "checkpoint":
                self._skip(step, f"checkpoint not written: {reason}")
            elif kind == "commit" and content and step not in self.group.recorded_steps:
                self._skip(step, reason)

    def _skip(self, step: int, reason: str) -> None:
        self.skipped.append((step, reason))
        self._waiting_records.append(("skip", step, reason))

    def _store_waiting(self) -> None:
        """Store metrics and records that a full disk made wait."""
        if self._waiting_metrics:
            self.group.commit(self._last_step, {}, self._joined_metrics())
            self._waiting_metrics.clear()
        while self._waiting_records:
            kind, step, content = self._waiting_records[0]
            if kind == "skip":
                self.group.skip(step, content)
            else:
                positions, state, reason = content
                self.group.set_states(positions, state, step=step, reason=reason)
            self._waiting_records.popleft()

    def _joined_metrics(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        joined = {}
        for name, parts in self._waiting_metrics.items():
            steps, values = zip(*parts)
            joined[name] = np.concatenate(steps), np.concatenate(values)
        return joined
