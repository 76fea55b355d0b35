"""Find a ParaView program: from a distribution, a kitware.org binary or a macOS bundle."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from pvensemble.errors import ParaViewNotFoundError
from pvensemble.mpi_environment import outside_mpi

PROGRAMS = ("paraview", "pvpython", "pvbatch", "pvserver")
PREFIX_VARIABLE = "PVENSEMBLE_PARAVIEW"
"""Environment variable: the installation to use where no ``--paraview DIR`` is given."""

INSTALL = (
    "apt-get install --no-install-recommends paraview python3-paraview python3-h5py python3-scipy "
    "python3-sklearn libqt5svg5 libgl1-mesa-dri xvfb"
)
"""Installs ParaView and what the plugin imports on Debian and Ubuntu."""

_INSIDE = ("bin", ".", "Contents/MacOS", "Contents/bin")


def find_paraview(program: str = "paraview", prefix: str | Path | None = None) -> Path:
    """Return the path of one of ParaView's programs.

    Parameters
    ----------
    program
        ``paraview``, ``pvpython``, ``pvbatch`` or ``pvserver``.
    prefix
        Installation folder (that holds ``bin/pvpython``), its ``bin`` folder or a macOS
        ``.app``. When omitted: ``$PVENSEMBLE_PARAVIEW``, then ``PATH``.

    Raises
    ------
    ParaViewNotFoundError
        There is none, or the folder given holds none.
    """
    prefix = prefix or os.environ.get(PREFIX_VARIABLE) or None
    if prefix is None:
        found = shutil.which(program)
        if found is None:
            raise ParaViewNotFoundError(
                f"{program} is not on PATH; install it ('{INSTALL}'), or name an installation "
                f"with --paraview DIR or ${PREFIX_VARIABLE}"
            )
        return Path(found)
    folder = Path(prefix).expanduser()
    tried = [folder / inside / program for inside in _INSIDE]
    for path in tried:
        if path.is_file() and os.access(path, os.X_OK):
            return path.absolute()
    if not folder.is_dir():
        raise ParaViewNotFoundError(f"no ParaView at {folder}: there is no such folder")
    raise ParaViewNotFoundError(
        f"no {program} in {folder}: looked for " + ", ".join(str(p) for p in tried[:2])
    )


def paraview_version(program: str | Path, timeout: float = 60) -> tuple[int, ...] | None:
    """Version that a ParaView program reports, such as ``(5, 11, 0)``; None when it says none."""
    try:
        done = subprocess.run(
            [str(program), "--version"],
            env=outside_mpi(os.environ),  # started by a rank, ParaView 6.1 would wait for ever
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r"version\s+(\d+(?:\.\d+)+)", done.stdout + done.stderr)
    return tuple(int(part) for part in match[1].split(".")) if match else None
