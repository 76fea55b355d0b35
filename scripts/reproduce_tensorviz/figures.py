"""The poster's figures, rendered by ``pvensemble render`` with a scene of their own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from reproduction.rendering import render_scene

from pvensemble.schema import WEIGHT
from pvensemble.store import Ensemble

SCENE = Path(__file__).with_name("scene.py")
SNAPSHOTS = (0, 4000, 8000)
"""Steps of figure 2."""


def render(paths: Mapping[str, Path], folder: Path, pictures: Path) -> list[Path]:
    """Render all figures; return the pictures, ``tensorviz-figure-2-0.png`` ….

    Raises
    ------
    ReproductionError
        ParaView failed.
    """
    reduction = Ensemble.open(paths["reduction"])
    table = reduction.run_table()
    thresholds = np.asarray(table["reduce_threshold"], float)
    untouched = int(np.flatnonzero(np.isnan(thresholds))[0])
    reducing = int(np.nanargmin(thresholds))
    recorded = np.array(reduction.recorded_steps)
    steps = [int(recorded[np.argmin(np.abs(recorded - step))]) for step in SNAPSHOTS]
    last = int(recorded[-1])
    plain, weights = moving_weights(paths["dynamics"])
    wanted = {
        **{
            f"figure-2-{k}": ("reduction", {"show": "boxes", "run": untouched, "step": step})
            for k, step in enumerate(steps)
        },
        "figure-3": ("dynamics", {"show": "dynamics", "run": plain, "weights": weights}),
        "figure-4": ("reduction", {"show": "activations", "run": untouched, "step": last}),
        "figure-5-first": ("reduction", {"show": "groups", "run": reducing, "step": 0}),
        "figure-5-last": ("reduction", {"show": "groups", "run": reducing, "step": last}),
    }
    made = []
    for name, (ensemble, figure) in wanted.items():
        made.append(pictures / f"tensorviz-{name}.png")
        into = folder / name
        render_scene(paths[ensemble], SCENE, "figure", into, made[-1], TENSORVIZ_FIGURE=figure)
    return made


def moving_weights(path: Path) -> tuple[int, list[int]]:
    """Return a run and the first two weights of its first filter of conv1 that is not dead."""
    ensemble = Ensemble.open(path)
    (group,) = ensemble.groups
    run = int(np.flatnonzero(np.array(ensemble.run_table()["session"]) == "plain")[0])
    steps = group.recorded_steps("conv1", WEIGHT)
    first, last = (group.filters("conv1", WEIGHT, step)[run] for step in (steps[0], steps[-1]))
    moved = np.abs(last - first).reshape(len(first), -1)
    begin = int(np.argmax(moved.min(axis=1) > 0)) * moved.shape[1]
    return run, [begin, begin + 1]
