"""Runs that are added to an ensemble while it trains: a request becomes a session of its own."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from pvensemble.errors import ConfigError
from pvensemble.store import Ensemble
from pvensemble.store.log import requests_of
from pvensemble.store.log_records import ACCEPTED
from pvensemble.store.steering import Request
from pvensemble.train.config import RunSpec, TrainConfig
from pvensemble.train.config.check import Where
from pvensemble.train.config.keys import columns, setting_value
from pvensemble.train.config.parse import parse_sessions
from pvensemble.train.config.session import COLORS, SessionConfig
from pvensemble.train.search import sample_runs


def session_name(number: int) -> str:
    """Return the name of the session that a request adds."""
    return f"added {number}"


def added_session(config: TrainConfig, request: Request) -> SessionConfig:
    """Return the session that a request to add runs describes: the grid of its values.

    Raises
    ------
    ConfigError
        It names a setting that is none, or values that are not possible.
    """
    table = {
        "name": session_name(request.number),
        "color": COLORS[(len(config.sessions) + request.number - 1) % len(COLORS)],
        "space": {name: list(values) for name, values in request.settings.items()},
    }
    try:
        (session,) = parse_sessions([table], config, Where(f"request {request.number}"))
    except ConfigError as error:  # people did not write a session
        raise ConfigError(str(error).replace(f"session.{table['name']}.space.", "")) from error
    return session


def added_specs(config: TrainConfig, request: Request, known: Collection[str]) -> list[RunSpec]:
    """Return the runs that a request adds, without those that are in the ensemble already.

    Parameters
    ----------
    known
        Identities of the runs that are there.

    Raises
    ------
    ConfigError
        As `added_session`; or there is no new run among them.
    """
    session = added_session(config, request)
    alone = replace(config, sessions=(session,), file=f"request {request.number}")
    # Columns of the ensemble keep their names, whatever the new session calls its own.
    named = {**columns(replace(config, sessions=(*config.sessions, session))), **columns(config)}
    specs = []
    for spec in sample_runs(alone):
        values = {column: setting_value(spec.settings, key) for key, column in named.items()}
        params = {column: value for column, value in values.items() if value is not None}
        specs.append(replace(spec, run_index=None, params=params))
    new = [spec for spec in specs if spec.run_id not in known]
    if not new:
        raise ConfigError("every one of these runs is in the ensemble already")
    return new


def sessions_added(config: TrainConfig, ensemble: Ensemble) -> list[tuple[Request, SessionConfig]]:
    """Return the requests that added runs to an ensemble, and their sessions."""
    sessions = {run.session for group in ensemble.groups for run in group.index.runs}
    said = [a for group in ensemble.groups for a in group.index.acknowledged]
    taken = {a.request for a in said if a.outcome == ACCEPTED}
    return [
        (request, added_session(config, request))
        for request in requests_of(ensemble)
        if request.action == "add"
        and (request.number in taken or session_name(request.number) in sessions)
    ]
