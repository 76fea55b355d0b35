"""Put together and start the command line of a ParaView program."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from pvensemble.launcher.environment import environment, package_folder
from pvensemble.launcher.find import find_paraview, paraview_version
from pvensemble.launcher.scenes import check_ensemble, scene_files
from pvensemble.schema import MANIFEST_SUFFIX

DEFAULT_SCENE = "performance"
BIND_SINCE = (5, 13)
"""ParaView before this has no ``--bind-address`` and listens on every interface."""

OWN_WAY = ("--script", "--version", "-V", "--help", "-h")
"""Options of the window beside which it gets no start script of ours."""

OPEN_SERVER = (
    "this pvserver ({version}) cannot be bound to one address: it listens on every network "
    "interface, without a password. Use it behind a firewall, or --reverse-connection to a "
    "client on this machine, or ParaView 5.13 or newer"
)


def start_script() -> Path:
    """Script that opens an ensemble in a scene, named by two environment variables."""
    return package_folder() / "views" / "start.py"


def split_ensemble(args: Sequence[str]) -> tuple[str | None, list[str]]:
    """Take the ensemble (the first ``*.pvens`` that is no option's value) out of ``args``."""
    for k, arg in enumerate(args):
        if not arg.startswith("-") and arg.endswith(MANIFEST_SUFFIX):
            return arg, [*args[:k], *args[k + 1 :]]
        if arg.endswith(".py"):
            break  # what follows a script is the script's
    return None, list(args)


def command(
    program: str,
    args: Sequence[str] = (),
    *,
    prefix: str | Path | None = None,
    scene: str | None = None,
) -> tuple[list[str], dict[str, str], list[str]]:
    """Command line, environment and warnings for one of ParaView's programs.

    Parameters
    ----------
    program
        ``paraview``, ``pvpython``, ``pvbatch`` or ``pvserver``.
    args
        What follows it; an ensemble among them is opened in the scene.
    prefix
        ParaView's installation folder; see :func:`find_paraview`.
    scene
        Scene for the ensemble (``performance`` when omitted), or several, separated by commas.

    Raises
    ------
    ParaViewNotFoundError
        No such program.
    SceneError
        No such scene.
    """
    path = find_paraview(program, prefix)
    warnings: list[str] = []
    ensemble, rest = split_ensemble(args)
    if program == "pvserver":
        if ensemble is not None:
            ensemble, rest = None, list(args)
        version = paraview_version(path)
        if version is not None and version >= BIND_SINCE:
            if not any(a.startswith("--bind-address") for a in rest):
                rest = ["--bind-address=127.0.0.1", *rest]
        elif not {"--version", "-V", "--help", "-h"} & set(rest):
            shown = ".".join(map(str, version)) if version else "of unknown version"
            warnings.append(OPEN_SERVER.format(version=shown))
    if ensemble is None and scene is None:
        own = any(a.startswith(OWN_WAY) for a in rest)
        # In the window the script also links the views of states that are loaded later.
        script = [f"--script={start_script()}"] if program == "paraview" and not own else []
        return [str(path), *script, *rest], environment(), warnings
    scene = scene or DEFAULT_SCENE
    files = scene_files(scene)  # an unknown name fails here, before a window opens
    if ensemble is not None:
        check_ensemble(ensemble)
    script = [f"--script={start_script()}"] if program == "paraview" else [str(start_script())]
    env = environment(ensemble=ensemble, scene=os.pathsep.join(map(str, files)))
    return [str(path), *script, *rest], env, warnings


def launch(
    program: str,
    args: Sequence[str] = (),
    *,
    prefix: str | Path | None = None,
    scene: str | None = None,
    variables: Mapping[str, str] | None = None,
) -> int:
    """Become the ParaView program (POSIX), or run it and return its exit status.

    Parameters are those of :func:`command`, and variables to add to its environment.
    """
    argv, env, warnings = command(program, args, prefix=prefix, scene=scene)
    env.update(variables or {})
    for warning in warnings:
        sys.stderr.write(f"pvensemble: warning: {warning}\n")
    sys.stdout.flush()
    sys.stderr.flush()
    if os.name == "posix":
        os.execve(argv[0], argv, env)
    return subprocess.call(argv, env=env)
