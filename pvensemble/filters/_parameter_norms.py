"""The recorded norms of the parameters of a network and of their gradients, as curves of runs."""

from __future__ import annotations

import numpy as np

from pvensemble import schema
from pvensemble.errors import NotRecordedError, OptionError, did_you_mean
from pvensemble.numerics.norms import PowerLaw, fit_power_law, total_norm
from pvensemble.vtkdata.runs import RunsData

TOGETHER = "all parameters"
_WEIGHT = ".weight"


def parameter_names(runs: RunsData) -> list[str]:
    """Return the parameters that have a curve of norms, in the order of the network."""
    kinds = (schema.WEIGHT_NORM, schema.GRADIENT_NORM)
    names = (n[len(k) :] for k in kinds for n in runs.metric_names if n.startswith(k))
    return list(dict.fromkeys(names))


def require_norms(runs: RunsData) -> list[str]:
    """Return the parameters that have norms.

    Raises
    ------
    NotRecordedError
        When there are none; the message says how they are recorded.
    """
    names = parameter_names(runs)
    if not names:
        raise NotRecordedError(
            "the runs have no norms of weights or gradients (metrics like "
            "'weight_norm:conv1.weight'): 'pvensemble train' and Recorder write them at the "
            "recorded steps; an imported table may have columns of such names"
        )
    return names


def chosen_parameter(runs: RunsData, name: str) -> str:
    """Return the parameter of a name, also of a layer's name; "" stays: all together.

    Raises
    ------
    NotRecordedError, OptionError
        When the runs have no norms, or none of that name.
    """
    known = require_norms(runs)
    if not name or name in known:
        return name
    if name + _WEIGHT in known:
        return name + _WEIGHT
    raise OptionError(f"Parameter: there are no norms of {name!r}{did_you_mean(name, known)}")


def weights_of(runs: RunsData) -> list[str]:
    """Return the parameters that are weights, without biases; all when none is called so."""
    known = require_norms(runs)
    return [name for name in known if name.endswith(_WEIGHT)] or known


def norm_curves(runs: RunsData, kind: str, parameter: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the norms of a parameter.

    Parameters
    ----------
    runs : RunsData
    kind : str
        ``schema.WEIGHT_NORM`` or ``schema.GRADIENT_NORM``.
    parameter : str
        "" for the norm of all of them together.

    Returns
    -------
    steps : (n_steps,) int64
    norms : (n_runs, n_steps) float64
        NaN where not recorded; without any step when nothing of the kind is there.
    """
    wanted = [parameter] if parameter else parameter_names(runs)
    found = [runs.curve(kind + name) for name in wanted if kind + name in runs.metric_names]
    if not found:
        return np.empty(0, np.int64), np.empty((runs.n_runs, 0))
    return total_norm(found)


class LastFit:
    """Fits power laws, and gives the last fit again for the same curves: at another time."""

    def __init__(self) -> None:
        self._known: tuple[tuple, PowerLaw] | None = None

    def __call__(
        self, steps: np.ndarray, values: np.ndarray, interval: tuple[float, float]
    ) -> PowerLaw:
        """Return ``fit_power_law(steps, values, interval)``."""
        key = (steps.tobytes(), values.shape, hash(values.tobytes()), interval)
        if self._known is None or self._known[0] != key:
            self._known = (key, fit_power_law(steps, values, interval))
        return self._known[1]
