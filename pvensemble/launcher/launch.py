"""Put together and start the command line of a ParaView program."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from pvensemble.errors import SceneError
from pvensemble.launcher.environment import environment, package_folder
from pvensemble.launcher.find import PREFIX_VARIABLE, find_paraview, paraview_version
from pvensemble.launcher.scenes import check_ensemble, scene_files
from pvensemble.schema import MANIFEST_SUFFIX

DEFAULT_SCENE = "performance"
BIND_SINCE = (5, 13)
"""ParaView before this has no ``--bind-address`` and listens on every interface."""

DEFAULT_PORT = 11111
"""ParaView's own."""

OWN_WAY = ("--script", "--version", "-V", "--help", "-h")
"""Options of the window beside which it gets no start script of ours."""

OPEN_SERVER = (
    "this pvserver ({version}) cannot be bound to one address: it listens on every network "
    "interface, without a password. Use it behind a firewall, or --reverse-connection to a "
    "client on this machine, or ParaView 5.13 or newer"
)

NOT_WITH_SERVER = (
    "--server is for 'pvensemble paraview', and for 'pvensemble pvpython' with an ensemble; a "
    "script of your own connects by simple.Connect('HOST', PORT)"
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


def server_address(text: str) -> str:
    """Return ``HOST:PORT`` for ``HOST`` or ``HOST:PORT``.

    Raises
    ------
    SceneError
        It is neither.
    """
    host, colon, port = text.partition(":")
    if not colon:
        port = str(DEFAULT_PORT)
    if not host or "/" in host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise SceneError(
            f"--server got {text!r}, expected HOST or HOST:PORT, like localhost:{DEFAULT_PORT}"
        )
    return f"{host}:{port}"


def command(
    program: str,
    args: Sequence[str] = (),
    *,
    prefix: str | Path | None = None,
    scene: str | None = None,
    server: str | None = None,
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
    server
        ``HOST[:PORT]`` of a pvserver to open it on; the ensemble is then a path on that machine,
        and whether it is there is seen only when the window has connected.

    Raises
    ------
    ParaViewNotFoundError
        No such program.
    SceneError
        No such scene, no such ensemble, or no address of a server.
    """
    path = find_paraview(program, prefix)
    server = None if server is None else server_address(server)
    if server is not None and program in ("pvserver", "pvbatch"):
        raise SceneError(NOT_WITH_SERVER)
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
    own = any(a.startswith(OWN_WAY) for a in rest)
    opens = ensemble is not None or scene is not None
    if server is not None and not (opens or (program == "paraview" and not own)):
        raise SceneError(NOT_WITH_SERVER)
    if not opens:
        # In the window the script also links the views of states that are loaded later.
        script = [f"--script={start_script()}"] if program == "paraview" and not own else []
        return [str(path), *script, *rest], environment(server=server), warnings
    scene = scene or DEFAULT_SCENE
    files = scene_files(scene)  # an unknown name fails here, before a window opens
    if ensemble is not None and server is None:
        check_ensemble(ensemble)  # that of a server can be looked for only there
    script = [f"--script={start_script()}"] if program == "paraview" else [str(start_script())]
    scenes = os.pathsep.join(map(str, files))
    env = environment(ensemble=ensemble, scene=scenes, server=server)
    return [str(path), *script, *rest], env, warnings


def launch(
    program: str,
    args: Sequence[str] = (),
    *,
    prefix: str | Path | None = None,
    scene: str | None = None,
    server: str | None = None,
    variables: Mapping[str, str] | None = None,
) -> int:
    """Become the ParaView program (POSIX), or run it and return its exit status.

    Parameters are those of :func:`command`, and variables to add to its environment.
    """
    argv, env, warnings = command(program, args, prefix=prefix, scene=scene, server=server)
    env.update(variables or {})
    if prefix is not None:  # what this program starts in its turn is of the same installation
        env[PREFIX_VARIABLE] = str(Path(prefix).expanduser().absolute())
    for warning in warnings:
        sys.stderr.write(f"pvensemble: warning: {warning}\n")
    sys.stdout.flush()
    sys.stderr.flush()
    if os.name == "posix":
        os.execve(argv[0], argv, env)
    return subprocess.call(argv, env=env)
