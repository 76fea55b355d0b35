"""Recording beside the training: a thread that writes, and a queue that does not hold training up.

When the disk cannot keep up, or is full, the tensors of a step are left out and that is recorded;
metrics, being small, wait for the next commit. Training goes on in any case.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

import numpy as np

from pvensemble.errors import StoreError
from pvensemble.store.group_writer import GroupWriter
from pvensemble.store.log_records import Acknowledgement
from pvensemble.store.records import MergeEvent

QUEUE_FULL = "the disk cannot keep up: the queue of steps to write was full"


class BackgroundWriter:
    """Writes a group from a thread of its own.

    Parameters
    ----------
    group
        Nobody else should commit to it meanwhile. It is not closed by `close`.
    max_pending
        Steps with tensors that wait or are being written at most.
    patience
        Seconds that `submit` waits for a place in the queue before it skips a step. After a skip
        it does not wait again until the queue has been empty.

    Attributes
    ----------
    max_pending
        As given.
    skipped : list of (int, str)
        Steps whose tensors were not stored, and why.
    """

    def __init__(self, group: GroupWriter, max_pending: int = 2, patience: float = 5.0) -> None:
        self.group = group
        self.skipped: list[tuple[int, str]] = []
        self.max_pending = max_pending
        self._patience = patience
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=f"record-{group.name}")
        self._pending: list[tuple[Future, bool]] = []
        self._late = False
        self._failure: BaseException | None = None
        self._lock = threading.Lock()
        self._serial = 0
        self._metrics: deque[tuple[int, int, Mapping]] = deque()
        self._records: deque[tuple] = deque()

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
            False when the tensors were skipped because the queue is full. Call `flush` before a
            step that must not be skipped.

        Raises
        ------
        StoreError
            Something handed over before could not be stored, for another reason than the disk.
        """
        self._settle()
        with self._lock:
            self._serial += 1
            serial = self._serial
            if metrics:
                self._metrics.append((serial, step, metrics))
        if tensors and not self._has_place():
            self._skip(step, QUEUE_FULL)
            return False
        self._put(bool(tensors), self._commit, step, dict(tensors or {}), serial)
        return True

    def set_states(
        self, positions: Sequence[int], state: str, *, step: int, reason: str = ""
    ) -> None:
        """As `GroupWriter.set_states`, in order with the steps; repeated while the disk is full."""
        self._record(self.group.set_states, list(positions), state, step=step, reason=reason)

    def add_merges(self, events: Sequence[MergeEvent]) -> None:
        """As `GroupWriter.add_merges`, in order with the steps; repeated while the disk is full."""
        self._record(self.group.add_merges, list(events))

    def acknowledge(self, said: Acknowledgement) -> None:
        """As `GroupWriter.acknowledge`, likewise."""
        self._record(self.group.acknowledge, said)

    def write_checkpoint(
        self, step: int, arrays: Mapping[str, np.ndarray], meta: Mapping | None = None
    ) -> None:
        """As `GroupWriter.write_checkpoint`, in order with the steps; skipped on a full disk."""
        self._settle()
        self._put(False, self._checkpoint, step, dict(arrays), dict(meta or {}))

    def flush(self) -> None:
        """Wait until everything handed over is stored or skipped.

        Raises
        ------
        StoreError
            Something could not be stored for another reason than the disk.
        """
        wait([future for future, _ in self._pending])
        self._settle()

    def close(self) -> None:
        """Store what waits, also what a full disk made wait, and end the thread.

        Raises
        ------
        StoreError
            Metrics or states could not be stored; the message says why.
        """
        self._pool.shutdown(wait=True)
        self._settle()
        if self._metrics:
            self._commit_metrics(self._serial)
        self._store_records(strict=True)

    def __enter__(self) -> BackgroundWriter:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    # -- private, in the trainer's thread -----------------------------------------------------
    def _record(self, store: Callable, *arguments: object, **options: object) -> None:
        self._settle()
        with self._lock:
            self._records.append((store, arguments, options))
        self._put(False, self._store_records)

    def _put(self, has_tensors: bool, job: Callable, *arguments: object) -> None:
        self._pending.append((self._pool.submit(job, *arguments), has_tensors))

    def _settle(self) -> None:
        """Forget what is done; raise what went wrong, once and for all."""
        done = [future for future, _ in self._pending if future.done()]
        self._pending = [item for item in self._pending if not item[0].done()]
        for future in done:
            self._failure = self._failure or future.exception()
        if self._failure is not None:
            raise StoreError(
                f"group {self.group.name}: recording stopped: {self._failure}"
            ) from self._failure
        self._late = self._late and bool(self._pending)

    def _has_place(self) -> bool:
        """Whether a step fits into the queue; waits a little unless that was in vain before."""
        waiting = [future for future, has_tensors in self._pending if has_tensors]
        if len(waiting) < self.max_pending:
            return True
        if not self._late:
            done, _ = wait(waiting, timeout=self._patience, return_when=FIRST_COMPLETED)
            self._late = not done
            return bool(done)
        return False

    def _skip(self, step: int, reason: str) -> None:
        self.skipped.append((step, reason))
        with self._lock:
            self._records.append((self.group.skip, (step, reason), {}))

    # -- private, in the writing thread -------------------------------------------------------
    def _commit(self, step: int, tensors: Mapping, serial: int) -> None:
        try:
            self._commit_metrics(serial, step, tensors)
        except StoreError as error:
            if step not in self.group.recorded_steps and tensors:
                self._skip(step, disk_reason(error))
            else:
                disk_reason(error)
        self._store_records()

    def _commit_metrics(self, serial: int, step: int | None = None, tensors: Mapping = {}) -> None:  # noqa: B006
        """Commit tensors, with all metrics handed over up to a serial number."""
        with self._lock:
            taken = [item for item in self._metrics if item[0] <= serial]
        joined: dict[str, list] = {}
        for _, _, metrics in taken:
            for name, rows in metrics.items():
                joined.setdefault(name, []).append(rows)
        rows = {name: tuple(map(np.concatenate, zip(*parts))) for name, parts in joined.items()}
        self.group.commit(taken[-1][1] if step is None else step, tensors, rows)
        with self._lock:
            for _ in taken:
                self._metrics.popleft()

    def _checkpoint(self, step: int, arrays: Mapping, meta: Mapping) -> None:
        try:
            self.group.write_checkpoint(step, arrays, meta)
        except StoreError as error:
            self._skip(step, f"checkpoint not written: {disk_reason(error)}")
        self._store_records()

    def _store_records(self, strict: bool = False) -> None:
        """Store states and skips in order; what a full disk refuses waits for the next time."""
        while self._records:
            store, arguments, options = self._records[0]
            try:
                store(*arguments, **options)
            except StoreError as error:
                disk_reason(error)
                if strict:
                    raise
                return
            with self._lock:
                self._records.popleft()


def disk_reason(error: StoreError) -> str:
    """Return why the system refused to write; raise the error again when it is another one."""
    if not isinstance(error.__cause__, OSError):
        raise error
    return error.__cause__.strerror or str(error.__cause__)
