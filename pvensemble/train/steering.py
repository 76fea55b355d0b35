"""Steering: what people ask of a running training, done between two runs of the executor.

The trainer asks :meth:`Steering.due` about once a second. When there is something new it stops the
executor, as Ctrl-C does, so that the state of every run is kept; :meth:`Steering.apply` changes the
groups and acknowledges; then the executor goes on from those states. So runs that no request
concerns end with the same bits as without it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from pvensemble import schema
from pvensemble.errors import ConfigError, DataError, StoreError
from pvensemble.store import Acknowledgement, Ensemble
from pvensemble.store.log import acknowledged_by, has_ended, places_of_runs
from pvensemble.store.log_records import ACCEPTED, REFUSED, joined_layers
from pvensemble.store.steering import (
    Request,
    exclusive,
    read_requests,
    request_numbers,
    steering_directory,
)
from pvensemble.store.steering_text import recording_text, runs_text
from pvensemble.train.added import added_session, added_specs, session_name
from pvensemble.train.opening import Opener
from pvensemble.train.steered_output import SteeredOutput

LOOK_SECONDS = 1.0


class Steering:
    """Deals with the requests to one ensemble, as far as they concern the groups of this process.

    Parameters
    ----------
    opener
        Opens the groups.
    """

    def __init__(self, opener: Opener) -> None:
        self._opener = opener
        self._say: Callable[[str], None] = lambda text: None
        self._directory = steering_directory(opener.writer.directory)
        self._seen: set[int] = set()
        self._looked = float("-inf")

    def due(self, *, now: bool = False) -> bool:
        """Tell whether there is a request that was not seen before; looks once a second.

        Parameters
        ----------
        now
            Look in any case.
        """
        moment = time.monotonic()
        if not now and moment - self._looked < LOOK_SECONDS:
            return False
        self._looked = moment
        return not self._seen.issuperset(request_numbers(self._directory))

    def apply(
        self, outputs: Sequence[SteeredOutput], say: Callable[[str], None]
    ) -> list[SteeredOutput]:
        """Do what is asked of some groups and acknowledge it; return groups that were added.

        Requests that were acknowledged before are left alone.

        Parameters
        ----------
        outputs
            Groups of which no run is at work.
        say
            Called with a line for people.
        """
        self._say = say
        requests = read_requests(self._directory)
        self._seen.update(request.number for request in requests)
        added: list[SteeredOutput] = []
        for place, request in enumerate(requests):
            ensemble = Ensemble.open(self._opener.writer.path)
            if _concerns_groups(request, ensemble):
                for output in [*outputs, *added]:
                    self._steer(request, output, ensemble)
            elif not acknowledged_by(ensemble, request.number):
                for output in self._answer(request, [*outputs, *added]):
                    added.append(output)
                    for earlier in requests[:place]:
                        if earlier.action == "record":
                            self._steer(earlier, output, ensemble)
        return added

    # -- requests that concern groups of their own ---------------------------------------------

    def _steer(self, request: Request, output: SteeredOutput, ensemble: Ensemble) -> None:
        """Let a group do its part of a request, unless it has."""
        if request.number in {said.request for said in output.writer.acknowledged}:
            return
        if request.action == "stop":
            places = places_of_runs(ensemble)
            here = {
                places[run][1]: run
                for run in request.runs
                if places[run][0].name == output.writer.name
            }
            if here:
                self._stop(request, output, here)
        elif output.job.positions:
            self._record(request, output)

    def _stop(self, request: Request, output: SteeredOutput, runs: dict[int, int]) -> None:
        """Stop runs, given as position to index."""
        left = set(output.job.positions)
        going_on = (schema.WAITING, schema.RUNNING)
        active = [p for p in runs if p in left and output.states[p] in going_on]
        reason = f"stopped by {request.by}" + (f": {request.reason}" if request.reason else "")
        with output.writing():
            steps = output.stop_runs(active, reason)
            said = []
            for step in sorted(set(steps.values())):
                at = sorted(runs[p] for p in active if steps[p] == step)
                said.append(f"{runs_text(at)} stopped at step {step}")
            ended = sorted(runs[p] for p in runs if p not in active)
            said += [f"{runs_text(ended)} had ended before"] if ended else []
            outcome = ACCEPTED if active else REFUSED
            self._acknowledge(output, request, outcome, "; ".join(said))

    def _record(self, request: Request, output: SteeredOutput) -> None:
        """Change what is recorded of a group, or say why not."""
        where = f"request {request.number}"
        try:
            wanted = self._opener.wanted(output, request.recording, where)
        except ConfigError as error:
            with output.writing():
                self._acknowledge(output, request, REFUSED, str(error))
            return
        step = output.next_step
        infos = [x.info for x in wanted.layers]
        names = list(output.job.parameters)
        order = [name.rpartition(".")[0] for name in names]
        text = f"{recording_text(request.recording)} from step {step} on"
        with output.writing():
            layers = joined_layers(output.writer.layers if step else (), infos, order)
            self._acknowledge(
                output,
                request,
                ACCEPTED,
                text,
                step=step,
                recording=dict(request.recording),
                layers=tuple(layers),
            )
            self._opener.change(output, request.recording, step, where)

    # -- requests that any process may deal with, but only one ---------------------------------

    def _answer(self, request: Request, outputs: Sequence[SteeredOutput]) -> list[SteeredOutput]:
        """Add runs, or refuse what nobody can do."""
        with exclusive(self._directory) as alone:
            ensemble = Ensemble.open(self._opener.writer.path)
            if not alone or acknowledged_by(ensemble, request.number):
                return []
            added: list[SteeredOutput] = []
            outcome, text = REFUSED, _refusal(request, ensemble)
            if request.action == "record":
                outcome, text = ACCEPTED, "every run has ended; it holds for runs that are added"
            elif request.action == "add":
                try:
                    added = self._add(request, ensemble)
                    outcome, text = ACCEPTED, _addition(request, added)
                except (ConfigError, DataError, StoreError) as error:
                    text = str(error)
            output = (added or outputs)[0]
            with output.writing():
                self._acknowledge(output, request, outcome, text)
            return added

    def _add(self, request: Request, ensemble: Ensemble) -> list[SteeredOutput]:
        config = self._opener.config
        known = {run.run_id for group in ensemble.groups for run in group.index.runs}
        specs = added_specs(config, request, known)
        self._opener.announce(added_session(config, request))
        return self._opener.add(specs)

    def _acknowledge(
        self, output: SteeredOutput, request: Request, outcome: str, text: str, **more: object
    ) -> None:
        when = round(time.time(), 3)
        output.acknowledge(Acknowledgement(request.number, outcome, text, when, **more))
        self._say(f"request {request.number} {outcome}: {text}")


def _concerns_groups(request: Request, ensemble: Ensemble) -> bool:
    """Whether each group deals with its part of a request."""
    if request.action == "stop":
        places = places_of_runs(ensemble)
        known = all(run in places for run in request.runs)
        return known and not all(has_ended(places[run][0]) for run in request.runs)
    return request.action == "record" and not all(map(has_ended, ensemble.groups))


def _refusal(request: Request, ensemble: Ensemble) -> str:
    """Return why nobody can do what a request asks."""
    if request.action == "stop":
        unknown = [run for run in request.runs if run >= ensemble.n_runs]
        if unknown:
            return f"there is no {runs_text(unknown)}; there are 0 to {ensemble.n_runs - 1}"
        return f"{runs_text(request.runs)} had ended before"
    return request.problem


def _addition(request: Request, added: Sequence[SteeredOutput]) -> str:
    n_runs = sum(len(output.states) for output in added)
    runs = "1 run" if n_runs == 1 else f"{n_runs:,} runs"
    return f"{runs} added as session {session_name(request.number)!r}"
