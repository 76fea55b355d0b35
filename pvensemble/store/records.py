"""What an ensemble is made of: small frozen records, and their form in JSON."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from pvensemble.errors import StoreError, did_you_mean
from pvensemble.schema import FIXED_COLUMNS

TYPES = ("float", "int", "categorical", "bool")
SCALES = ("linear", "log", "categorical")
SCALARS = (bool, int, float, str)


@dataclass(frozen=True)
class HyperParameter:
    """A column of the run table that somebody chose before training."""

    name: str
    type: str
    """``float``, ``int``, ``categorical`` or ``bool``."""
    scale: str = "linear"
    """``linear``, ``log`` or ``categorical``: how an axis shows it unless told otherwise."""

    def __post_init__(self) -> None:
        check_name(self.name, "the name of a hyper-parameter")
        if self.name in FIXED_COLUMNS:
            raise StoreError(
                f"hyper-parameter '{self.name}': that is the name of a column of every run table; "
                f"taken are {', '.join(FIXED_COLUMNS)}"
            )
        _check_word(self.type, TYPES, f"hyper-parameter {self.name!r}: type")
        _check_word(self.scale, SCALES, f"hyper-parameter {self.name!r}: scale")


@dataclass(frozen=True)
class SessionInfo:
    """A named round of training with its own search space and colour."""

    name: str
    color: str = "#1f77b4"
    """``#rrggbb``."""
    space: Mapping = field(default_factory=dict)
    """Description of the search space, anything that JSON can hold."""

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not isinstance(self.space, Mapping):
            raise StoreError(
                f"session {self.name!r}: its name is a text and its space a mapping; got "
                f"{self.space!r}"
            )
        if not re.fullmatch(r"#[0-9a-fA-F]{6}", str(self.color)):
            raise StoreError(
                f"session {self.name!r}: color is {self.color!r}, expected '#rrggbb' with "
                "hexadecimal digits"
            )


@dataclass(frozen=True)
class RunInfo:
    """One training with fixed hyper-parameters and seed."""

    run_id: str
    params: Mapping
    """Value of each hyper-parameter that the run has: float, int, str or bool."""
    seed: int = 0
    session: str = "default"
    run_index: int | None = None
    """Place in every table and data set; None: the reader numbers it after the others."""


@dataclass(frozen=True)
class LayerInfo:
    """One layer of the network of a group."""

    name: str
    """The module's name in torch, for example ``features.0``."""
    type: str
    """The module's class, for example ``Conv2d``."""
    shape: tuple
    """Shape of the weight, for example (20, 1, 5, 5)."""
    kinds: tuple = ()
    """What is recorded of it: ``weight``, ``gradient``, ``correlation`` …"""

    def __post_init__(self) -> None:
        check_name(self.name, "the name of a layer")
        object.__setattr__(self, "shape", tuple(int(n) for n in self.shape))
        object.__setattr__(self, "kinds", tuple(self.kinds))
        for kind in self.kinds:
            if "." in check_name(kind, f"layer '{self.name}': a kind"):
                raise StoreError(
                    f"layer '{self.name}': kind '{kind}' holds a '.', which VTKHDF does not allow"
                )


@dataclass(frozen=True)
class Curve:
    """A metric of all runs over the steps at which it was evaluated."""

    steps: np.ndarray
    """(n_steps,) int64, ascending."""
    values: np.ndarray
    """(n_runs, n_steps) float64, NaN where a run was not measured."""


@dataclass(frozen=True)
class MergeEvent:
    """Filters of one layer of one run became fewer at a step."""

    run: int
    """Position in the group; of an event of the whole ensemble, the run's index."""
    step: int
    layer: str
    groups: tuple
    """Numbers that the filters of each group had at step 0; the first stands for them from now."""
    r: tuple
    """Smallest correlation of two filters of each group."""
    n_filters: tuple
    """Filters of the layer before and after."""
    accuracy: tuple
    """On the evaluation images before and after, as a fraction; NaN where not measured."""
    loss: tuple
    """Likewise, in nats."""

    def __post_init__(self) -> None:
        groups = tuple(tuple(int(f) for f in group) for group in self.groups)
        object.__setattr__(self, "groups", groups)
        object.__setattr__(self, "n_filters", tuple(int(n) for n in self.n_filters))
        for name in ("r", "accuracy", "loss"):
            values = (math.nan if v is None else float(v) for v in getattr(self, name))
            object.__setattr__(self, name, tuple(values))
        pairs = len(self.n_filters) == len(self.accuracy) == len(self.loss) == 2
        if not pairs or len(self.r) != len(groups) or any(len(g) < 2 for g in groups):
            raise StoreError(f"layer '{self.layer}', step {self.step}: {self} is no merge")

    @property
    def key(self) -> tuple:
        """What identifies it in a group."""
        return self.run, self.step, self.layer


@dataclass(frozen=True)
class Checkpoint:
    """State from which training goes on."""

    step: int
    arrays: dict
    meta: dict


def _check_word(value: str, allowed: Sequence[str], what: str) -> None:
    if not isinstance(value, str) or value not in allowed:
        raise StoreError(f"{what} is {value!r}{did_you_mean(str(value), allowed)}")


def check_name(name: str, what: str) -> str:
    """Return ``name`` if it can be a file's and an array's, else raise `StoreError`."""
    if (
        not isinstance(name, str)
        or not 0 < len(name.encode("utf-8", "replace")) <= 200
        or name[0] == "."
        or re.search(r"[/\\\x00-\x1f\x7f]", name)
    ):
        raise StoreError(
            f"{what} is {name!r}; expected 1 to 200 characters, not beginning with '.', "
            "without '/', '\\' and control characters"
        )
    return name


def encode_value(value: object) -> object:
    """Return a hyper-parameter's value as strict JSON has it: infinity as text, NaN as null."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else repr(value)
    if value is None or isinstance(value, SCALARS):
        return value
    raise StoreError(f"a hyper-parameter's value is {value!r}; expected a number, a text or a bool")


def fits(value: object, parameter: HyperParameter) -> bool:
    """Return whether a value, as JSON has it, is of a hyper-parameter's type."""
    if value is None or parameter.type == "categorical":
        return True
    if parameter.type == "float" and value in ("inf", "-inf"):
        return True
    if parameter.type == "int" and isinstance(value, int) and not -(2**63) <= value < 2**63:
        return False
    kinds = {"float": (int, float), "int": int, "bool": bool}[parameter.type]
    return isinstance(value, kinds) and (parameter.type == "bool") == isinstance(value, bool)


def infer_hyper_parameter(name: str, values: Sequence) -> HyperParameter:
    """Describe an undeclared hyper-parameter by its values."""
    kinds = {type(v.item() if isinstance(v, np.generic) else v) for v in values if v is not None}
    if kinds == {bool}:
        return HyperParameter(name, "bool", "categorical")
    if kinds == {int}:
        return HyperParameter(name, "int", "linear")
    if kinds and kinds <= {int, float}:
        return HyperParameter(name, "float", "linear")
    return HyperParameter(name, "categorical", "categorical")


def hyper_parameter_to_json(parameter: HyperParameter) -> dict:
    """Return the JSON form."""
    return {"name": parameter.name, "type": parameter.type, "scale": parameter.scale}


def session_to_json(session: SessionInfo) -> dict:
    """Return the JSON form."""
    return {"name": session.name, "color": session.color, "space": dict(session.space)}


def layer_to_json(layer: LayerInfo) -> dict:
    """Return the JSON form."""
    return {
        "name": layer.name,
        "type": layer.type,
        "shape": list(layer.shape),
        "kinds": list(layer.kinds),
    }


def merge_to_json(event: MergeEvent) -> dict:
    """Return the JSON form."""
    numbers = {n: [encode_value(v) for v in getattr(event, n)] for n in ("r", "accuracy", "loss")}
    return {
        "run": int(event.run),
        "step": int(event.step),
        "layer": event.layer,
        "groups": [list(group) for group in event.groups],
        "n_filters": list(event.n_filters),
        **numbers,
    }


def merge_from_json(entry: Mapping) -> MergeEvent:
    """Return the event; raises KeyError, TypeError or ValueError when it is none."""
    names = ("groups", "r", "n_filters", "accuracy", "loss")
    run, step, layer = int(entry["run"]), int(entry["step"]), str(entry["layer"])
    return MergeEvent(run, step, layer, *(entry[name] for name in names))


def runs_to_json(runs: Sequence[RunInfo]) -> dict:
    """Return runs as columns: 15,625 of them take one line of about a megabyte."""
    names = list(dict.fromkeys(name for run in runs for name in run.params))
    return {
        "run_id": [run.run_id for run in runs],
        "run_index": [run.run_index for run in runs],
        "seed": [int(run.seed) for run in runs],
        "session": [run.session for run in runs],
        "params": {n: [encode_value(run.params.get(n)) for run in runs] for n in names},
    }


def runs_from_json(columns: Mapping) -> list[RunInfo]:
    """Return the runs of a group header.

    Raises
    ------
    KeyError, TypeError, ValueError
        The header is not one that `runs_to_json` made.
    """
    params = columns["params"]
    n = len(columns["run_id"])
    fixed = ("run_id", "run_index", "seed", "session")
    if any(len(c) != n for c in (*params.values(), *(columns[name] for name in fixed))):
        raise ValueError("columns of different lengths")
    if not all(v is None or isinstance(v, SCALARS) for c in params.values() for v in c):
        raise ValueError("a hyper-parameter that is neither number nor text")
    rows = zip(*params.values()) if params else ((),) * n
    return [
        RunInfo(
            str(run_id),
            {name: value for name, value in zip(params, row) if value is not None},
            int(seed),
            str(session),
            None if index is None else int(index),
        )
        for run_id, index, seed, session, row in zip(*(columns[name] for name in fixed), rows)
    ]
