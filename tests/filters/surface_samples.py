"""An ensemble with loss surfaces of known form: paraboloids, with paths upon them."""

from __future__ import annotations

import numpy as np
from ensembles import make_ensemble

from pvensemble.filters.reader import EnsembleReader
from pvensemble.store import Ensemble, LossSurface
from pvensemble.store.surfaces import write_surface

STEPS = np.array([0, 50, 100])


def bowl(x, y):
    """The loss of the samples: 0.01 in the middle, 5.01 in the corners at 1."""
    return 0.01 + 2.5 * (np.asarray(x) ** 2 + np.asarray(y) ** 2)


def make_surface(path, name="bowl", runs=(1,), *, n_x=9, n_y=7, with_path=True, **meta):
    """Return a surface of runs of an ensemble: x from -1 to 1, y from -0.8 to 0.8."""
    ids = Ensemble.open(path).run_table()["run_id"]
    x, y = np.linspace(-1, 1, n_x), np.linspace(-0.8, 0.8, n_y)
    loss = bowl(x, y[:, None])
    at = np.array([[0.0, 0.0], [0.5, 0.0], [0.0, 0.5]])[: len(runs)]
    steps = STEPS if with_path else STEPS[:0]
    way = np.outer((100 - steps) / 100, (0.9, 0.7))
    places = np.concatenate([p + way * (0.5, 0.4) for p in at])
    values = bowl(*places.T)
    kinds = {1: "random", 3: "runs"}
    about = {
        "runs": [str(ids[r]) for r in runs],
        "steps": [100] * len(runs),
        "directions": kinds[len(runs)],
        "images": 1000,
        "split": "validation",
        "complete": True,
        **meta,
    }
    return LossSurface(
        name,
        about,
        x=x,
        y=y,
        loss=loss,
        accuracy=1 - loss / 10,
        run_x=at[:, 0],
        run_y=at[:, 1],
        run_loss=bowl(*at.T),
        run_accuracy=1 - bowl(*at.T) / 10,
        path_run=np.repeat(np.arange(len(runs)), len(steps)),
        path_step=np.tile(steps, len(runs)),
        path_x=places[:, 0],
        path_y=places[:, 1],
        path_distance=np.linspace(3, 0, len(places)),
        path_loss=values + 0.5,
        path_accuracy=values / 10,
    )


def with_surfaces(path, **options):
    """Write an ensemble of 9 runs and two surfaces; return its path."""
    make_ensemble(path, n_lr=3, n_momentum=3, **options)
    write_surface(path, make_surface(path), 1.0)
    write_surface(path, make_surface(path, "three", (1, 4, 7)), 2.0)
    return path


def reader_of(path) -> EnsembleReader:
    reader = EnsembleReader()
    reader.SetFileName(str(path))
    return reader
