"""Figures of a report, rendered by ``pvensemble render``."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from reproduction.training import ReproductionError

SIZE = "1200x830"


def render_scene(
    ensemble: Path, scene: Path | str, layout: str, into: Path, picture: Path, **settings: object
) -> None:
    """Render a layout of a scene into a picture.

    Parameters
    ----------
    scene
        A scene file, or the name of one of pvensemble's.
    into
        Folder for all that is rendered.
    picture
        File to which the layout's picture is copied.
    **settings
        What the scene needs to know, as JSON in environment variables of these names.

    Raises
    ------
    ReproductionError
        ParaView failed.
    """
    env = {**os.environ, **{name: json.dumps(value) for name, value in settings.items()}}
    command = [sys.executable, "-m", "pvensemble", "render", str(ensemble)]
    command += ["--scene", str(scene), "-o", str(into), "--size", SIZE]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ReproductionError(f"rendering {picture.name} failed:\n{done.stderr.strip()}")
    picture.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(into / f"{layout}.png", picture)
