"""What the records of a group's index add up to; writer and reader replay the same way."""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pvensemble.errors import CorruptFileError, StoreError
from pvensemble.schema import PROBE_IMAGES, STATES, WAITING
from pvensemble.store.log_records import Acknowledgement, StateChange
from pvensemble.store.networks import Reducible, reducible_from_json
from pvensemble.store.records import (
    HyperParameter,
    LayerInfo,
    MergeEvent,
    RunInfo,
    SessionInfo,
    check_name,
    merge_from_json,
    runs_from_json,
)
from pvensemble.store.tiling import tiled_shape

GROUP_VERSION = 1
TERMINAL = ("COMPLETE", "PRUNED", "DIVERGED", "FAILED")


@dataclass(frozen=True)
class FileEntry:
    """A file that the index vouches for."""

    name: str
    """Path relative to the group's directory."""
    size: int
    """Bytes."""
    sha256: str


@dataclass(frozen=True)
class TensorEntry:
    """One layer and kind at one recorded step."""

    file: FileEntry
    shape: tuple
    """Shape of one run's tensor, before tiling."""
    stack: tuple
    """(n_runs, y, x)."""
    offset: int | None
    """Byte at which the values begin; None when they are compressed."""


@dataclass(frozen=True)
class SegmentEntry:
    """The metric rows of one commit."""

    file: FileEntry
    arrays: Mapping
    """Array name to [dtype, shape, offset]."""
    metrics: Mapping
    """Metric name to the name of its array of steps."""


@dataclass(frozen=True)
class RunState:
    """Newest known state of a run."""

    state: str = WAITING
    step: int = 0
    reason: str = ""


def runs_to_ranges(positions: Sequence[int]) -> list[list[int]]:
    """Return ``[[first, last], …]`` for ascending distinct positions."""
    ranges: list[list[int]] = []
    for position in sorted(set(positions)):
        if ranges and ranges[-1][1] == position - 1:
            ranges[-1][1] = position
        else:
            ranges.append([position, position])
    return ranges


def _file(entry: Mapping) -> FileEntry:
    """Return a file of the index; it lies in the group's directory or one below, nowhere else."""
    name = entry["file"]
    parts = name.split("/")
    if len(parts) > 2 or any(part[:1] in ("", ".") for part in parts):
        raise ValueError(f"a file named {name!r}")
    return FileEntry(name, int(entry["bytes"]), str(entry["sha256"]))


class GroupIndex:
    """The state that the records of one index describe.

    Attributes
    ----------
    runs, layers, sessions, hyper_parameters
        From the header. Sessions and hyper-parameters are those the manifest does not have.
    parameters : dict of str to tuple
        Shapes of what `NETWORK` tensors hold, in order; empty when there are none.
    reducible : list of Reducible
        Layers whose filters may be merged during training.
    recorded_steps : list of int
        Steps with tensors, ascending.
    tensors : dict
        (layer, kind) to a dict of step to `TensorEntry`.
    segments : list of SegmentEntry
    states : list of RunState
        One for each run.
    skipped : list of (step, reason)
    checkpoints : list of (step, FileEntry)
        In the order they were written.
    merges : list of MergeEvent
        In the order they were written.
    changes : list of StateChange
    acknowledged : list of Acknowledgement
        Requests of the steering that concern the group, in the order they were dealt with.
    last_step : int
        Greatest step of any commit.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.ready = False
        self.count = 0
        self.runs: list[RunInfo] = []
        self.layers: list[LayerInfo] = []
        self.sessions: list[SessionInfo] = []
        self.hyper_parameters: list[HyperParameter] = []
        self.parameters: dict[str, tuple] = {}
        self.reducible: list[Reducible] = []
        self.recorded_steps: list[int] = []
        self.tensors: dict[tuple[str, str], dict[int, TensorEntry]] = {}
        self.segments: list[SegmentEntry] = []
        self.metric_steps: dict[str, int] = {}
        self.states: list[RunState] = []
        self.skipped: list[tuple[int, str]] = []
        self.checkpoints: list[tuple[int, FileEntry]] = []
        self.merges: list[MergeEvent] = []
        self.attempts: list[dict] = []
        self.changes: list[StateChange] = []
        self.acknowledged: list[Acknowledgement] = []
        self.last_step = 0
        self._clock = 0.0

    @property
    def begun(self) -> bool:
        """Whether anything was written of what its runs do, or are to do."""
        return bool(self.changes or self.segments or self.checkpoints or self.acknowledged)

    def header(self) -> GroupIndex:
        """Return what it was before anything was committed; the layers are those of now."""
        bare = GroupIndex(self.name)
        for name in ("runs", "layers", "sessions", "hyper_parameters", "parameters", "reducible"):
            setattr(bare, name, getattr(self, name))
        bare.states = [RunState() for _ in self.runs]
        bare.ready = True
        return bare

    def apply(self, record: Mapping, *, path: object) -> None:
        """Add the next record.

        Raises
        ------
        CorruptFileError
            The record's CRC was right but its content is not what this version writes.
        """
        try:
            if not self.ready:
                self._header(record)
            else:
                # Records of kinds added by later releases carry nothing that this one needs.
                handler = getattr(self, "_" + record["type"], None)
                if handler is not None and record["type"] in KNOWN_RECORDS:
                    handler(record)
            when = record.get("time") or record.get("attempt", {}).get("time")
            self._clock = float(when or self._clock)
        except (StoreError, KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            raise CorruptFileError(
                f"{path}: record {self.count} of the index is not understood ({error!r}); "
                "it was written by another program or a newer pvensemble: update pvensemble"
            ) from error
        self.count += 1

    def _header(self, record: Mapping) -> None:
        if record["type"] != "group" or record["version"] > GROUP_VERSION:
            raise ValueError(f"a header of type {record['type']!r}, version {record['version']!r}")
        self.runs = runs_from_json(record["runs"])
        self.layers = [LayerInfo(**layer) for layer in record["layers"]]
        self.sessions = [SessionInfo(**s) for s in record["sessions"]]
        self.hyper_parameters = [HyperParameter(**p) for p in record["hyper_parameters"]]
        parameters = record.get("parameters", [])  # not there before release 0.2
        self.parameters = {str(name): tuple(map(int, shape)) for name, shape in parameters}
        self.reducible = [reducible_from_json(x) for x in record.get("reducible", [])]
        self.states = [RunState() for _ in self.runs]
        self.attempts.append(record["attempt"])
        self.ready = True

    def _attempt(self, record: Mapping) -> None:
        self.attempts.append(record["attempt"])

    def _commit(self, record: Mapping) -> None:
        step = int(record["step"])
        for entry in record["tensors"]:
            key = check_name(entry["layer"], "a layer"), check_name(entry["kind"], "a kind")
            self.tensors.setdefault(key, {})[step] = self._tensor(key, entry)
        if record["tensors"]:
            place = bisect.bisect_left(self.recorded_steps, step)
            if self.recorded_steps[place : place + 1] != [step]:
                self.recorded_steps.insert(place, step)
        segment = record["metrics"]
        if segment is not None:
            arrays = {name: self._array(*entry) for name, entry in segment["arrays"].items()}
            for name, place in segment["steps_of"].items():
                check_name(name, "a metric")
                (n_steps,) = arrays[place][1]
                if arrays[f"values/{name}"][1] != [n_steps, len(self.runs)]:
                    raise ValueError(f"metric {name!r} of shape {arrays[f'values/{name}'][1]}")
                self.metric_steps[name] = int(segment["last"][name])
            self.segments.append(SegmentEntry(_file(segment), arrays, segment["steps_of"]))
        self.last_step = max(self.last_step, step)

    def _tensor(self, key: tuple, entry: Mapping) -> TensorEntry:
        shape, stack = tuple(map(int, entry["shape"])), tuple(map(int, entry["stack"]))
        depth = 1 if key == PROBE_IMAGES else len(self.runs)
        if stack != (depth, *tiled_shape(shape)):
            raise ValueError(f"a tensor of shape {shape} in a volume of shape {stack}")
        offset = entry["offset"]
        return TensorEntry(_file(entry), shape, stack, None if offset is None else int(offset))

    @staticmethod
    def _array(dtype: str, shape: list, offset: int) -> list:
        if dtype not in ("<f4", "<f8", "<i8"):
            raise ValueError(f"an array of {dtype!r}")
        return [dtype, [int(n) for n in shape], int(offset)]

    def _state(self, record: Mapping) -> None:
        if record["state"] not in STATES:
            raise ValueError(f"a state {record['state']!r}")
        state = RunState(record["state"], int(record["step"]), str(record["reason"]))
        for first, last in record["runs"]:
            if not 0 <= first <= last < len(self.runs):
                raise ValueError(f"runs {first} to {last} of {len(self.runs)}")
            self.states[first : last + 1] = [state] * (last + 1 - first)
        when = float(record.get("time", self._clock))  # not there before release 0.2
        positions = tuple((int(first), int(last)) for first, last in record["runs"])
        self.changes.append(StateChange(when, state.state, state.step, state.reason, positions))

    def _steering(self, record: Mapping) -> None:
        said = Acknowledgement.from_json(record)
        self.layers = list(said.layers) or self.layers
        self.acknowledged.append(said)

    def _skip(self, record: Mapping) -> None:
        self.skipped.append((int(record["step"]), str(record["reason"])))

    def _checkpoint(self, record: Mapping) -> None:
        self.checkpoints.append((int(record["step"]), _file(record)))

    def _merge(self, record: Mapping) -> None:
        known = {event.key for event in self.merges}
        for event in map(merge_from_json, record["events"]):
            if not 0 <= event.run < len(self.runs):
                raise ValueError(f"a merge in run {event.run} of {len(self.runs)}")
            if event.key not in known:
                self.merges.append(event)

    def last_step_of(self, position: int) -> int:
        """Return the last step that a run took, as far as it is stored."""
        state = self.states[position]
        if state.state == WAITING:
            return 0
        return state.step if state.state in TERMINAL else max(state.step, self.last_step)

    def live_checkpoints(self) -> list[tuple[int, FileEntry]]:
        """Return the checkpoints whose file was not replaced by a later one, newest first."""
        newest: dict[str, tuple[int, FileEntry]] = {}
        for step, entry in reversed(self.checkpoints):
            newest.setdefault(entry.name, (step, entry))
        return list(newest.values())

    def files(self) -> list[FileEntry]:
        """Return every file that the index vouches for."""
        tensors = [e.file for by_step in self.tensors.values() for e in by_step.values()]
        return (
            tensors
            + [s.file for s in self.segments]
            + [entry for _, entry in self.live_checkpoints()]
        )


KNOWN_RECORDS = frozenset({"attempt", "commit", "state", "skip", "checkpoint", "merge", "steering"})
