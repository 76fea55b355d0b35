"""Pictures of a scene, without a window: every view, every layout, frames over the training.

``pvensemble render`` runs this file in ParaView's Python; what to do stands in the environment
variable ``PVENSEMBLE_PICTURES`` as JSON.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from paraview import simple

from pvensemble.views import pipeline
from pvensemble.views.scenes import Scene, load_scene

NO_PICTURE = ("SpreadSheetView",)
"""Views that ParaView cannot draw without a window; they become tables."""


def save_all(options: dict[str, Any]) -> None:
    """Build a scene and save its pictures.

    Parameters
    ----------
    options : dict
        ``scene`` (file), ``ensemble``, ``folder`` (exists), ``size`` [width, height] in pixels,
        ``frames``: largest number of frames of the animation, 0 for none.
    """
    module = load_scene(options["scene"])
    size = tuple(options["size"])
    scene = module.build(options["ensemble"], size=size)
    folder = Path(options["folder"])
    for name, layout in drawable_layouts(scene).items():
        simple.SaveScreenshot(str(folder / f"{name}.png"), layout, ImageResolution=list(size))
    for name, view in scene.views.items():
        save_view(view, folder / name)
    if options["frames"]:
        save_frames(module, scene, folder / "frames", size, options["frames"])


def drawable_layouts(scene: Scene) -> dict[str, Any]:
    """Return the layouts in which every view can be drawn."""
    return {
        name: layout
        for name, layout in scene.layouts.items()
        if all(v.GetXMLName() not in NO_PICTURE for v in simple.GetViewsInLayout(layout))
    }


def save_view(view: Any, stem: Path) -> None:
    """Save a view as ``stem.png``, or a spreadsheet as ``stem.csv``."""
    if view.GetXMLName() in NO_PICTURE:
        simple.ExportView(f"{stem}.csv", view=view)
    else:
        simple.SaveScreenshot(f"{stem}.png", view, ImageResolution=list(view.ViewSize))


def save_frames(module: Any, scene: Scene, folder: Path, size: tuple, most: int) -> None:
    """Save the first layout at up to ``most`` of the time steps, the first and last included."""
    times = pipeline.time_steps()
    if len(times) < 2:
        return
    if hasattr(module, "animate"):
        module.animate(scene)
    folder.mkdir()
    layout = next(iter(scene.layouts.values()))
    chosen = np.unique(np.linspace(0, len(times) - 1, min(most, len(times))).round().astype(int))
    for k, i in enumerate(chosen):
        simple.GetAnimationScene().AnimationTime = times[i]
        name = str(folder / f"frame{k:04d}.png")
        simple.SaveScreenshot(name, layout, ImageResolution=list(size))


if __name__ == "__main__":
    save_all(json.loads(os.environ["PVENSEMBLE_PICTURES"]))
