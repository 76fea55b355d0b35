"""Train inside pvbatch: torch of this Python in ParaView's Python."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from pvensemble.errors import ConfigError
from pvensemble.launcher.environment import holds_vtk, package_folder

PATH_VARIABLE = "PVENSEMBLE_TRAIN_PATH"
"""Folder of the packages that hold torch."""
PYTHON_VARIABLE = "PVENSEMBLE_TRAIN_PYTHON"
"""The Python that they belong to, which also runs worker processes."""
VERSION_VARIABLE = "PVENSEMBLE_TRAIN_VERSION"
"""Its version, as ``3.11``."""


def program() -> Path:
    """Return the script that pvbatch runs."""
    return package_folder() / "cli" / "_pvbatch.py"


def is_training(args: Sequence[str]) -> bool:
    """Whether arguments after ``--`` are a command line of ours."""
    return args[:1] == ["train"]


def training_variables() -> dict[str, str]:
    """Return what the script in pvbatch has to know.

    Raises
    ------
    ConfigError
        There is no torch, or it lies beside a VTK that would crash ParaView.
    """
    spec = importlib.util.find_spec("torch")
    if spec is None or not spec.origin:
        raise ConfigError("training needs PyTorch: pip install 'pvensemble[train]'")
    folder = Path(spec.origin).resolve().parent.parent
    if holds_vtk(folder) and not (folder / "paraview").is_dir():  # else the VTK is ParaView's own
        raise ConfigError(
            f"{folder} holds torch and PyPI's vtk, which would crash ParaView in one process: "
            "pip uninstall vtk, or install pvensemble[train] in an environment without it"
        )
    return {
        PATH_VARIABLE: str(folder),
        PYTHON_VARIABLE: sys.executable,
        VERSION_VARIABLE: "{}.{}".format(*sys.version_info),
    }


def mismatch(environment: Mapping[str, str], version: Sequence[int]) -> str:
    """Return why torch cannot be imported in a Python of some version; "" when it can."""
    theirs, ours = environment[VERSION_VARIABLE], "{}.{}".format(*version)
    if theirs == ours:
        return ""
    return (
        f"ParaView's Python is {ours}, and torch in {environment[PATH_VARIABLE]} is for Python "
        f"{theirs}: install pvensemble[train] with a Python {ours} and start it from there"
    )
