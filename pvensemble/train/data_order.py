"""The order in which a run sees its training images, without any state to carry.

Epoch e of seed s is the permutation of a Philox generator keyed by (s, e), so the batch of any
step is known at once: a run that resumes, or trains in another group, sees the same batches.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from pvensemble.errors import ConfigError


def batch_indices(seed: int, n: int, batch_size: int, step: int) -> np.ndarray:
    """Return the training images of one step.

    Parameters
    ----------
    seed
        Seed of the run's data order.
    n
        Number of training images.
    batch_size
        Images per step; at most ``n``.
    step
        Updates done before this one: 0 for the first.

    Returns
    -------
    ndarray, shape (batch_size,), int64
        No image twice. An epoch is ``n // batch_size`` steps; the rest of its permutation, less
        than a batch, is left out and comes in other epochs.
    """
    per_epoch = n // batch_size
    if per_epoch == 0:
        raise ConfigError(f"train.batch_size: got {batch_size}, allowed: at most the {n} images")
    epoch, place = divmod(step, per_epoch)
    return _permutation(seed, n, epoch)[place * batch_size : (place + 1) * batch_size]


@lru_cache(maxsize=8)
def _permutation(seed: int, n: int, epoch: int) -> np.ndarray:
    """Return the permutation of one epoch; read-only."""
    key = np.array([seed, epoch], dtype=np.uint64)
    order = np.random.Generator(np.random.Philox(key=key)).permutation(n)
    order.flags.writeable = False
    return order
