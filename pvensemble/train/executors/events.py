"""What the trainer gives to an executor, and what comes back.

Executors are generators of events, wherever the work is done; the trainer never asks which one it
has. All arrays are numpy and belong to the receiver.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Union

import numpy as np

from pvensemble.store import MergeEvent, Reducible
from pvensemble.train.config import DataConfig, RunSettings
from pvensemble.train.recording import RecordedLayer, Schedule


@dataclass
class RunState:
    """All that decides how a run goes on.

    Attributes
    ----------
    position
        Place of the run in its group.
    step
        Updates done; ``schedule.steps + 1`` once the last step has been measured.
    diverged
        Step at which the loss was not finite, or -1.
    rows
        (n, 2) float64: training loss and accuracy of the steps since the last stop.
    arrays
        Parameters, buffers and optimizer slots by name, in the shapes of step 0; and which filter
        stands for which.
    """

    position: int
    step: int
    diverged: int = -1
    rows: np.ndarray = field(default_factory=lambda: np.zeros((0, 2)))
    arrays: dict[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Era:
    """What was recorded of a group before it was changed.

    Attributes
    ----------
    until
        First step that the change concerns.
    stops
        All stops of the schedule before the change.
    """

    until: int
    layers: tuple[RecordedLayer, ...]
    stops: tuple[int, ...]


@dataclass
class Job:
    """The runs of one group, or a share of them.

    Attributes
    ----------
    group
        Number of the group.
    settings
        Of every run of the group, by position; equal in all that decides shapes.
    positions
        Runs to be trained.
    states
        Where to go on, by position; runs that are absent start from their seed.
    notes
        What people should know before the group is trained.
    engine
        What computes the training steps on a CPU: ``torch`` or ``native``.
    parameters
        Shapes of what `schema.NETWORK` tensors hold, by name.
    reducible
        Layers in which runs may merge filters; () when no run of the group does.
    earlier
        What was recorded before it was changed while the group trained, in order; ``layers`` and
        ``schedule`` are the newest.
    """

    group: int
    data: DataConfig
    settings: tuple[RunSettings, ...]
    schedule: Schedule
    layers: tuple[RecordedLayer, ...]
    positions: tuple[int, ...]
    dtype: str = "float32"
    probe: int = 256
    evaluate_size: int | None = None
    states: dict[int, RunState] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    engine: str = "torch"
    parameters: dict[str, tuple[int, ...]] = field(default_factory=dict)
    reducible: tuple[Reducible, ...] = ()
    earlier: tuple[Era, ...] = ()

    def layers_at(self, step: int) -> tuple[RecordedLayer, ...]:
        """Return the layers that are recorded at a step."""
        return next((era.layers for era in self.earlier if step < era.until), self.layers)

    @property
    def optimizer(self) -> str:
        """Kind of optimizer, one for the group."""
        return self.settings[0].optimizer


@dataclass
class Started:
    """Runs began (or went on)."""

    group: int
    positions: tuple[int, ...]


@dataclass
class Report:
    """What runs measured from the last stop, exclusive, to this one, inclusive.

    Attributes
    ----------
    metrics
        Name to (steps (n,) int64, values (n, k) float64) for the k runs of ``positions``;
        NaN where a run was not measured.
    tensors
        (layer, kind) to (k, *shape); empty unless ``stop`` is a step at which they are measured.
    merges
        Filters that were merged on leaving the stop.
    """

    group: int
    stop: int
    positions: tuple[int, ...]
    metrics: dict[str, tuple[np.ndarray, np.ndarray]]
    tensors: dict[tuple[str, str], np.ndarray]
    merges: list[MergeEvent] = field(default_factory=list)


@dataclass
class Glance(Report):
    """What runs show an observer at a halt between two stops; nothing of it is stored.

    The metrics are those since the last stop, and come again with the next.
    """


@dataclass
class Diverged:
    """A run's loss was not finite; its parameters stay as they are."""

    group: int
    position: int
    step: int
    reason: str


@dataclass
class Failed:
    """A run raised an exception, or its process died: nothing more comes of it."""

    group: int
    position: int
    step: int
    reason: str


def divergence(loss: float, step: int) -> str:
    """Return why a run diverged, for people."""
    return f"the training loss was {loss} at step {step}"


@dataclass
class Saved:
    """States of runs, in answer to a request; complete for the sender's active runs."""

    group: int
    states: list[RunState]


@dataclass
class SavedAll:
    """The sender has sent the states of all its active runs for this request."""

    request: int


@dataclass
class Message:
    """A line for people, e.g. that a model cannot be vectorized."""

    text: str


@dataclass
class Tick:
    """Nothing happened for a moment: the trainer may look at its clock."""


Event = Union[Started, Report, Diverged, Failed, Saved, SavedAll, Message, Tick]


class Control:
    """What the trainer tells a running executor.

    Attributes
    ----------
    stop
        Send the states of all active runs, then end.
    save
        Number of the newest request for states; send them when it changes.
    done
        Run-steps done by this executor.
    in_step
        Let the groups advance together, halt by halt, instead of one after the other.
    recall
        Group to the states of its runs in the newest checkpoint, by position: where to go on with
        runs whose process died.
    """

    def __init__(
        self,
        watch: Callable[[Control], None] = lambda control: None,
        recall: Callable[[int], dict[int, RunState]] = lambda group: {},
    ) -> None:
        self.stop = False
        self.save = 0
        self.done = 0
        self.in_step = False
        self.recall = recall
        self._watch = watch

    def tick(self) -> None:
        """Look at the world; called once a step, so it must be fast."""
        self._watch(self)

    def begin(self, group: int, position: int) -> None:
        """Note which run is worked on now; position -1 stands for all of a group."""
