"""The trainer: from a configuration to an ensemble on disk, whoever does the work."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pvensemble.errors import ConfigError, DataError
from pvensemble.store import Ensemble, EnsembleWriter, LayerInfo, RunInfo
from pvensemble.train.config import TrainConfig
from pvensemble.train.data import load_data
from pvensemble.train.executors import choose
from pvensemble.train.executors.events import (
    Control,
    Diverged,
    Event,
    Job,
    Message,
    Report,
    Saved,
    SavedAll,
    Started,
)
from pvensemble.train.group_output import GroupOutput
from pvensemble.train.models import build_model
from pvensemble.train.progress import Progress, Speed
from pvensemble.train.provenance import (
    check_same,
    hyper_parameters,
    provenance,
    session_infos,
)
from pvensemble.train.recording import recorded_layers, schedule_of
from pvensemble.train.search import RunSpec, group_runs, sample_runs

log = logging.getLogger(__name__)

GROUP_SIZE = 1024
"""Runs in one group at most: its stacks are handled as wholes."""
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
    skipped
        (group, step, reason) of recorded steps whose tensors the disk did not take.
    """

    path: Path
    n_runs: int
    states: dict[str, int]
    interrupted: bool
    run_steps: int
    seconds: float
    skipped: tuple[tuple[str, int, str], ...] = ()


def train(
    config: TrainConfig,
    path: str | Path,
    *,
    data_dir: str | Path | None = None,
    device: str = "cpu",
    workers: int | None = None,
    resume: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
    executor: Callable | None = None,
) -> TrainResult:
    """Train all runs of a configuration and record them.

    Parameters
    ----------
    path
        ``X.pvens``. It must not exist, unless ``resume`` is set; then complete groups are left
        alone and the others go on from their checkpoints. With nothing there, ``resume`` begins.
    data_dir
        Where data sets lie, before ``data.dir``.
    device, workers
        See :func:`pvensemble.train.executors.choose`.
    on_progress
        Called at most a few times a second, and at the end.
    stop
        Asked often; once it says True, states are saved and the training ends early.
    executor
        Called with the data sets instead of :func:`~pvensemble.train.executors.choose`.

    Raises
    ------
    ConfigError, DataError, StoreError
        Before anything is trained, unless the store fails on the way.
    """
    path = Path(path)
    specs = sample_runs(config)
    if not specs:
        raise ConfigError(f"{config.file}: the search space has no runs")
    data = _load_data(config, specs, data_dir)
    chosen = executor(data) if executor else choose(device, workers, data)
    writer, groups = _open_ensemble(config, specs, path, resume, chosen.description)
    outputs: list[GroupOutput] = []
    try:
        for number, (members, name) in enumerate(groups):
            job = _job(config, members, number, data)
            outputs.append(GroupOutput(job, _open_group(writer, job, members, name)))
        training = _Training(outputs, on_progress, stop)
        training.run(chosen)
    finally:
        writer.finish()
    return training.result(path)


class _Training:
    """The events of one call of :func:`train`, put where they belong."""

    def __init__(
        self,
        outputs: Sequence[GroupOutput],
        on_progress: Callable[[Progress], None] | None,
        stop: Callable[[], bool],
    ) -> None:
        self._outputs, self._on_progress, self._stop = outputs, on_progress, stop
        self._open = {o.job.group: o for o in outputs if not o.done}
        self._control = Control(self._watch)
        self._begin = time.monotonic()
        self._look = 0.0
        self._last_save = self._begin
        self._saving_since: float | None = None
        self._interval = CHECKPOINT_SECONDS
        self._speed = Speed()
        self._before = sum(o.done_steps for o in outputs)
        self._message = ""
        self._skipped: list[tuple[str, int, str]] = []

    def run(self, executor) -> None:
        """Train what is left; what was reported is stored, whatever happens."""
        for output in [o for o in self._outputs if o.done]:
            output.close()
        jobs = [o.job for o in self._open.values()]
        events = executor.run(jobs, self._control)
        try:
            for event in events:
                self._watch(self._control)
                self._handle(event)
        finally:
            events.close()
            for output in list(self._open.values()):
                self._close(output)
        self._show()

    def _handle(self, event: Event) -> None:
        if isinstance(event, Message):
            self._say(event.text)
        elif isinstance(event, SavedAll):
            self._checkpoint()
        elif getattr(event, "group", None) in self._open:
            output = self._open[event.group]
            if isinstance(event, Started):
                output.start(event.positions)
            elif isinstance(event, Diverged):
                output.diverge(event)
                run = output.writer.runs[event.position]
                self._say(f"run {run.run_id} diverged: {event.reason}")
            elif isinstance(event, Saved):
                output.save(event)
            elif isinstance(event, Report):
                output.report(event)
                output.flush_metrics()
                if output.done:
                    self._close(output)

    def _close(self, output: GroupOutput) -> None:
        del self._open[output.job.group]
        try:
            output.close()
        finally:
            for step, reason in output.skipped:
                self._skipped.append((output.writer.name, step, reason))
                self._say(f"group {output.writer.name}: step {step} was not recorded: {reason}")

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
        if not control.stop and self._stop():
            control.stop = True
            self._say("stopping: keeping the state of every run")
        if now - self._last_save > self._interval and self._saving_since is None:
            control.save += 1
            self._saving_since = now
        self._show()

    def _say(self, text: str) -> None:
        log.info("%s", text)
        self._message = text

    def _show(self) -> None:
        if self._on_progress is None:
            return
        done = self._before + self._control.done
        total = sum(len(o.states) * (o.job.schedule.steps + 1) for o in self._outputs)
        speed = self._speed.update(done)
        self._on_progress(
            Progress(
                step=min(done, total),
                total=total,
                run_steps_per_second=speed,
                remaining=(total - done) / speed if speed > 0 else None,
                states=self._states(),
                bytes_written=sum(o.bytes_written for o in self._outputs),
                message=self._message,
            )
        )

    def _states(self) -> dict[str, int]:
        return dict(Counter(state for o in self._outputs for state in o.states))

    def result(self, path: Path) -> TrainResult:
        """Return how it ended."""
        return TrainResult(
            path=path,
            n_runs=sum(len(o.states) for o in self._outputs),
            states=self._states(),
            interrupted=self._control.stop and not all(o.done for o in self._outputs),
            run_steps=self._control.done,
            seconds=time.monotonic() - self._begin,
            skipped=tuple(self._skipped),
        )


# -- before training -------------------------------------------------------------------------------


def _load_data(config: TrainConfig, specs: Sequence[RunSpec], data_dir: str | Path | None) -> dict:
    """Load every data set that a run uses, and check that the configuration fits it."""
    data = {}
    for settings in (s.settings for s in specs):
        if settings.data not in data:
            data[settings.data] = load_data(settings.data, data_dir)
            data[settings.data].probe(config.record.probe)
        n_train = len(data[settings.data].train)
        if settings.batch_size > n_train:
            raise DataError(
                f"train.batch_size: got {settings.batch_size}, allowed: at most the {n_train} "
                f"training images of {data[settings.data].name}"
            )
    return data


def _open_ensemble(
    config: TrainConfig, specs: Sequence[RunSpec], path: Path, resume: bool, device: str
) -> tuple[EnsembleWriter, list[tuple[list[RunSpec], str | None]]]:
    """Create or re-open the ensemble; return it and its groups with their names, None if new."""
    if not (resume and path.exists()):
        writer = EnsembleWriter.create(
            path,
            name=config.name,
            sessions=session_infos(config),
            hyper_parameters=hyper_parameters(config),
            provenance=provenance(config, device),
        )
        return writer, [(members, None) for members in group_runs(specs, GROUP_SIZE)]
    writer = EnsembleWriter.open(path)
    check_same(writer.manifest.provenance, config, path)
    left = {s.run_id: s for s in specs}
    groups: list[tuple[list[RunSpec], str | None]] = []
    for group in Ensemble.open(path).groups:
        if all(run.run_id in left for run in group.runs):
            groups.append(([left.pop(run.run_id) for run in group.runs], group.name))
    groups += [(members, None) for members in group_runs(list(left.values()), GROUP_SIZE)]
    return writer, groups


def _open_group(writer: EnsembleWriter, job: Job, members: Sequence[RunSpec], name: str | None):
    if name is not None:
        return writer.open_group(name)
    runs = [RunInfo(s.run_id, s.params, s.settings.seed, s.session, s.run_index) for s in members]
    layers = [LayerInfo(x.name, x.type, x.shape, x.kinds) for x in job.layers]
    return writer.create_group(runs, layers)


def _job(config: TrainConfig, members: Sequence[RunSpec], number: int, data: dict) -> Job:
    settings = members[0].settings
    model = build_model(
        settings.model,
        input_shape=data[settings.data].input_shape,
        n_classes=data[settings.data].n_classes,
        seed=settings.seed,
    )
    return Job(
        group=number,
        data=settings.data,
        settings=tuple(s.settings for s in members),
        schedule=schedule_of(config, settings.steps),
        layers=recorded_layers(model, config.record),
        positions=tuple(range(len(members))),
        dtype=config.record.dtype,
        probe=config.record.probe,
        evaluate_size=config.evaluate.size,
    )
