"""Kitware's Catalyst 2, where it is installed, and what stands in for it elsewhere."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import pytest

STAND_IN = Path(__file__).parent / "stand_in"
NOT_HERE = "Kitware's catalyst and catalyst_conduit are not installed here"


def both(test):
    """Parametrize a test over the stand-in and the real modules."""
    return pytest.mark.parametrize("modules", ["stand-in", "real"])(test)


def require(modules: str) -> None:
    """Skip where the real modules are asked for and not there."""
    if modules == "real" and importlib.util.find_spec("catalyst_conduit") is None:
        pytest.skip(NOT_HERE)


def first_on_path(folder: Path) -> dict[str, str]:
    """Return the variable that lets Python look in a folder before all others."""
    paths = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {"PYTHONPATH": os.pathsep.join(paths)}


def forget() -> None:
    """Let the next import find the modules anew."""
    for name in [n for n in sys.modules if n.partition(".")[0] in ("catalyst", "catalyst_conduit")]:
        del sys.modules[name]
