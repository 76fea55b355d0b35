"""The observer of a training that runs pipelines: :class:`InSitu`.

Ranks that train together go through the same steps in the same order; at each step at which a
pipeline may be executed they tell the first what their groups have shown, and it decides. Pipelines
without views are executed by all ranks in their own processes, those with views by one process
beside the first rank.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

import numpy as np

from pvensemble.errors import ExpressionError
from pvensemble.insitu.backends import start
from pvensemble.insitu.caught import Caught
from pvensemble.insitu.clock import Clock
from pvensemble.insitu.drawing import Drawing, Drawn
from pvensemble.insitu.ending import ends_when
from pvensemble.insitu.feed import Feed
from pvensemble.insitu.news import News, apply
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
    backend
        The way to ParaView Catalyst, ``bridge`` or ``catalyst2``.
    clock
        Seconds; replaced by tests.
    """

    def __init__(
        self,
        pipelines: Sequence[Pipeline],
        say: Callable[[str], None],
        backend: str = "bridge",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pipelines, self._say, self._now = list(pipelines), say, clock
        self._ranks = all_ranks()
        drawn = [p for p in pipelines if p.draws]
        self._drawing = Drawing(drawn, backend) if drawn and self._ranks.rank == 0 else None
        mine = [p for p in pipelines if not p.draws]
        self._bridge = start(backend, mine) if mine else None
        self._settings: dict[str, Settings] = {}
        self._said: set[tuple[str, str]] = set()
        self._failed: set[str] = set()
        self._news = News(tensors=any(p.tensors for p in drawn))
        self._left: list[int] = []
        self._over = False

    ends_when = staticmethod(ends_when)

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
        if self._drawing:
            self._drawing.begin(path)
        every = [group for share in self._ranks.gathered(mine) for group in share]
        self._recorded = {s for _, recorded in every for s in recorded}
        self._left = sorted({s for halts, _ in every for s in halts})
        self._edges = (self._left[0], self._left[-1]) if self._left else (-1, -1)
        self._clock = Clock((g.name, next(iter(g.halts), None)) for g in groups)
        folder = path.absolute().with_suffix(".insitu")
        for p in self._pipelines:
            output = (p.output or folder / p.name).absolute()
            self._settings[p.name] = Settings(p.options, output, path, self._edges[1])
        if self._bridge:
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
        if self._news_wanted:
            self._news.set_states(group, positions, state, step, reason)

    def end(self) -> None:
        """Let the pipelines finish; a rank that ends early leaves no other waiting."""
        if not self._over:
            self._meet(leaves=True)
        if self._bridge:
            mine = [p for p in self._pipelines if not p.draws]
            said = self._bridge.end(mine, lambda p: self._settings[p.name])
            for name, found in said.items():
                self._tell(name, found, "at the end")
        if self._drawing:
            self._hear(self._drawing.end(self._settings.__getitem__))

    # -- steps ------------------------------------------------------------------------------------
    def _catch_up(self) -> None:
        """Go through the steps that all groups of this process have passed."""
        shown = dict(self._clock.take())
        while self._left and self._left[0] < self._clock.passed:
            step = self._left.pop(0)
            for name, (metrics, tensors) in shown.pop(step, ()):
                group = self._feed.named(name)
                group.add(step, metrics, tensors)
                if self._news_wanted:
                    recorded = step in group.recorded
                    self._news.add(name, step, metrics, tensors, recorded=recorded)
            self._pass(step)
        if self._drawing:
            self._hear(self._drawing.finished())

    def _pass(self, step: int) -> None:
        """Run the pipelines whose turn it is, on all ranks."""
        may = [p for p in self._pipelines if self._may(p, step)]
        if not may or self._meet():
            return
        self._feed.changed()
        columns: dict = {}
        verdicts = {p.name: self._verdict(p, step, columns) for p in may if self._ranks.rank == 0}
        verdicts = self._ranks.gathered(verdicts)[0]
        for pipeline in may:
            verdict = verdicts[pipeline.name]
            if isinstance(verdict, str):
                self._switch_off(pipeline, verdict)
            elif verdict and pipeline.draws:
                self._draw(pipeline, step)
            elif verdict:
                self._execute(pipeline, step)

    def _execute(self, pipeline: Pipeline, step: int) -> None:
        """Run a pipeline in this process, and in those of the other ranks."""
        found = self._bridge.execute(pipeline, step, self._settings[pipeline.name])
        self._tell(pipeline.name, found, f"at step {step}")
        failure = self._ranks.agreed(found.failure)
        if failure is not None:
            self._switch_off(pipeline, _failed(step, failure))

    def _draw(self, pipeline: Pipeline, step: int) -> None:
        """Let a pipeline be run by the process beside the first rank."""
        if self._drawing:
            settings = self._settings[pipeline.name]
            self._drawing.execute(pipeline, step, settings, self._news.taken())

    def _hear(self, drawn: Sequence[Drawn]) -> None:
        """Tell what the process that draws has said by now."""
        for name, step, found in drawn:
            self._tell(name, found, "at the end" if step is None else f"at step {step}")
            if step is not None and found.failure is not None and name not in self._failed:
                self._failed.add(name)
                self._say_of(name, _failed(step, found.failure))

    def _meet(self, *, leaves: bool = False) -> bool:
        """Tell the first rank the news; return whether any rank leaves: then no pipeline runs."""
        every = self._ranks.gathered(
            (leaves, self._news.taken() if self._ranks.rank else [], sorted(self._feed.own_steps()))
        )
        if self._ranks.rank == 0:
            for _, news, _ in every[1:]:
                apply(news, self._feed)
                if self._drawing:
                    self._news.extend(news)
        self._feed.read_elsewhere(s for _, _, steps in every for s in steps)
        if any(leaves for leaves, _, _ in every):
            self._over, self._left = True, []
        return self._over

    @property
    def _news_wanted(self) -> bool:
        """Whether anybody has to be told what this process has seen."""
        return self._drawing is not None or self._ranks.rank > 0

    def _may(self, pipeline: Pipeline, step: int) -> bool:
        first, last = (step == edge for edge in self._edges)
        recorded = step in self._recorded
        return pipeline.trigger.may(step, recorded=recorded, first=first, last=last)

    def _verdict(self, pipeline: Pipeline, step: int, columns: dict) -> bool | str:
        """Tell whether it is a pipeline's turn, or why it never will be; "" when that was said."""
        if pipeline.name in self._failed:
            return ""
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
            return f"is switched off: when: {error}"

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
        where = self._drawing if pipeline.draws else self._bridge
        if where:
            where.switch_off(pipeline)
        if self._ranks.rank == 0 and why:
            self._say_of(pipeline.name, why)

    def _tell(self, name: str, found: Caught, where: str) -> None:
        """Say what a pipeline has said, each message once."""
        said = list(found.messages)
        if found.failure is not None and where == "at the end":
            said.append(found.failure)
        for message in said:
            if (name, message) not in self._said:
                self._said.add((name, message))
                self._say_of(name, f"{where}: {message}")

    def _say_of(self, name: str, text: str) -> None:
        self._say(f"in situ pipeline {name!r} {text}")


def _failed(step: int, failure: str) -> str:
    return f"failed at step {step} and is switched off: {failure}"
