"""The environment variables that ParaView's programs are started with."""

from __future__ import annotations

import hashlib
import os
import secrets
import site
from collections.abc import Mapping
from pathlib import Path

import pvensemble
from pvensemble.errors import ParaViewNotFoundError

ENSEMBLE_VARIABLE = "PVENSEMBLE_FILE"
"""The ensemble that a scene opens."""
SCENE_VARIABLE = "PVENSEMBLE_SCENE"
"""File of the scene that the start script builds."""
SERVER_VARIABLE = "PVENSEMBLE_SERVER"
"""The pvserver, HOST:PORT, that the start script connects to before."""


def package_folder() -> Path:
    """Folder of the ``pvensemble`` package, links resolved."""
    return Path(pvensemble.__file__).resolve().parent


def plugin_config() -> Path:
    """Return ``pvplugins/paraview.plugins.xml``, which stands beside the package.

    Raises
    ------
    ParaViewNotFoundError
        The file is not there: the package was copied without it.
    """
    path = package_folder().parent / "pvplugins" / "paraview.plugins.xml"
    if not path.is_file():
        raise ParaViewNotFoundError(
            f"the ParaView plugin is not beside the package: no {path}; install pvensemble again"
        )
    return path


def cache_folder() -> Path:
    """Folder for what can be made again (``$XDG_CACHE_HOME/pvensemble``)."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "pvensemble"


def python_folder() -> Path:
    """Make (once) and return the folder for ``PYTHONPATH``: links to the package and the shim.

    Nothing else must be in it: everything that stands beside an installed package would reach
    ParaView's Python, and PyPI's ``vtk`` crashes it.
    """
    package, folder = package_folder(), _own_folder("python")
    _link(folder / "pvensemble", package)
    _link(folder / "sitecustomize.py", package / "launcher" / "shim" / "sitecustomize.py")
    return folder


def macro_folder() -> Path:
    """Make (once) and return the folder of macros, which ParaView shows as menu and buttons.

    Links again: Macros > Delete deletes files.
    """
    folder = _own_folder("macros")
    for macro in (package_folder() / "views" / "macros").glob("*.py"):
        words = [w if w == "from" else w.capitalize() for w in macro.stem.split("_")]
        _link(folder / f"{' '.join(words)}.py", macro)
    return folder


def _own_folder(name: str) -> Path:
    """Make and return a cache folder that belongs to this place of the package."""
    key = hashlib.sha256(str(package_folder()).encode()).hexdigest()[:12]
    folder = cache_folder() / f"{name}-{key}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _link(link: Path, target: Path) -> None:
    """Make ``link`` point to ``target``; several processes may do so at once."""
    if link.is_symlink() and link.readlink() == target:
        return
    beside = link.with_name(f".{link.name}.{secrets.token_hex(4)}")
    beside.symlink_to(target)
    beside.replace(link)


def holds_vtk(folder: str | Path) -> bool:
    """Whether a folder on a Python path holds a VTK of its own."""
    folder = Path(folder)
    return (folder / "vtkmodules").is_dir() or (folder / "vtk.py").is_file()


def environment(
    base: Mapping[str, str] | None = None,
    *,
    ensemble: str | Path | None = None,
    scene: str | Path | None = None,
    server: str | None = None,
) -> dict[str, str]:
    """Environment for a ParaView program.

    Parameters
    ----------
    base
        What it starts from; ``os.environ`` when omitted.
    ensemble, scene
        What the start script opens, and the scene file that it opens it with.
    server
        ``HOST:PORT`` of a pvserver that it connects to; the ensemble is a path there.

    Returns
    -------
    dict
        ``base`` with ``PYTHONPATH`` (our folder first, the user's own entries after it, without
        those that hold a foreign VTK), ``PV_PLUGIN_CONFIG_FILE`` and ``PV_MACRO_PATH``.
        ``PYTHONNOUSERSITE`` is set where the user's site folder holds a VTK.
    """
    env = dict(os.environ if base is None else base)
    own = [p for p in env.get("PYTHONPATH", "").split(os.pathsep) if p and not holds_vtk(p)]
    folder = str(python_folder())
    env["PYTHONPATH"] = os.pathsep.join([folder, *(p for p in own if p != folder)])
    env["PV_PLUGIN_CONFIG_FILE"] = str(plugin_config())
    macros = [str(macro_folder()), env.get("PV_MACRO_PATH", "")]
    env["PV_MACRO_PATH"] = os.pathsep.join(dict.fromkeys(m for m in macros if m))
    if holds_vtk(site.getusersitepackages()):
        env["PYTHONNOUSERSITE"] = "1"
    env.pop("PYTHONHOME", None)
    env.pop("VIRTUAL_ENV", None)
    if ensemble is not None:
        env[ENSEMBLE_VARIABLE] = str(ensemble if server else Path(ensemble).absolute())
    if server is not None:
        env[SERVER_VARIABLE] = server
    if scene is not None:
        env[SCENE_VARIABLE] = str(scene)
    return env
