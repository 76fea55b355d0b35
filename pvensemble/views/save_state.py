"""Runs inside pvpython: saves a scene as a ParaView state file (.pvsm) with relative paths.

Arguments: ensemble, scene file, state file.
"""

from __future__ import annotations

import sys
from pathlib import Path

from paraview import simple

from pvensemble.views.scenes import load_scene


def save_state(ensemble: str, scene: str, state: str) -> None:
    """Build a scene and save it; the ensemble is named without its folder."""
    load_scene(scene).build(ensemble)
    simple.SaveState(state)
    file = Path(state)
    folder = str(Path(ensemble).absolute().parent) + "/"
    file.write_text(file.read_text().replace(folder, ""))


if __name__ == "__main__":
    save_state(*sys.argv[1:4])
