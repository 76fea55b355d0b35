"""The first record of a group's index: its runs and layers, checked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from pvensemble.errors import StoreError
from pvensemble.store.group_index import GROUP_VERSION
from pvensemble.store.manifest import Manifest
from pvensemble.store.networks import Reducible, reducible_to_json
from pvensemble.store.records import (
    HyperParameter,
    LayerInfo,
    RunInfo,
    SessionInfo,
    encode_value,
    fits,
    hyper_parameter_to_json,
    infer_hyper_parameter,
    layer_to_json,
    runs_to_json,
    session_to_json,
)


def group_header(
    runs: Sequence[RunInfo],
    layers: Sequence[LayerInfo],
    parameters: Mapping[str, Sequence[int]],
    reducible: Sequence[Reducible] = (),
    *,
    known: Manifest,
    stored: Manifest,
) -> dict:
    """Return the header of a new group.

    Parameters
    ----------
    parameters
        Names and shapes of what `NETWORK` tensors hold.
    reducible
        Layers whose filters may be merged.
    known
        What this process knows of sessions and hyper-parameters.
    stored
        What the manifest on disk says of them; the header holds what is missing there.

    Raises
    ------
    StoreError
        Something about runs or layers is not possible.
    """
    _check_runs(runs)
    _check_layers(layers)
    missing = _missing_parameters(runs, known, stored)
    _check_values(runs, [*stored.hyper_parameters, *missing])
    return {
        "type": "group",
        "version": GROUP_VERSION,
        "sessions": [session_to_json(s) for s in _missing_sessions(runs, known, stored)],
        "hyper_parameters": [hyper_parameter_to_json(p) for p in missing],
        "layers": [layer_to_json(layer) for layer in layers],
        "parameters": [[name, [int(n) for n in shape]] for name, shape in parameters.items()],
        "reducible": [reducible_to_json(layer) for layer in reducible],
        "runs": runs_to_json(runs),
    }


def _check_runs(runs: Sequence[RunInfo]) -> None:
    if not runs:
        raise StoreError("a group without runs; expected at least one")
    run_id, count = Counter(run.run_id for run in runs).most_common(1)[0]
    if count > 1:
        raise StoreError(f"run id '{run_id}' occurs {count} times in one group; ids are distinct")
    for run in runs:
        if not -(2**63) <= run.seed < 2**63:
            raise StoreError(f"run '{run.run_id}': seed {run.seed} needs more than 64 bits")


def _check_values(runs: Sequence[RunInfo], parameters: Sequence[HyperParameter]) -> None:
    for parameter in parameters:
        for run in runs:
            value = encode_value(run.params.get(parameter.name))
            if not fits(value, parameter):
                raise StoreError(
                    f"run '{run.run_id}': hyper-parameter '{parameter.name}' is {value!r}; it is "
                    f"declared as {parameter.type}"
                )


def _check_layers(layers: Sequence[LayerInfo]) -> None:
    names = [layer.name for layer in layers]
    if len(set(names)) != len(names):
        raise StoreError(f"two layers have the same name; got {names}")


def _missing_sessions(
    runs: Sequence[RunInfo], known: Manifest, stored: Manifest
) -> list[SessionInfo]:
    infos = {s.name: s for s in reversed(known.sessions)}
    have = {s.name for s in stored.sessions}
    used = dict.fromkeys(run.session for run in runs)
    return [infos.get(n) or SessionInfo(n) for n in used if n not in have]


def _missing_parameters(
    runs: Sequence[RunInfo], known: Manifest, stored: Manifest
) -> list[HyperParameter]:
    infos = {p.name: p for p in reversed(known.hyper_parameters)}
    have = {p.name for p in stored.hyper_parameters}
    used = dict.fromkeys(name for run in runs for name in run.params)
    return [
        infos.get(n) or infer_hyper_parameter(n, [run.params.get(n) for run in runs])
        for n in used
        if n not in have
    ]
