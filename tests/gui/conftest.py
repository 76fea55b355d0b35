"""One ParaView window for all tests of this folder."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "views"))

from synthetic_ensemble import write_ensemble
from window import open_window

SIDE = 11


@pytest.fixture(scope="session")
def programs():
    """Skips where a program is missing that the tests need."""
    for program in ("paraview", "Xvfb", "xdotool"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")


@pytest.fixture(scope="session")
def window(tmp_path_factory, programs):
    """The scene ``performance`` with 11 x 11 runs (learning rate, momentum)."""
    folder = tmp_path_factory.mktemp("gui")
    ensemble = write_ensemble(folder / "grid.pvens", SIDE, diverged=2, batch_sizes=(32, 64, 128))
    with open_window(folder, ensemble, "performance", SIDE * SIDE) as opened:
        opened.find_views(["parallel_coordinates", "heat_map", "loss_accuracy"])
        yield opened
