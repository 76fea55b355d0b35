"""Which runs and filters were picked: the order of picks, and the runs shown before any pick."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from pvensemble.numerics.axis_scales import is_text
from pvensemble.schema import BROKEN, STATE, WAITING, WEIGHT_NORM
from pvensemble.vtkdata.runs import RunsData


class PickOrder:
    """Runs in the order in which they were picked.

    A selection has no order; it comes from comparing each with the one before.
    """

    def __init__(self) -> None:
        self.runs: list[int] = []

    def update(self, selected: Iterable[int]) -> list[int]:
        """Take in a selection; of several new runs the lower number counts as picked first."""
        now = sorted({int(run) for run in selected})
        kept = [run for run in self.runs if run in now]
        self.runs = kept + [run for run in now if run not in kept]
        return self.runs


def runs_to_show(picked: Sequence[int], default: Sequence[int], n_maps: int) -> list[int]:
    """Return the run of each of several maps, for as many as there are.

    The first map shows the run picked first, the last map the one picked last, maps between them
    those picked between. A map for which no run is picked shows the default one, so that a single
    picked run has something to be compared with.

    Parameters
    ----------
    picked : sequence of int
        In the order of picking.
    default : sequence of int
        The runs of the maps before anything is picked.
    n_maps : int

    Returns
    -------
    list of int
        One run a map; empty where there are no runs.
    """
    default = list(default)[:n_maps] or list(picked)[:1]
    if not default or n_maps == 0:
        return []
    shown = [default[min(k, len(default) - 1)] for k in range(n_maps)]
    if n_maps == 1:
        return list(picked[-1:]) or shown
    if len(picked) == 1:
        others = [run for run in default if run != picked[0]] or default
        return [picked[0], *([others[-1]] * (n_maps - 1))]
    for k, run in enumerate(picked[: n_maps - 1]):
        shown[k] = run
    if picked:
        shown[-1] = picked[-1]
    return shown


def corner_runs(runs: RunsData, layer: str = "") -> list[int]:
    """Return the run lowest and the run highest in the first two hyper-parameters that vary.

    Runs of which a map would show nothing, or nothing that was learned, count only where there are
    no others: those whose network has no such layer, those that have not begun, those that diverged
    and those that failed. Values are compared by rank, and ties go to the first run for the lowest
    and to the last for the highest.

    Parameters
    ----------
    runs : RunsData
    layer : str
        That maps show, "" for none.

    Returns
    -------
    list of int
        Cells; two, one where there is one run, or none.
    """
    if runs.n_runs == 0:
        return []
    columns = runs.columns
    names = [n for n in runs.hyper_parameters if n in columns and not is_text(columns[n])]
    ranks = [np.unique(columns[n], return_inverse=True)[1].reshape(-1) for n in names]
    ranks = [rank / rank.max() for rank in ranks if rank.max() > 0][:2]
    place = sum(ranks) if ranks else np.arange(runs.n_runs, dtype=np.float64)
    candidates = _with_layer(runs, layer)
    if STATE in columns:
        candidates = candidates[_worth_showing(columns[STATE][candidates])]
    low = int(candidates[np.argmin(place[candidates])])
    high = int(candidates[::-1][np.argmax(place[candidates[::-1]])])
    return [low, high] if low != high else [low]


def _with_layer(runs: RunsData, layer: str) -> np.ndarray:
    """Return the cells of runs of which a norm of the layer's weight is known, else of all."""
    metric = f"{WEIGHT_NORM}{layer}.weight"
    if layer and metric in runs.metric_names:
        found = np.flatnonzero(np.isfinite(runs.curve(metric)[1]).any(axis=1))
        if len(found):
            return found
    return np.arange(runs.n_runs)


def _worth_showing(state: np.ndarray) -> np.ndarray:
    """Return the cells of runs that came to something, else of those that began, else of all."""
    for left_out in ((*BROKEN, WAITING), (WAITING,)):
        found = np.flatnonzero(~np.isin(state, left_out))
        if len(found):
            return found
    return np.arange(len(state))
