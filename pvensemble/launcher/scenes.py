"""Scenes: Python files in ``state_files/`` that show an ensemble in linked views.

A scene file defines ``build(path) -> Scene``. They are plain ``paraview.simple`` scripts on
purpose: readable, and independent of ParaView's state format.
"""

from __future__ import annotations

import os
from pathlib import Path

import pvensemble
from pvensemble.errors import SceneError, did_you_mean
from pvensemble.schema import MANIFEST_SUFFIX


def scene_folder() -> Path:
    """Folder of the scene files; it stands beside the package, in a checkout and installed."""
    return Path(pvensemble.__file__).resolve().parent.parent / "state_files"


def scene_names() -> list[str]:
    """Names of all scenes, sorted."""
    return sorted(p.stem for p in scene_folder().glob("[a-z]*.py"))


def scene_file(name: str) -> Path:
    """Return the file of a scene: one of ours by name, or a user's own by its path ``….py``.

    Raises
    ------
    SceneError
        There is no scene of that name, or no such file.
    """
    if name.endswith(".py"):
        if not Path(name).is_file():
            raise SceneError(f"no scene file {name}")
        return Path(name).absolute()
    if name not in scene_names():
        raise SceneError(f"no scene {name!r}{did_you_mean(name, scene_names())}")
    return scene_folder() / f"{name}.py"


def scene_files(names: str) -> list[Path]:
    """Return the files of one or several scenes, separated by commas.

    Raises
    ------
    SceneError
        One of them does not exist.
    """
    if Path(names).is_file():
        return [scene_file(names)]
    return [scene_file(name.strip()) for name in names.split(",")]


def check_ensemble(path: str | os.PathLike) -> Path:
    """Return the absolute path of an ensemble's manifest.

    Raises
    ------
    SceneError
        It is not there, or is something else.
    """
    path = Path(path).absolute()
    if path.suffix != MANIFEST_SUFFIX:
        raise SceneError(f"{path} is not an ensemble: expected a file *{MANIFEST_SUFFIX}")
    if not path.is_file():
        near = sorted(p.name for p in path.parent.glob(f"*{MANIFEST_SUFFIX}"))
        where = did_you_mean(path.name, near) if near else f"; {path.parent} holds none"
        raise SceneError(f"no ensemble {path}{where}")
    return path
