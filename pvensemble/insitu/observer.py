"""The observer of a training that runs pipelines: :class:`InSitu`."""

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
        self._settings: dict[str, Settings] = {}
        self._said: set[tuple[str, str]] = set()

    # -- what the trainer asks and tells ----------------------------------------------------------
    def wishes(self, steps: int) -> tuple[Collection[int], Collection[int]]:
        """Return the steps at which to see metrics, and those for tensors."""
        seen = {s for p in self._pipelines for s in p.trigger.steps(steps)}
        tensors = {s for p in self._pipelines if p.tensors for s in p.trigger.steps(steps)}
        return seen, tensors

    def begin(self, path: Path, groups: Sequence) -> None:
        """Open what was recorded before, and wait for steps."""
        self._feed = Feed.open(path)
        for group in groups:
            self._feed.named(group.name).begin(group.recorded)
        self._recorded = {s for group in groups for s in group.recorded}
        halts = sorted({s for group in groups for s in group.halts})
        self._edges = (halts[0], halts[-1]) if halts else (-1, -1)
        self._clock = Clock((g.name, next(iter(g.halts), None)) for g in groups)
        folder = path.absolute().with_suffix(".insitu")
        for p in self._pipelines:
            output = (p.output or folder / p.name).absolute()
            self._settings[p.name] = Settings(p.options, output, path, self._edges[1])
        self._bridge.begin(self._feed)

    def stop(self, group: str, step: int, stop, following: int | None) -> None:
        """Take in what a group shows; go through the steps that all groups have passed now."""
        self._clock.put(group, step, (stop.metrics, stop.tensors), following)
        for passed, shown in self._clock.take():
            for name, (metrics, tensors) in shown:
                self._feed.named(name).add(passed, metrics, tensors)
            self._pass(passed)

    def states(
        self, group: str, positions: Sequence[int], state: str, step: int, reason: str
    ) -> None:
        """Note states of runs."""
        self._feed.named(group).set_states(positions, state, step, reason)

    def end(self) -> None:
        """Let the pipelines finish."""
        said = self._bridge.end(self._pipelines, lambda p: self._settings[p.name])
        for pipeline in self._pipelines:
            self._tell(pipeline, said[pipeline.name], "at the end")

    # -- steps ------------------------------------------------------------------------------------
    def _pass(self, step: int) -> None:
        """Run the pipelines whose turn it is."""
        due = [p for p in self._pipelines if self._may(p, step)]
        if not due:
            return
        self._feed.changed()
        columns: dict = {}
        for pipeline in due:
            if self._due(pipeline, step, columns):
                found = self._bridge.execute(pipeline, step, self._settings[pipeline.name])
                self._tell(pipeline, found, f"at step {step}")
                if found.failure is not None:
                    self._pipelines.remove(pipeline)
                    self._bridge.switch_off(pipeline)

    def _may(self, pipeline: Pipeline, step: int) -> bool:
        first, last = (step == edge for edge in self._edges)
        recorded = step in self._recorded
        return pipeline.trigger.may(step, recorded=recorded, first=first, last=last)

    def _due(self, pipeline: Pipeline, step: int, columns: dict) -> bool:
        """Tell whether it is a pipeline's turn; a condition that cannot be read switches it off."""
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
            self._say(f"in situ pipeline {pipeline.name!r} is switched off: when: {error}")
            self._pipelines.remove(pipeline)
            self._bridge.switch_off(pipeline)
            return False

    def _columns(self, step: int) -> dict[str, np.ndarray]:
        """Return the run table and the metrics' values at a step."""
        columns = dict(self._feed.run_table())
        for name in self._feed.metric_names:
            curve = self._feed.curve(name)
            columns.setdefault(name, value_at(curve.steps, curve.values, step))
        return columns

    def _tell(self, pipeline: Pipeline, found: Caught, where: str) -> None:
        """Say what a pipeline has said, each message once."""
        for message in found.messages:
            if (pipeline.name, message) not in self._said:
                self._said.add((pipeline.name, message))
                self._say(f"in situ pipeline {pipeline.name!r} {where}: {message}")
        if found.failure is not None:
            self._say(
                f"in situ pipeline {pipeline.name!r} failed {where} and is switched off: "
                f"{found.failure}"
            )
