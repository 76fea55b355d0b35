"""What the index of a group says of its history: who wrote, what runs came to, what was asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pvensemble.schema import KINDS
from pvensemble.store.records import LayerInfo, layer_to_json

ACCEPTED = "accepted"
REFUSED = "refused"


@dataclass(frozen=True)
class StateChange:
    """Runs of a group came to a state.

    Attributes
    ----------
    time
        Seconds since 1970; of the record before where an earlier release wrote none.
    positions
        ``((first, last), …)`` in the group.
    """

    time: float
    state: str
    step: int
    reason: str
    positions: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Acknowledgement:
    """What a training did with a request, as far as one group is concerned.

    Attributes
    ----------
    request
        Its number; 0 for nothing that was asked.
    outcome
        `ACCEPTED` or `REFUSED`.
    text
        What was done, or why nothing was.
    step
        Step from which on it holds; None where that says nothing.
    recording
        What of ``every``, ``layers`` and ``kinds`` changes at that step; {} for nothing.
    layers
        All layers and kinds of the group that are recorded at any step; () when unchanged.
    """

    request: int
    outcome: str
    text: str
    time: float
    step: int | None = None
    recording: Mapping = ()
    layers: tuple[LayerInfo, ...] = ()

    def to_json(self) -> dict:
        """Return the record of the index."""
        changed = {k: list(v) if k != "every" else v for k, v in dict(self.recording).items()}
        return {
            "type": "steering",
            "request": self.request,
            "outcome": self.outcome,
            "text": self.text,
            "time": self.time,
            "step": self.step,
            "recording": changed,
            "layers": [layer_to_json(layer) for layer in self.layers],
        }

    @classmethod
    def from_json(cls, record: Mapping) -> Acknowledgement:
        """Return what a record says; KeyError, TypeError or ValueError when it is another."""
        if record["outcome"] not in (ACCEPTED, REFUSED):
            raise ValueError(f"an outcome {record['outcome']!r}")
        return cls(
            int(record["request"]),
            record["outcome"],
            str(record["text"]),
            float(record["time"]),
            None if record["step"] is None else int(record["step"]),
            dict(record["recording"]),
            tuple(LayerInfo(**layer) for layer in record["layers"]),
        )


def joined_layers(
    first: Sequence[LayerInfo], second: Sequence[LayerInfo], order: Sequence[str] = ()
) -> list[LayerInfo]:
    """Return all layers of both with all their kinds.

    Parameters
    ----------
    order
        Names in the order of the network; the others come after them.
    """
    kinds: dict[str, dict[str, None]] = {}
    infos = {}
    for info in (*first, *second):
        infos.setdefault(info.name, info)
        kinds.setdefault(info.name, {}).update(dict.fromkeys(info.kinds))
    names = sorted(infos, key=lambda n: order.index(n) if n in order else len(order))
    return [
        LayerInfo(name, infos[name].type, infos[name].shape, _in_order(kinds[name]))
        for name in names
    ]


def _in_order(kinds: Mapping[str, None]) -> tuple[str, ...]:
    return (*(k for k in KINDS if k in kinds), *(k for k in kinds if k not in KINDS))
