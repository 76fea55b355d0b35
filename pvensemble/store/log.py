"""The log of an ensemble: what was asked of its training, what became of it, how runs ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pvensemble.errors import SteeringError, did_you_mean
from pvensemble.schema import COMPLETE, DIVERGED, FAILED, INDEX_FILE, PRUNED
from pvensemble.store.ensemble import Ensemble
from pvensemble.store.group import Group
from pvensemble.store.group_index import TERMINAL
from pvensemble.store.journal import is_written
from pvensemble.store.steering import Request, read_requests, steering_directory, write_request
from pvensemble.store.steering_text import runs_text

REQUEST = "request"
PROCESS = "process"
_ENDS = {COMPLETE: "complete", PRUNED: "stopped", DIVERGED: "diverged", FAILED: "failed"}


@dataclass(frozen=True)
class LogEntry:
    """One line of the log.

    Attributes
    ----------
    time
        Seconds since 1970.
    event
        ``request``, ``accepted``, ``refused``; ``process`` (one began to write); ``complete``,
        ``stopped``, ``diverged``, ``failed`` (of runs).
    text
        For people.
    request
        Number of the request, 0 where there is none.
    group
        Name of the group that says so, "" for none.
    """

    time: float
    event: str
    text: str
    request: int = 0
    group: str = ""


def requests_of(ensemble: Ensemble) -> list[Request]:
    """Return all requests to the training of an ensemble, by number."""
    return read_requests(steering_directory(ensemble.directory))


def ensemble_log(ensemble: Ensemble) -> list[LogEntry]:
    """Return the log in the order of time, as far as the ensemble was read.

    Times are those of the machines that wrote them.
    """
    entries = []
    for asked in requests_of(ensemble):
        said_by = f" (by {asked.by})" if asked.by else ""
        entries.append(LogEntry(asked.time, REQUEST, asked.text + said_by, asked.number))
    entries += _processes(ensemble)
    for group in ensemble.groups:
        entries += _of_group(group)
    return sorted(entries, key=lambda entry: entry.time)


def _processes(ensemble: Ensemble) -> list[LogEntry]:
    """Return when each process began to write, and which groups it wrote."""
    groups: dict[tuple, list[str]] = {}
    began: dict[tuple, float] = {}
    for group in ensemble.groups:
        for attempt in group.index.attempts:
            who = attempt.get("host", "?"), attempt.get("pid", 0)
            began[who] = min(began.get(who, float("inf")), float(attempt.get("time", 0)))
            groups.setdefault(who, []).append(group.name)
    entries = []
    for (host, pid), names in groups.items():
        names = list(dict.fromkeys(names))
        which = f"group {names[0]}" if len(names) == 1 else f"groups {names[0]} to {names[-1]}"
        text = f"process {pid} on {host} writes {which}"
        entries.append(LogEntry(began[host, pid], PROCESS, text))
    return entries


def _of_group(group: Group) -> list[LogEntry]:
    index = group.index
    entries = [
        LogEntry(said.time, said.outcome, said.text, said.request, group.name)
        for said in index.acknowledged
    ]
    for change in index.changes:
        if change.state not in _ENDS:
            continue
        positions = [p for first, last in change.positions for p in range(first, last + 1)]
        runs = sorted(i for i in group.run_indices[positions].tolist() if i >= 0)
        text = f"{runs_text(runs)} {_ENDS[change.state]} at step {change.step}"
        why = f": {change.reason}" if change.reason else ""
        if runs:  # else all were tried again in another group
            entries.append(LogEntry(change.time, _ENDS[change.state], text + why, 0, group.name))
    return entries


# -- asking ----------------------------------------------------------------------------------------


def send_request(ensemble: Ensemble, request: Request) -> Request:
    """Check a request against an ensemble and write it; return it with its number.

    Raises
    ------
    SteeringError
        It names runs or layers that are not there, all its runs have ended, or nobody trains this
        ensemble from a configuration.
    StoreError
        The system refuses.
    """
    if "config" not in ensemble.provenance:
        raise SteeringError(
            f"{ensemble.path}: `pvensemble train` did not make it; nobody would look for requests"
        )
    if request.action == "stop":
        _check_stop(ensemble, request.runs)
    if request.action == "record":
        _check_layers(ensemble, request.recording.get("layers", ()))
    return write_request(steering_directory(ensemble.directory), request)


def _check_stop(ensemble: Ensemble, runs: tuple[int, ...]) -> None:
    places = places_of_runs(ensemble)
    unknown = [run for run in runs if run not in places]
    if unknown:
        raise SteeringError(
            f"{ensemble.path}: there is no run {unknown[0]}; there are: 0 to {ensemble.n_runs - 1}"
        )
    states = [places[run][0].index.states[places[run][1]].state for run in runs]
    if all(state in TERMINAL for state in states):
        raise SteeringError(f"{ensemble.path}: {runs_text(runs)} ended before: {states[0]}")


def _check_layers(ensemble: Ensemble, patterns: tuple[str, ...]) -> None:
    """Raise for a plain name that no network has, where all parameters are known."""
    known: dict[str, None] = {}
    for group in ensemble.groups:
        if not group.index.parameters:
            return
        known.update(dict.fromkeys(n.rpartition(".")[0] for n in group.index.parameters))
    for name in patterns:
        plain = not set(name) & set("*?[") and name not in ("all", "convolutions")
        if plain and name not in known:
            raise SteeringError(f"layers: got {name!r}{did_you_mean(name, known)}")


def places_of_runs(ensemble: Ensemble) -> dict[int, tuple[Group, int]]:
    """Return the group of each run, by index, and its position there."""
    return {
        int(index): (group, position)
        for group in ensemble.groups
        for position, index in enumerate(group.run_indices.tolist())
        if index >= 0
    }


def has_ended(group: Group) -> bool:
    """Whether no run of a group trains any more."""
    return all(state.state in TERMINAL for state in group.index.states)


def is_training(ensemble: Ensemble) -> bool:
    """Whether a process writes a group of the ensemble, as far as locks can tell."""
    return any(is_written(group.path / INDEX_FILE) for group in ensemble.groups)


def acknowledged_by(ensemble: Ensemble, number: int) -> Mapping[str, str]:
    """Return outcome of a request by the name of each group that dealt with it."""
    return {
        group.name: said.outcome
        for group in ensemble.groups
        for said in group.index.acknowledged
        if said.request == number
    }


def is_answered(ensemble: Ensemble, request: Request) -> bool:
    """Whether all that a request concerns has dealt with it."""
    answers = acknowledged_by(ensemble, request.number)
    if not answers or "refused" in answers.values() or request.action in ("add", ""):
        return bool(answers)
    if request.action == "record":
        return all(group.name in answers or has_ended(group) for group in ensemble.groups)
    places = places_of_runs(ensemble)
    groups = [places[run][0] for run in request.runs if run in places]
    return all(group.name in answers or has_ended(group) for group in groups)
