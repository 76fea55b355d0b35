"""Scenes: Python files in ``state_files/`` that show an ensemble in linked views.

A scene file defines ``build(path) -> Scene``. They are plain ``paraview.simple`` scripts on
purpose: readable, and independent of ParaView's state format.
"""

from __future__ import annotations

import ast
import os
from pathlib import Path

import pvensemble
from pvensemble.errors import PVEnsembleError, SceneError, did_you_mean
from pvensemble.launcher.source import parse_python
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
        There is no scene of that name, or no such file, or it makes no scene.
    """
    if name.endswith(".py"):
        if not Path(name).is_file():
            raise SceneError(f"no scene file {name}")
        check_scene(Path(name))
        return Path(name).absolute()
    if name not in scene_names():
        raise SceneError(f"no scene {name!r}{did_you_mean(name, scene_names())}")
    return scene_folder() / f"{name}.py"


def check_scene(path: Path) -> None:
    """Refuse a file that makes no scene, without running it.

    Raises
    ------
    SceneError
        It is not Python, or binds no name ``build`` outside functions.
    """
    try:
        tree = parse_python(path)
    except PVEnsembleError as error:
        raise SceneError(str(error)) from None
    if not any("build" in _bound(statement) for statement in tree.body):
        raise SceneError(f"{path} makes no scene: it has no function build(path), see state_files/")


def _bound(statement: ast.stmt) -> set[str]:
    """Return names that a statement outside functions may bind."""
    if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
        return {statement.name}
    names = set()
    for node in ast.walk(statement):
        if isinstance(node, ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.alias):
            names.add(node.asname or node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return names


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
