"""Puts the reports of single runs together to stacks of all runs of a group.

Runs of a group do not wait for each other, so reports of several stops are under way at a time; a
stop is complete when every run has reported it, and stops complete in order. What is incomplete is
part of a checkpoint, so that no run has to go back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from pvensemble import schema
from pvensemble.errors import CorruptFileError
from pvensemble.store import MergeEvent
from pvensemble.store.records import merge_from_json, merge_to_json
from pvensemble.train.executors.events import Era, Report


@dataclass
class Stop:
    """What the runs of a group have reported of one stop so far.

    Attributes
    ----------
    arrived
        (n_runs,) bool.
    metrics
        Name to (steps (n,) int64, values (n, n_runs) float64).
    tensors
        (layer, kind) to (n_runs, *shape).
    merges
        Filters that were merged on leaving it.
    """

    arrived: np.ndarray
    metrics: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    tensors: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)
    merges: list[MergeEvent] = field(default_factory=list)


class Assembly:
    """The incomplete stops of one group.

    Parameters
    ----------
    stops
        All stops, ascending.
    earlier
        What they were before they were changed.
    """

    def __init__(self, n_runs: int, stops: Iterable[int], earlier: Iterable[Era] = ()) -> None:
        self._n_runs = n_runs
        self._gone = np.zeros(n_runs, bool)
        self._repeated: dict[int, dict[tuple[str, str], np.ndarray]] = {}
        self._networks: dict[int, np.ndarray] = {}
        self._stops = list(stops)
        self._earlier = list(earlier)
        self._left = list(self._stops)
        self._pending: dict[int, Stop] = {}

    @property
    def done(self) -> bool:
        """Whether every stop is complete and taken."""
        return not self._left

    @property
    def left(self) -> tuple[int, ...]:
        """Stops that are not complete, ascending."""
        return tuple(self._left)

    @property
    def n_bytes(self) -> int:
        """Bytes of the tensors that wait."""
        return sum(t.nbytes for stop in self._pending.values() for t in stop.tensors.values())

    @property
    def reached(self) -> int:
        """First step of which no run has reported anything."""
        reported = [stop for stop in self._stops if stop not in self._left] + list(self._pending)
        return max(reported, default=-1) + 1

    def change(self, era: Era, stops: Iterable[int]) -> None:
        """Go on with other stops from ``era.until`` on, which no run has passed."""
        self._earlier.append(era)
        self._stops = list(stops)
        self._left = _changed(self._left, era.until, self._stops)

    @property
    def kept(self) -> dict[int, dict[tuple[str, str], np.ndarray]]:
        """Runs that were dropped and repeat what they had last, with those tensors."""
        return self._repeated

    @property
    def gone(self) -> frozenset[int]:
        """Runs that are waited for no more."""
        return frozenset(np.flatnonzero(self._gone).tolist())

    def finish(self) -> None:
        """Take every stop as complete: the store has them all."""
        self._left, self._pending = [], {}

    def next_stop(self, position: int) -> int | None:
        """Return the first stop that a run has not reported, None when it has reported all."""
        for stop in self._left:
            if stop not in self._pending or not self._pending[stop].arrived[position]:
                return stop
        return None

    def add(self, report: Report) -> list[tuple[int, Stop]]:
        """Put in a report; return the stops that are complete now, in order.

        A report of a stop that was taken already (replayed after a resume) changes nothing.
        """
        if report.stop not in self._left:
            return []
        stop = self._pending.setdefault(report.stop, Stop(np.zeros(self._n_runs, bool)))
        where = list(report.positions)
        for name, (steps, values) in report.metrics.items():
            if name not in stop.metrics:
                stop.metrics[name] = (steps, np.full((len(steps), self._n_runs), np.nan))
            stop.metrics[name][1][:, where] = values
        for key, values in report.tensors.items():
            if key not in stop.tensors:
                stop.tensors[key] = np.zeros((self._n_runs, *values.shape[1:]), values.dtype)
            stop.tensors[key][where] = values
        stop.merges += report.merges
        stop.arrived[where] = True
        return self._complete()

    def drop(
        self, position: int, last: Mapping[tuple[str, str], np.ndarray] | None = None
    ) -> list[tuple[int, Stop]]:
        """Wait for a run no more; return the stops that are complete now, in order.

        Where it has not reported, its metrics are NaN and its tensors 0; with ``last``, its tensors
        are those that it reported last, except for gradients.

        Parameters
        ----------
        last
            The tensors of the last stop that is complete, by layer and kind.
        """
        self._gone[position] = True
        if last is not None:
            self._repeated[position] = dict(last)
            if position in self._networks:
                self._repeated[position][schema.NETWORK] = self._networks[position]
        return self._complete()

    def keep_network(self, position: int, network: np.ndarray) -> None:
        """Keep the network of a run that is to be dropped, (n_values,), also in checkpoints."""
        self._networks[position] = network

    def _complete(self) -> list[tuple[int, Stop]]:
        complete = []
        while self._left:
            stop = self._pending.get(self._left[0]) or Stop(np.zeros(self._n_runs, bool))
            if not (stop.arrived | self._gone).all():
                break
            self._pending.pop(self._left[0], None)
            for position, last in self._repeated.items():
                _repeat(stop, position, last)
            complete.append((self._left.pop(0), stop))
        return complete

    # -- checkpoints ---------------------------------------------------------------------------

    def save(self) -> tuple[dict[str, np.ndarray], dict]:
        """Return arrays, copied, and what JSON can hold, for :meth:`restore`."""
        arrays: dict[str, np.ndarray] = {}
        described = []
        for number, (step, stop) in enumerate(sorted(self._pending.items())):
            arrays[f"stop{number}/arrived"] = stop.arrived.astype(np.uint8)
            for i, (steps, values) in enumerate(stop.metrics.values()):
                arrays[f"stop{number}/steps{i}"] = steps.copy()
                arrays[f"stop{number}/values{i}"] = values.copy()
            for i, values in enumerate(stop.tensors.values()):
                arrays[f"stop{number}/tensor{i}"] = values.copy()
            names = {"metrics": list(stop.metrics), "tensors": [list(k) for k in stop.tensors]}
            merges = [merge_to_json(event) for event in stop.merges]
            described.append({"step": step, **names, "merges": merges})
        arrays.update({f"network{p}": network.copy() for p, network in self._networks.items()})
        era = len(self._earlier)
        return arrays, {"left": list(self._left), "stops": described, "era": era}

    def restore(self, arrays: dict[str, np.ndarray], meta: dict) -> None:
        """Go back to what :meth:`save` returned.

        Raises
        ------
        CorruptFileError
            When it does not belong to this group.
        """
        left = [int(s) for s in meta["left"]]
        eras = [*(era.stops for era in self._earlier), tuple(self._stops)]
        first = int(meta.get("era", 0))
        if first >= len(eras) or left != list(eras[first][len(eras[first]) - len(left) :]):
            raise CorruptFileError("the checkpoint's steps are not those of this configuration")
        for era, stops in zip(self._earlier[first:], eras[first + 1 :]):
            left = _changed(left, era.until, stops)
        self._left = left
        kept = [name for name in arrays if name.startswith("network")]
        self._networks = {int(name[len("network") :]): np.array(arrays[name]) for name in kept}
        for number, description in enumerate(meta["stops"]):
            stop = Stop(arrays[f"stop{number}/arrived"].astype(bool))
            for i, name in enumerate(description["metrics"]):
                values = np.array(arrays[f"stop{number}/values{i}"])
                stop.metrics[name] = (np.array(arrays[f"stop{number}/steps{i}"]), values)
            for i, key in enumerate(description["tensors"]):
                stop.tensors[tuple(key)] = np.array(arrays[f"stop{number}/tensor{i}"])
            stop.merges += map(merge_from_json, description.get("merges", ()))
            self._pending[int(description["step"])] = stop


def _changed(left: list[int], step: int, stops: Iterable[int]) -> list[int]:
    """Return the stops that are left when they are others from a step on."""
    return [s for s in left if s < step] + [s for s in stops if s >= step]


def _repeat(stop: Stop, position: int, last: dict[tuple[str, str], np.ndarray]) -> None:
    """Give a run that was stopped the tensors that it had last, or note those that it has."""
    stand_still(stop, position, last)
    for key, values in stop.tensors.items() if stop.arrived[position] else ():
        if key != schema.NETWORK or key not in last:  # there is no newer one than is kept
            last[key] = values[position].copy()


def stand_still(stop: Stop, position: int, last: Mapping[tuple[str, str], np.ndarray]) -> None:
    """Give a run that was stopped the tensors that it had last, unless it has some."""
    for key, values in stop.tensors.items() if not stop.arrived[position] else ():
        if key in last and key[1] != schema.GRADIENT:
            values[position] = last[key]
        elif key[1] == schema.FILTER_GROUP:  # nothing known of it: no filter is merged
            values[position] = np.arange(values.shape[1])
