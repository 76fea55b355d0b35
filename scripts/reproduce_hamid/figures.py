"""The paper's figures, rendered by ``pvensemble render`` with scenes of their own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

from pvensemble.numerics.runs import format_runs
from reproduce_hamid import paper
from reproduce_hamid.findings import extremes
from reproduce_hamid.runs import Study
from reproduce_hamid.training import ReproductionError

HERE = Path(__file__).resolve().parent
SCENES = {
    "figure-1": (HERE / "figure_1.py", "performance"),
    "figure-2": (HERE / "figure_2.py", "figure_2"),
}
"""Scene file of each figure, and the layout of it that is the picture."""
SIZE = "1200x830"


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
    pictures.mkdir(parents=True, exist_ok=True)
    env = {**os.environ, "HAMID_FIGURE": json.dumps(settings(study))}
    made = []
    for name, (scene, layout) in SCENES.items():
        into = folder / f"{study.data_set}-{name}"
        command = [sys.executable, "-m", "pvensemble", "render", str(ensemble)]
        command += ["--scene", str(scene), "-o", str(into), "--size", SIZE]
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ReproductionError(f"rendering {name} failed:\n{done.stderr.strip()}")
        made.append(pictures / f"hamid-{study.data_set}-{name}.png")
        shutil.copyfile(into / f"{layout}.png", made[-1])
    return made
