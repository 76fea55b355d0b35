"""The trainer: from a configuration to an ensemble on disk, whoever does the work."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pvensemble import schema
from pvensemble.errors import ConfigError, TrainingError
from pvensemble.train.config import TrainConfig
from pvensemble.train.executors import choose
from pvensemble.train.observer import Observer
from pvensemble.train.plan import Task
from pvensemble.train.preparation import load_all_data
from pvensemble.train.progress import Progress
from pvensemble.train.ranks import ALONE, Ranks
from pvensemble.train.search import sample_runs
from pvensemble.train.standing import Standing
from pvensemble.train.steering import Steering
from pvensemble.train.training import Training, TrainResult


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
    observer: Observer | None = None,
    ranks: Ranks = ALONE,
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
    observer
        Sees every stop of all groups, which then advance in step.
    ranks
        The processes that train this ensemble together, all of which call this function.

    Raises
    ------
    ConfigError, DataError, StoreError
        Before anything is trained, unless the store fails on the way.
    RankError
        One of them, on another rank.
    """
    path = Path(path)
    with ranks.agreement():
        specs = sample_runs(config)
        if not specs:
            raise ConfigError(f"{config.file}: the search space has no runs")
        data = load_all_data(config, specs, data_dir)
        chosen = executor(data) if executor else choose(*ranks.place(device, workers), data)
    plan = ranks.plan(Task(config, path, specs, data, data_dir, chosen, resume, observer))
    standing = Standing(plan) if ranks.shared else None
    training = Training(
        on_progress,
        stop,
        standing if on_progress else None,
        in_step=observer is not None,
        steering=Steering(plan.opener),
        notes=ranks.rank == 0,
    )
    try:
        for note in plan.notes:
            training.say(note)
        for outputs in ranks.claims(plan, standing):
            if observer is not None:
                observer.begin(path, [output.observed for output in outputs])
            training.run(chosen, outputs)
            if observer is not None:
                observer.end()
            if training.stopped:
                break
    finally:
        chosen.close()
        plan.writer.finish()
    ranks.part(plan, training.show)
    result = training.result(path, standing)
    training.show()
    with ranks.agreement():
        if not result.interrupted and result.failures:
            _check_some_left(result)
    return result


def _check_some_left(result: TrainResult) -> None:
    """Raise when no run came to an end: then it is not the runs, but the model or the machine."""
    if set(result.states) != {schema.FAILED}:
        return
    reasons = list(dict.fromkeys(reason for _, reason in result.failures))
    which = "the run" if result.n_runs == 1 else f"all {result.n_runs} runs"
    more = f" ({len(reasons) - 1} other reasons beside)" if len(reasons) > 1 else ""
    raise TrainingError(
        f"{result.path}: {which} failed: {reasons[0]}{more}; mend it and resume, which tries "
        "them again"
    )
