"""The trainer: from a configuration to an ensemble on disk, whoever does the work."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pvensemble import schema
from pvensemble.errors import ConfigError, TrainingError
from pvensemble.train.config import TrainConfig
from pvensemble.train.executors import choose
from pvensemble.train.observer import Observer
from pvensemble.train.opening import Opener
from pvensemble.train.preparation import load_all_data, open_ensemble, training_engine
from pvensemble.train.progress import Progress
from pvensemble.train.search import sample_runs
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

    Raises
    ------
    ConfigError, DataError, StoreError
        Before anything is trained, unless the store fails on the way.
    """
    path = Path(path)
    specs = sample_runs(config)
    if not specs:
        raise ConfigError(f"{config.file}: the search space has no runs")
    data = load_all_data(config, specs, data_dir)
    chosen = executor(data) if executor else choose(device, workers, data)
    engine = training_engine(config, path, resume, chosen)
    writer, groups = open_ensemble(
        config, specs, path, resume, device=chosen.description, engine=engine.name
    )
    try:
        opener = Opener(config, writer, data, data_dir, engine, observer)
        outputs = [opener.open(members) for members in groups]
        steering = Steering(opener)
        training = Training(on_progress, stop, in_step=observer is not None, steering=steering)
        if observer is not None:
            observer.begin(path, [output.observed for output in outputs])
        training.run(chosen, outputs)
        if observer is not None:
            observer.end()
    finally:
        writer.finish()
    result = training.result(path)
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
