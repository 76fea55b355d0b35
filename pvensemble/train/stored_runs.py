"""The runs of an ensemble as they were trained: their settings, from what it says of its making."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from pvensemble import schema
from pvensemble.errors import ConfigError
from pvensemble.store import Ensemble, Group
from pvensemble.train.added import added_specs, sessions_added
from pvensemble.train.config import RunSpec, load_config, read_config
from pvensemble.train.config.model_options import is_user_model
from pvensemble.train.provenance import differences
from pvensemble.train.search import sample_runs


def stored_runs(ensemble: Ensemble, file: str | None = None) -> dict[str, RunSpec]:
    """Return what determined each run of an ensemble, by run id; added runs are among them.

    Parameters
    ----------
    file
        The configuration that it was trained with, as a file or preset; None for the text in the
        provenance. A model of the user's own is taken from a file only: an ensemble that somebody
        hands on must not run code by itself.

    Raises
    ------
    ConfigError
        The ensemble was not made by `pvensemble train`, the file says something else than the
        ensemble, or a file is needed.
    """
    stored, path = ensemble.provenance, ensemble.path
    text, overrides = stored.get("config_text"), stored.get("overrides", ())
    if not isinstance(text, str):
        raise ConfigError(
            f"{path}: says nothing of its model and data (it was recorded from another loop, or "
            "imported); this needs an ensemble made by `pvensemble train`"
        )
    if file is None:
        config = read_config(text, f"configuration of {path}", overrides)
    else:
        config = load_config(file, overrides)
        found = differences(stored, config)
        if found:
            raise ConfigError(f"{path}: was not trained with the configuration {file}: {found}")
    specs = sample_runs(config)
    own = sorted({s.settings.model.name for s in specs if is_user_model(s.settings.model.name)})
    if own and file is None:
        raise ConfigError(
            f"{path}: the model {own[0]!r} is a function of your own, which no ensemble runs by "
            "itself; give the configuration that it was trained with: --config FILE"
        )
    found = {spec.run_id: spec for spec in specs}
    for request, _ in sessions_added(config, ensemble):
        found.update({spec.run_id: spec for spec in added_specs(config, request, found)})
    return found


def newest_tensors(
    directory: Path, positions: Iterable[int]
) -> dict[int, dict[tuple[str, str], np.ndarray]]:
    """Return the tensors of runs of a group that were stored last, by position, layer and kind.

    Raises
    ------
    CorruptFileError
        A file is missing or is not the one that was written.
    """
    group = Group(directory)
    group.refresh()
    newest: dict[int, dict] = {position: {} for position in positions}
    for (layer, kind), steps in group.index.tensors.items():
        if (layer, kind) != schema.PROBE_IMAGES:
            values = group.filters(layer, kind, max(steps))
            for position, own in newest.items():
                own[layer, kind] = values[position].copy()
    return newest
