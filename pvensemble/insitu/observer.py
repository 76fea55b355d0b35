"""The observer of a training that runs pipelines: :class:`InSitu`.

Ranks that train together go through the same steps in the same order; at each step at which a
pipeline may be executed they tell the first what their groups have shown, and it decides. Pipelines
without views are executed by all ranks in their own processes, those with views by one process
beside the first rank. What steering has changed meanwhile all learn there as well.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from pvensemble.errors import ExpressionError
from pvensemble.insitu.agenda import Agenda, Halts
from pvensemble.insitu.catalyst.backends import start
from pvensemble.insitu.caught import Caught
from pvensemble.insitu.clock import Clock
from pvensemble.insitu.drawing.drawing import Drawing, Drawn
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
        self._said: set[tuple[str, str]] = set()
        self._failed: set[str] = set()
        self._news = News(tensors=any(p.tensors for p in drawn))
        self._changes: list[Halts] = []
        self._agenda = Agenda()
        self._clock: Clock = Clock(())
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
        self._path, self._feed = path, Feed.open(path)
        self._feed.distributed = self._ranks.size > 1
        for group in groups:
            self._note(group)
        if self._drawing:
            self._drawing.begin(path)
        every = self._ranks.gathered(self._changes)
        self._agenda.take_in(group for of_rank in every for group in of_rank)
        self._changes = []
        if self._bridge:
            self._bridge.begin(self._feed)
        self._catch_up()

    def changed(self, group) -> None:
        """Take in a group that is new or recorded otherwise; other ranks learn it as all meet."""
        self._note(group)
        if self._ranks.size == 1:
            self._agree([self._changes], reopen=True)

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
            early = self._clock.passed < float("inf") or bool(self._agenda.left)
            self._meet(leaves=early, reopen=True)
            self._catch_up()
        if self._bridge:
            mine = [p for p in self._pipelines if not p.draws]
            said = self._bridge.end(mine, self._settings)
            for name, found in said.items():
                self._tell(name, found, "at the end")
        if self._drawing:
            named = {p.name: p for p in self._pipelines}
            self._hear(self._drawing.end(lambda name: self._settings(named[name])))

    # -- steps ------------------------------------------------------------------------------------
    def _catch_up(self) -> None:
        """Go through the steps that all groups of this process have passed."""
        shown = dict(self._clock.take())
        while (step := self._next(shown)) is not None:
            for name, (metrics, tensors) in shown.pop(step, ()):
                group = self._feed.named(name)
                group.add(step, metrics, tensors)
                if self._news_wanted:
                    recorded = step in group.recorded
                    self._news.add(name, step, metrics, tensors, recorded=recorded)
            if self._agenda.reach(step):
                self._pass(step)
        if self._drawing:
            self._hear(self._drawing.finished())

    def _next(self, shown: Collection[int]) -> int | None:
        """Return the next step that groups have shown, or that all ranks go through."""
        common = [step for step in self._agenda.left[:1] if step < self._clock.passed]
        return min([*shown, *common], default=None)

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
        found = self._bridge.execute(pipeline, step, self._settings(pipeline))
        self._tell(pipeline.name, found, f"at step {step}")
        failure = self._ranks.agreed(found.failure)
        if failure is not None:
            self._switch_off(pipeline, _failed(step, failure))

    def _draw(self, pipeline: Pipeline, step: int) -> None:
        """Let a pipeline be run by the process beside the first rank."""
        if self._drawing:
            settings = self._settings(pipeline)
            self._drawing.execute(pipeline, step, settings, self._news.taken())

    def _hear(self, drawn: Sequence[Drawn]) -> None:
        """Tell what the process that draws has said by now."""
        for name, step, found in drawn:
            self._tell(name, found, "at the end" if step is None else f"at step {step}")
            if step is not None and found.failure is not None and name not in self._failed:
                self._failed.add(name)
                self._say_of(name, _failed(step, found.failure))

    def _meet(self, *, leaves: bool = False, reopen: bool = False) -> bool:
        """Tell the first rank the news, and all what has changed.

        Returns
        -------
        bool
            Whether any rank leaves: then no pipeline runs.
        """
        news = self._news.taken() if self._ranks.rank else []
        mine = leaves, self._changes, news, sorted(self._feed.own_steps())
        leaving, changes, told, steps = zip(*self._ranks.gathered(mine))
        self._agree(changes, reopen=reopen)
        if self._ranks.rank == 0:
            for news in told[1:]:
                apply(news, self._feed)
                if self._drawing:
                    self._news.extend(news)
        self._feed.read_elsewhere(step for own in steps for step in own)
        if any(leaving):
            self._over = True
            self._agenda.close()
        return self._over

    def _note(self, group) -> None:
        """Note what a group of this process will show, until all ranks agree on it."""
        self._feed.named(group.name).begin(group.recorded)
        self._clock.expect(group.name, next(iter(group.halts), None))
        self._changes.append((group.name, group.halts, sorted(group.recorded)))

    def _agree(self, changes: Iterable[Sequence[Halts]], *, reopen: bool = False) -> None:
        """Go on with what the groups of all ranks will show."""
        told = [group for of_rank in changes for group in of_rank]
        self._changes = []
        self._agenda.take_in(told, reopen=reopen)
        for name, *_ in told:
            self._feed.named(name).look()

    @property
    def _news_wanted(self) -> bool:
        """Whether anybody has to be told what this process has seen."""
        return self._drawing is not None or self._ranks.rank > 0

    def _may(self, pipeline: Pipeline, step: int) -> bool:
        return pipeline.trigger.may(
            step,
            recorded=step in self._agenda.recorded,
            first=step == self._agenda.first,
            last=step == self._agenda.last,
        )

    def _verdict(self, pipeline: Pipeline, step: int, columns: dict) -> bool | str:
        """Tell whether it is a pipeline's turn, or why it never will be; "" when that was said."""
        if pipeline.name in self._failed:
            return ""
        trigger = pipeline.trigger
        edge = (step == self._agenda.first and trigger.first) or (
            step == self._agenda.last and trigger.last
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

    def _settings(self, pipeline: Pipeline) -> Settings:
        """Return what a pipeline's script is told."""
        usual = self._path.absolute().with_suffix(".insitu") / pipeline.name
        output = (pipeline.output or usual).absolute()
        return Settings(pipeline.options, output, self._path, self._agenda.last)

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
