"""The events of a training: states, reports and failures of runs, put where they belong."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pvensemble.train.executors.events import (
    Control,
    Diverged,
    Event,
    Failed,
    Glance,
    Job,
    Message,
    Report,
    RunState,
    Saved,
    SavedAll,
    Started,
)
from pvensemble.train.progress import Progress, Speed
from pvensemble.train.standing import Standing, Tally
from pvensemble.train.steered_output import SteeredOutput
from pvensemble.train.steering import Steering

log = logging.getLogger(__name__)

CHECKPOINT_SECONDS = 60.0
PROGRESS_SECONDS = 0.2


@dataclass(frozen=True)
class TrainResult:
    """How a training ended.

    Attributes
    ----------
    states
        Number of runs by state.
    interrupted
        Whether it was stopped; ``resume=True`` goes on.
    run_steps, seconds
        Done by this call.
    groups
        That this call has trained.
    skipped
        (group, step, reason) of recorded steps whose tensors the disk did not take.
    failures
        (run_id, reason) of runs that failed in this call.
    n_merged
        Filters that were merged away in this call.
    """

    path: Path
    n_runs: int
    states: dict[str, int]
    interrupted: bool
    run_steps: int
    seconds: float
    groups: tuple[str, ...] = ()
    skipped: tuple[tuple[str, int, str], ...] = ()
    failures: tuple[tuple[str, str], ...] = ()
    n_merged: int = 0


class Training:
    """Puts the events of one call of :func:`~pvensemble.train.trainer.train` where they belong.

    Parameters
    ----------
    on_progress, stop
        See there.
    in_step
        Let all groups advance together.
    standing
        Where other processes train groups of the ensemble, how far those are.
    notes
        Whether to tell what people should know of groups; one of several processes does.
    steering
        Asked about once a second whether there is something to do; None when nobody steers.
    """

    def __init__(
        self,
        on_progress: Callable[[Progress], None] | None = None,
        stop: Callable[[], bool] = lambda: False,
        standing: Standing | None = None,
        *,
        in_step: bool = False,
        steering: Steering | None = None,
        notes: bool = True,
    ) -> None:
        self._on_progress, self._stop, self._standing = on_progress, stop, standing
        self._in_step, self._steering, self._notes = in_step, steering, notes
        self._stopped = False
        self._outputs: list[SteeredOutput] = []
        self._open: dict[int, SteeredOutput] = {}
        self._control = Control(self._watch, self._recall)
        self._done_earlier = 0
        self._begin = time.monotonic()
        self._look = 0.0
        self._last_save = self._begin
        self._saving_since: float | None = None
        self._interval = CHECKPOINT_SECONDS
        self._speed = Speed()
        self._before = 0
        self._message = ""
        self._told: set[str] = set()
        self._trained: list[str] = []
        self._failures: list[tuple[str, str]] = []
        self._skipped: list[tuple[str, int, str]] = []

    @property
    def stopped(self) -> bool:
        """Whether it was asked to stop."""
        return self._stopped

    def run(self, executor, outputs: Sequence[SteeredOutput]) -> None:
        """Train what is left of some groups; what was reported is stored, whatever happens."""
        self._outputs += outputs
        self._open = {o.job.group: o for o in outputs if not o.done}
        self._trained += (o.writer.name for o in self._open.values())
        try:
            while True:
                self._prepare()
                jobs = [o.job for o in self._open.values()]
                notes = dict.fromkeys(note for job in jobs for note in job.notes)
                for note in [n for n in notes if self._notes and n not in self._told]:
                    self._told.add(note)
                    self.say(note)
                    self.show()
                self._go_on(executor, jobs)
                if self._stopped or not (self._steering and self._steering.due(now=True)):
                    break
                for output in self._open.values():
                    output.hold()
        finally:
            for output in list(self._open.values()):
                self._close(output)
        self.show()

    def _prepare(self) -> None:
        """Do what was asked of the training; close groups in which nothing is left to do."""
        for output in self._steering.apply(self._outputs, self.say) if self._steering else ():
            self._outputs.append(output)
            self._open[output.job.group] = output
            self._trained.append(output.writer.name)
        for output in list(self._open.values()):
            if not output.job.positions:  # or a killed trainer left nothing but the last commits
                output.start(())
                self._close(output)
        self._done_earlier += self._control.done
        self._control = Control(self._watch, self._recall)
        self._control.in_step = self._in_step
        self._before = sum(o.done_steps for o in self._outputs) - self._done_earlier

    def _go_on(self, executor, jobs: Sequence[Job]) -> None:
        """Run the executor until it is done or stopped."""
        self._last_save, self._saving_since = time.monotonic(), None
        events = executor.run(jobs, self._control)
        try:
            for event in events:
                self._watch(self._control)
                self._handle(event)
        finally:
            events.close()

    def _handle(self, event: Event) -> None:
        if isinstance(event, Message):
            self.say(event.text)
        elif isinstance(event, SavedAll):
            self._checkpoint()
        elif getattr(event, "group", None) in self._open:
            output = self._open[event.group]
            if isinstance(event, Started):
                output.start(event.positions)
            elif isinstance(event, Diverged):
                output.diverge(event)
                run = output.writer.runs[event.position]
                self.say(f"run {run.run_id} diverged: {event.reason}")
            elif isinstance(event, Failed):
                output.fail(event)
                run = output.writer.runs[event.position]
                self._failures.append((run.run_id, event.reason))
                self.say(f"run {run.run_id} failed: {event.reason}")
                if output.done:
                    self._close(output)
            elif isinstance(event, Saved):
                output.save(event)
            elif isinstance(event, Glance):
                output.glance(event)
            elif isinstance(event, Report):
                output.report(event)
                output.flush_metrics()
                if output.done:
                    self._close(output)

    def _close(self, output: SteeredOutput) -> None:
        del self._open[output.job.group]
        try:
            output.close()
        finally:
            for step, reason in output.skipped:
                self._skipped.append((output.writer.name, step, reason))
                self.say(f"group {output.writer.name}: step {step} was not recorded: {reason}")

    def _checkpoint(self) -> None:
        begin = time.monotonic()
        for output in self._open.values():
            output.write_checkpoint()
        now = time.monotonic()
        # However large the states are, keeping them takes no more than 2 % of the time.
        spent = now - (self._saving_since or begin)
        self._interval = max(CHECKPOINT_SECONDS, 50 * spent)
        self._last_save, self._saving_since = now, None

    def _watch(self, control: Control) -> None:
        """Ask for a stop or a checkpoint when it is time; show progress."""
        now = time.monotonic()
        if now - self._look < PROGRESS_SECONDS:
            return
        self._look = now
        if not self._stopped and self._stop():
            self._stopped = control.stop = True
            self.say("stopping: keeping the state of every run")
        if self._steering and self._steering.due():
            control.stop = True
        if now - self._last_save > self._interval and self._saving_since is None:
            control.save += 1
            self._saving_since = now
        self.show()

    def _recall(self, group: int) -> dict[int, RunState]:
        return self._open[group].recall() if group in self._open else {}

    def say(self, text: str) -> None:
        """Tell people something."""
        log.info("%s", text)
        self._message = text

    def show(self) -> None:
        """Show the progress of the whole ensemble, as far as it is known."""
        if self._on_progress is None:
            return
        others = self._others()
        done = others.done + self._before + self._run_steps
        own = sum(len(o.states) * (o.job.schedule.steps + 1) for o in self._outputs)
        total = others.total + own
        speed = self._speed.update(done)
        self._on_progress(
            Progress(
                step=min(done, total),
                total=total,
                run_steps_per_second=speed,
                remaining=(total - done) / speed if speed > 0 else None,
                states=dict(others.states + self._states()),
                bytes_written=sum(o.bytes_written for o in self._outputs),
                message=self._message,
            )
        )

    @property
    def _run_steps(self) -> int:
        return self._done_earlier + self._control.done

    def _states(self) -> Counter:
        return Counter(state for o in self._outputs for state in o.own_states)

    def _others(self) -> Tally:
        if self._standing is None:
            return Tally()
        return self._standing.tally(without={o.writer.name for o in self._outputs})

    def result(self, path: Path, standing: Standing | None = None) -> TrainResult:
        """Return how it ended; the states are those of all runs of the ensemble.

        Parameters
        ----------
        standing
            What other processes did, or have taken over.
        """
        if standing is None:
            states, complete = self._states(), all(o.done for o in self._outputs)
        else:
            standing.refresh()
            states, complete = standing.tally().states, not standing.left()
        return TrainResult(
            path=path,
            n_runs=sum(states.values()),
            states=dict(states),
            interrupted=self._stopped and not complete,
            run_steps=self._run_steps,
            seconds=time.monotonic() - self._begin,
            groups=tuple(self._trained),
            skipped=tuple(self._skipped),
            failures=tuple(self._failures),
            n_merged=sum(o.n_merged for o in self._outputs),
        )
