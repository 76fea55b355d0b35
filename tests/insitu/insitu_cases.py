"""Small trainings with ParaView in the process, as a user starts them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from small_network import NETWORK

TOML = f"""
name = "small"
steps = 20
seed = 3
{NETWORK}
[evaluate]
every = 5
size = 50

[record]
every = 10
probe = 24

[[session]]
name = "grid"
[session.space]
"model.conv1" = [3, 4]
learning_rate = [0.01, 0.05]
"""
STEPS = [0, 5, 10, 15, 20]
"""Steps at which all runs of it are evaluated; every second of them is recorded."""


def train(
    folder: Path,
    *arguments: object,
    program: tuple = ("train",),
    before: tuple = (),
    env: Mapping[str, str] | None = None,
    timeout: float = 150,
) -> subprocess.CompletedProcess:
    """Run ``pvensemble train`` in a folder; the ensemble is ``e.pvens``.

    ``before`` comes before the command, such as mpiexec; ``env`` is added to the environment.
    """
    (folder / "small.toml").write_text(TOML)
    command = [*before, sys.executable, "-m", "pvensemble", *program, "small.toml", "-o", "e.pvens"]
    own = {key: value for key, value in os.environ.items() if key != "DISPLAY"}
    return subprocess.run(
        [*command, "--workers", "1", *map(str, arguments)],
        cwd=folder,
        env={**own, **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def picture(file: Path) -> np.ndarray:
    """Return a picture, (height, width, 3)."""
    from vtkmodules.util.numpy_support import vtk_to_numpy
    from vtkmodules.vtkIOImage import vtkPNGReader

    reader = vtkPNGReader()
    reader.SetFileName(str(file))
    reader.Update()
    image = reader.GetOutput()
    width, height, _ = image.GetDimensions()
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(height, width, -1)
