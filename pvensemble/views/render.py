"""Runs inside pvpython for ``pvensemble render``: pictures of a scene, written to a folder.

Takes one argument, a JSON object: ``ensemble``, ``scene`` (file), ``folder`` (empty), ``size``,
``frames`` (0: no animation), ``server`` (HOST:PORT or null). Writes ``report.json`` there: the
files made, or the error.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from paraview import simple

from pvensemble.errors import PVEnsembleError
from pvensemble.views import layout, pipeline, server
from pvensemble.views.enlarge import enlarge, factor_for
from pvensemble.views.scenes import Scene, load_scene

REPORT = "report.json"
FRAMES = "frames"
SPREADSHEET = "SpreadSheetView"


def is_spreadsheet(view: Any) -> bool:
    """Whether a view is a spreadsheet, of which ParaView takes no picture without a window."""
    return view.SMProxy.GetXMLName() == SPREADSHEET


def save_views(scene: Scene, folder: Path) -> list[Path]:
    """Write a picture of every view, and a table (CSV) of a spreadsheet."""
    files = []
    for name, view in scene.views.items():
        file = folder / f"{name}.{'csv' if is_spreadsheet(view) else 'png'}"
        if is_spreadsheet(view):
            simple.ExportView(str(file), view=view)
        else:
            save_picture(view, file)
        files.append(file)
    return files


def save_layouts(scene: Scene, folder: Path, size: tuple[int, int]) -> list[Path]:
    """Write a picture of every layout, except of those with a spreadsheet."""
    files = []
    for name, tab in scene.layouts.items():
        if any(is_spreadsheet(view) for view in simple.GetViewsInLayout(tab)):
            continue
        files.append(folder / f"{name}.png")
        save_picture(tab, files[-1], size)
    return files


def save_picture(shown: Any, file: Path, size: tuple[int, int] | None = None) -> None:
    """Write a picture of a view or layout, opaque, at its own size unless another is given."""
    simple.SaveScreenshot(
        str(file), shown, ImageResolution=list(size or shown.ViewSize), TransparentBackground=0
    )


def frame_times(n_frames: int) -> np.ndarray:
    """Time steps of the data, thinned evenly to at most so many; the first and last are kept."""
    times = np.array(pipeline.time_steps())
    if len(times) <= n_frames:
        return times
    return times[np.unique(np.linspace(0, len(times) - 1, n_frames).round().astype(int))]


def save_frames(scene: Scene, folder: Path, size: tuple[int, int], n_frames: int) -> list[Path]:
    """Write a picture of the first layout at each time step."""
    folder.mkdir()
    clock = simple.GetAnimationScene()
    tab = next(iter(scene.layouts.values()))
    files = []
    for k, time in enumerate(frame_times(n_frames)):
        clock.AnimationTime = float(time)
        files.append(folder / f"{k:04d}.png")
        save_picture(tab, files[-1], size)
    return files


def render(options: dict[str, Any]) -> dict[str, Any]:
    """Build the scene and write all pictures.

    Returns
    -------
    dict
        ``files`` and ``frames``: paths relative to the folder.
    """
    folder, size = Path(options["folder"]), tuple(options["size"])
    if options["server"]:
        server.connect(options["server"])
    module = load_scene(options["scene"])
    scene = module.build(options["ensemble"], size=size)
    enlarge(scene.views.values(), scene.keep, factor_for(size))
    layout.smooth(scene.views.values(), always=True)
    files = save_layouts(scene, folder, size) + save_views(scene, folder)
    frames: list[Path] = []
    if options["frames"]:
        if hasattr(module, "animate"):
            module.animate(scene)
        frames = save_frames(scene, folder / FRAMES, size, options["frames"])
    missing = [str(f) for f in files + frames if not f.is_file()]
    if missing:
        raise PVEnsembleError(f"ParaView did not write {', '.join(missing)}")
    return {
        "files": [str(f.relative_to(folder)) for f in files],
        "frames": [str(f.relative_to(folder)) for f in frames],
    }


def main(text: str) -> int:
    """Render as told; return the exit status."""
    options = json.loads(text)
    try:
        report = render(options)
    except PVEnsembleError as error:
        report = {"error": str(error)}
    (Path(options["folder"]) / REPORT).write_text(json.dumps(report))
    return 2 if "error" in report else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
