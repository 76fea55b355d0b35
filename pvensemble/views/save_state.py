"""Runs inside pvpython: saves a scene as a ParaView state file (.pvsm) for other machines.

Paths are relative; formats of numbers are left to each ParaView, because 6.1 writes them otherwise.

Arguments: ensemble, scene file, state file.
"""

from __future__ import annotations

import sys
from pathlib import Path
from xml.etree import ElementTree as ET

from paraview import simple

from pvensemble.views.scenes import load_scene


def save_state(ensemble: str, scene: str, state: str) -> None:
    """Build a scene and save it; the ensemble is named without its folder."""
    load_scene(scene).build(ensemble)
    simple.SaveState(state)
    folder = str(Path(ensemble).absolute().parent) + "/"
    tree = ET.parse(state)
    for parent in tree.iter():
        for child in list(parent):
            if child.tag == "Property" and child.get("name", "").endswith("LabelFormat"):
                parent.remove(child)
            elif child.get("value", "").startswith(folder):
                child.set("value", child.get("value")[len(folder) :])
    tree.write(state)


if __name__ == "__main__":
    save_state(*sys.argv[1:4])
