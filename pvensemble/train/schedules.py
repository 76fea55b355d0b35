"""Learning-rate schedules: pure functions of the settings and the step."""

from __future__ import annotations

import math

from pvensemble.train.config import RunSettings

PARAMETERS = {
    "constant": (),
    "inv": ("gamma", "power"),
    "step": ("gamma", "step_size"),
    "exp": ("gamma",),
    "poly": ("power", "end_factor"),
    "sigmoid": ("gamma", "step_size"),
    "cosine": ("end_factor",),
}
"""Settings that a schedule depends on beside the learning rate; ``poly`` and ``cosine`` depend on
the number of steps as well."""


def lr_factor(settings: RunSettings, step: int) -> float:
    """Return what the learning rate is multiplied by for the update ``step``.

    Parameters
    ----------
    settings
        ``schedule`` and its parameters; ``steps`` is the length of ``poly`` and ``cosine``.
    step
        Updates done before this one: 0 for the first, so its factor is 1.

    Notes
    -----
    With t the step, T ``steps`` and e ``end_factor``: ``constant`` 1; ``inv``
    (1 + gamma t)^-power; ``step`` gamma^floor(t / step_size); ``exp`` gamma^t; ``poly``
    e + (1 - e)(1 - t/T)^power; ``sigmoid`` 1 / (1 + exp(-gamma (t - step_size))), which falls for
    gamma < 0; ``cosine`` e + (1 - e)(1 + cos(pi t/T))/2. All but the last are Caffe's policies.
    """
    s = settings
    if s.schedule == "constant":
        return 1.0
    if s.schedule == "inv":
        return (1.0 + s.gamma * step) ** -s.power
    if s.schedule == "step":
        return s.gamma ** (step // s.step_size)
    if s.schedule == "exp":
        return s.gamma**step
    if s.schedule == "sigmoid":
        x = s.gamma * (step - s.step_size)
        return 1.0 / (1.0 + math.exp(-x)) if x > 0 else math.exp(x) / (1.0 + math.exp(x))
    left = 1.0 - min(step, s.steps) / s.steps
    shape = left**s.power if s.schedule == "poly" else 0.5 * (1.0 - math.cos(math.pi * left))
    return s.end_factor + (1.0 - s.end_factor) * shape


def reduce_steps(settings: RunSettings, n_train: int) -> tuple[int, ...]:
    """Return the steps at which a run merges filters; never the last, after which none trains.

    Parameters
    ----------
    n_train
        Training images: without ``reduce.every``, filters are merged after each epoch, and at
        least three times.
    """
    reduce, steps = settings.reduce, settings.steps
    if reduce.threshold is None:
        return ()
    epoch = max(1, n_train // settings.batch_size)
    every = reduce.every or min(epoch, max(1, steps // 4))
    start = every if reduce.start is None else reduce.start
    return tuple(range(start, steps, every))


def lr_at(settings: RunSettings, step: int) -> float:
    """Return the learning rate of the update ``step`` (0 is the first)."""
    return settings.learning_rate * lr_factor(settings, step)
