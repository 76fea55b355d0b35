"""The paper's figures, rendered by ``pvensemble render`` with scenes of their own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from reproduction.rendering import render_scene

from pvensemble.numerics.runs import format_runs
from reproduce_hamid import paper
from reproduce_hamid.findings import extremes
from reproduce_hamid.runs import Study

HERE = Path(__file__).resolve().parent
SCENES = {
    "figure-1": (HERE / "figure_1.py", "performance"),
    "figure-2": (HERE / "figure_2.py", "figure_2"),
}
"""Scene file of each figure, and the layout of it that is the picture."""


def settings(study: Study) -> dict:
    """Return what the scenes need to know of a study."""
    high, low = (format_runs(np.sort(runs)) for runs in extremes(study.p1))
    return {
        "p1_step": study.p1_step,
        "interval": list(study.interval),
        "clamps": {name: list(ends) for name, ends in study.clamps.items()},
        "high": high,
        "low": low,
        "layer": paper.SIMILARITY_LAYER,
        "step": study.similarity_step,
        "threshold": paper.THRESHOLD,
        "red": study.nearest(paper.RED),
        "cyan": study.nearest(paper.CYAN),
    }


def render(study: Study, ensemble: Path, folder: Path, pictures: Path) -> list[Path]:
    """Render the figures of a study; return the pictures, ``hamid-NAME-figure-1.png`` ….

    Raises
    ------
    ReproductionError
        When ParaView failed.
    """
    made = []
    for name, (scene, layout) in SCENES.items():
        into = folder / f"{study.data_set}-{name}"
        made.append(pictures / f"hamid-{study.data_set}-{name}.png")
        render_scene(ensemble, scene, layout, into, made[-1], HAMID_FIGURE=settings(study))
    return made
