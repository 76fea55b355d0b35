"""How far an ensemble is that several processes train, looked up in the store."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field

from pvensemble import schema
from pvensemble.store import Ensemble
from pvensemble.store.group_index import TERMINAL, GroupIndex
from pvensemble.train.cost import cost
from pvensemble.train.plan import Plan
from pvensemble.train.preparation import Members

LOOK_SECONDS = 5.0
SHARE = 0.005
"""Share of the time that looking may take."""


@dataclass(frozen=True)
class Tally:
    """Run-steps done and in all, and number of runs by state."""

    done: int = 0
    total: int = 0
    states: Counter = field(default_factory=Counter)


class Standing:
    """How far the groups of a plan are, as the store says; new groups are taken into the plan."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._ensemble = Ensemble.open(plan.writer.path)
        self._seconds = self._ensemble.provenance.get("seconds_per_step", {})
        self._due = 0.0

    def refresh(self) -> None:
        """Look again."""
        begin = time.monotonic()
        self._ensemble.refresh()
        self._plan.update(self._ensemble)
        self._indices = {g.name: g.index for g in self._ensemble.groups}
        now = time.monotonic()
        self._due = now + max(LOOK_SECONDS, (now - begin) / SHARE)

    def left(self) -> list[Members]:
        """Return the groups that are not complete, in order of falling cost of what is left."""
        open_groups = [group for group in self._plan.groups if not self._complete(group)]
        return sorted(open_groups, key=lambda group: -self.cost(group))

    def cost(self, group: Members) -> float:
        """Return the cost of what is left of a group."""
        share = self._steps_left(group) / (_steps(group) + 1)
        return share * cost(group.specs, self._seconds)

    def tally(self, without: Collection[str] = ()) -> Tally:
        """Return what is known of groups, but those named; looks again at times."""
        if time.monotonic() > self._due:
            self.refresh()
        done = total = 0
        states: Counter = Counter()
        for group in self._plan.groups:
            if group.name not in without:
                total += len(group.specs) * (_steps(group) + 1)
                done += len(group.specs) * (_steps(group) + 1 - self._steps_left(group))
                now = self._index(group).states
                states.update(s.state for p, s in enumerate(now) if p not in group.replaced)
        return Tally(done, total, states)

    def _index(self, group: Members) -> GroupIndex:
        return self._indices[group.name]

    def _complete(self, group: Members) -> bool:
        """Tell whether all is stored; a last commit may come after the states of runs."""
        ended = all(s.state in TERMINAL for s in self._index(group).states)
        return ended and self._steps_left(group) == 0

    def _steps_left(self, group: Members) -> int:
        """Return how many steps of a group are not stored."""
        return _steps(group) - self._index(group).metric_steps.get(schema.TRAIN_LOSS, -1)


def _steps(group: Members) -> int:
    return group.specs[0].settings.steps
