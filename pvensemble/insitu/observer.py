"""The observer of a training that runs pipelines: :class:`InSitu`.

Ranks that train together go through the same steps in the same order; at each step at which a
pipeline may be executed they tell the first what their groups have shown, and it decides.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

import numpy as np

from pvensemble.errors import ExpressionError
from pvensemble.insitu.bridge import Bridge
from pvensemble.insitu.catching import Caught
from pvensemble.insitu.clock import Clock
from pvensemble.insitu.feed import Feed
from pvensemble.insitu.pipeline import Pipeline
from pvensemble.insitu.ranks import all_ranks
from pvensemble.insitu.settings import Settings
from pvensemble.numerics.measures import value_at


class InSitu:
    """Runs pipelines while a training goes on; see :class:`pvensemble.train.observer.Observer`.

    Parameters
    ----------
    pipelines
        What to run.
    say
        Gets lines for people.
    clock
        Seconds; replaced by tests.
    """

    def __init__(
        self,
        pipelines: Sequence[Pipeline],
        say: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pipelines, self._say, self._now = list(pipelines), say, clock
        self._bridge = Bridge(self._pipelines)
        self._ranks = all_ranks()
        self._settings: dict[str, Settings] = {}
        self._said: set[tuple[str, str]] = set()
        self._news: list[tuple] = []
        self._left: list[int] = []
        self._over = False

    # -- what the trainer asks and tells ----------------------------------------------------------
    def wishes(self, steps: int) -> tuple[Collection[int], Collection[int]]:
        """Return the steps at which to see metrics, and those for tensors."""
        seen = {s for p in self._pipelines for s in p.trigger.steps(steps)}
        tensors = {s for p in self._pipelines if p.tensors for s in p.trigger.steps(steps)}
        return seen, tensors

    def begin(self, path: Path, groups: Sequence) -> None:
        """Open what was recorded before, and wait for steps."""
        self._feed = Feed.open(path)
        self._feed.distributed = self._ranks.size > 1
        for group in groups:
            self._feed.named(group.name).begin(group.recorded)
        mine = [(group.halts, sorted(group.recorded)) for group in groups]
        every = [group for share in self._ranks.gathered(mine) for group in share]
        self._recorded = {s for _, recorded in every for s in recorded}
        self._left = sorted({s for halts, _ in every for s in halts})
        self._edges = (self._left[0], self._left[-1]) if self._left else (-1, -1)
        self._clock = Clock((g.name, next(iter(g.halts), None)) for g in groups)
        folder = path.absolute().with_suffix(".insitu")
        for p in self._pipelines:
            output = (p.output or folder / p.name).absolute()
            self._settings[p.name] = Settings(p.options, output, path, self._edges[1])
        self._bridge.begin(self._feed)
        self._catch_up()

    def stop(self, group: str, step: int, stop, following: int | None) -> None:
        """Take in what a group shows; go through the steps that all groups have passed now."""
        self._clock.put(group, step, (stop.metrics, stop.tensors), following)
        self._catch_up()

    def states(
        self, group: str, positions: Sequence[int], state: str, step: int, reason: str
    ) -> None:
        """Note states of runs."""
        self._feed.named(group).set_states(positions, state, step, reason)
        self._tell_first("set_states", group, list(positions), state, step, reason)

    def end(self) -> None:
        """Let the pipelines finish; a rank that ends early leaves no other waiting."""
        if not self._over:
            self._meet(leaves=True)
        said = self._bridge.end(self._pipelines, lambda p: self._settings[p.name])
        for pipeline in self._pipelines:
            self._tell(pipeline, said[pipeline.name], "at the end")

    # -- steps ------------------------------------------------------------------------------------
    def _catch_up(self) -> None:
        """Go through the steps that all groups of this process have passed."""
        shown = dict(self._clock.take())
        while self._left and self._left[0] < self._clock.passed:
            step = self._left.pop(0)
            for name, (metrics, tensors) in shown.pop(step, ()):
                self._feed.named(name).add(step, metrics, tensors)
                self._tell_first("add", name, step, metrics, {})
            self._pass(step)

    def _pass(self, step: int) -> None:
        """Run the pipelines whose turn it is, on all ranks."""
        may = [p for p in self._pipelines if self._may(p, step)]
        if not may or self._meet():
            return
        self._feed.changed()
        columns: dict = {}
        verdicts = {p.name: self._due(p, step, columns) for p in may if self._ranks.rank == 0}
        verdicts = self._ranks.gathered(verdicts)[0]
        for pipeline in may:
            verdict = verdicts[pipeline.name]
            if isinstance(verdict, str):
                self._switch_off(pipeline, f"is switched off: when: {verdict}")
            elif verdict:
                found = self._bridge.execute(pipeline, step, self._settings[pipeline.name])
                self._tell(pipeline, found, f"at step {step}")
                failure = self._ranks.agreed(found.failure)
                if failure is not None:
                    self._switch_off(
                        pipeline, f"failed at step {step} and is switched off: {failure}"
                    )

    def _meet(self, *, leaves: bool = False) -> bool:
        """Tell the first rank the news; return whether any rank leaves: then no pipeline runs."""
        every = self._ranks.gathered((leaves, self._news, sorted(self._feed.own_steps())))
        self._news = []
        if self._ranks.rank == 0:
            for method, group, *arguments in (item for _, news, _ in every[1:] for item in news):
                getattr(self._feed.named(group), method)(*arguments)
        self._feed.read_elsewhere(s for _, _, steps in every for s in steps)
        if any(leaves for leaves, _, _ in every):
            self._over, self._left = True, []
        return self._over

    def _tell_first(self, method: str, group: str, *arguments: object) -> None:
        """Keep a change of a group for the first rank, until all meet."""
        if self._ranks.rank > 0:
            self._news.append((method, group, *arguments))

    def _may(self, pipeline: Pipeline, step: int) -> bool:
        first, last = (step == edge for edge in self._edges)
        recorded = step in self._recorded
        return pipeline.trigger.may(step, recorded=recorded, first=first, last=last)

    def _due(self, pipeline: Pipeline, step: int, columns: dict) -> bool | str:
        """Tell whether it is a pipeline's turn, or why its condition cannot be read."""
        trigger = pipeline.trigger
        edge = (step == self._edges[0] and trigger.first) or (
            step == self._edges[1] and trigger.last
        )

        def table() -> Mapping[str, np.ndarray]:
            if not columns:
                columns.update(self._columns(step))
            return columns

        try:
            return trigger.due(self._now(), table, edge=edge)
        except ExpressionError as error:
            return str(error)

    def _columns(self, step: int) -> dict[str, np.ndarray]:
        """Return the run table and the metrics' values at a step."""
        columns = dict(self._feed.run_table())
        for name in self._feed.metric_names:
            curve = self._feed.curve(name)
            columns.setdefault(name, value_at(curve.steps, curve.values, step))
        return columns

    # -- messages ---------------------------------------------------------------------------------
    def _switch_off(self, pipeline: Pipeline, why: str) -> None:
        """Never run a pipeline again; the first rank says why."""
        self._pipelines.remove(pipeline)
        self._bridge.switch_off(pipeline)
        if self._ranks.rank == 0:
            self._say(f"in situ pipeline {pipeline.name!r} {why}")

    def _tell(self, pipeline: Pipeline, found: Caught, where: str) -> None:
        """Say what a pipeline has said, each message once."""
        said = list(found.messages)
        if found.failure is not None and where == "at the end":
            said.append(found.failure)
        for message in said:
            if (pipeline.name, message) not in self._said:
                self._said.add((pipeline.name, message))
                self._say(f"in situ pipeline {pipeline.name!r} {where}: {message}")
