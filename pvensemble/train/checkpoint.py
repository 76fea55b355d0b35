"""The states of a group's runs as named arrays of numbers, and back; no pickles.

Runs that have not begun are left out, as are runs that have ended: all they measured is stored or
waits in the assembly. Both executors hold their states in the same form.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from pvensemble.train.assembly import Assembly
from pvensemble.train.executors.events import RunState


def pack(states: Sequence[RunState], assembly: Assembly) -> tuple[dict[str, np.ndarray], dict]:
    """Return the arrays and the JSON-able rest of a group's checkpoint."""
    arrays, rest = assembly.save()
    states = sorted(states, key=lambda s: s.position)
    n_rows = max((len(s.rows) for s in states), default=0)
    rows = np.full((len(states), n_rows, 2), np.nan)
    for i, state in enumerate(states):
        rows[i, : len(state.rows)] = state.rows
    arrays["runs/position"] = np.array([s.position for s in states], np.int64)
    arrays["runs/step"] = np.array([s.step for s in states], np.int64)
    arrays["runs/diverged"] = np.array([s.diverged for s in states], np.int64)
    arrays["runs/n_rows"] = np.array([len(s.rows) for s in states], np.int64)
    arrays["runs/rows"] = rows
    names = list(states[0].arrays) if states else []
    for i, name in enumerate(names):
        arrays[f"state/{i}"] = np.stack([s.arrays[name] for s in states])
    return arrays, {"assembly": rest, "names": names}


def network_of(state: RunState, names: Iterable[str]) -> np.ndarray | None:
    """Return the whole network of a run, as `schema.NETWORK` has it, given the names in its order.

    Returns
    -------
    ndarray or None
        (n_values,) float32; None when the state lacks a part: it holds what training changes.
    """
    parts = [state.arrays.get(f"{kind}:{n}") for n in names for kind in ("parameter", "buffer")]
    found = [part for part in parts if part is not None]
    if not found or len(found) < len(parts) // 2:
        return None
    return np.concatenate([np.asarray(part, np.float32).ravel() for part in found])


def unpack(arrays: dict[str, np.ndarray], meta: dict, assembly: Assembly) -> dict[int, RunState]:
    """Restore the assembly and return the states by position."""
    assembly.restore(arrays, meta["assembly"])
    return states_of(arrays, meta)


def states_of(arrays: dict[str, np.ndarray], meta: dict) -> dict[int, RunState]:
    """Return the states alone."""
    states = {}
    for i, position in enumerate(arrays["runs/position"].tolist()):
        n_rows = int(arrays["runs/n_rows"][i])
        states[position] = RunState(
            position,
            int(arrays["runs/step"][i]),
            int(arrays["runs/diverged"][i]),
            np.array(arrays["runs/rows"][i, :n_rows]),
            {name: arrays[f"state/{k}"][i] for k, name in enumerate(meta["names"])},
        )
    return states
