"""One ParaView window for all tests of this folder."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "views"))

from synthetic_ensemble import write_ensemble
from window import START_SECONDS, open_window

from pvensemble.launcher.scenes import scene_file
from pvensemble.schema import CORRELATION, WEIGHT

SIDE = 11


@pytest.fixture(scope="session")
def programs():
    """Skips where a program is missing that the tests need."""
    for program in ("paraview", "Xvfb", "xdotool"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")


def pytest_generate_tests(metafunc):
    """Run tests marked ``also_remote`` in a second window too, whose data are on a pvserver."""
    if "window" in metafunc.fixturenames:
        places = ["built-in"]
        mark = metafunc.definition.get_closest_marker("also_remote")
        if mark is not None:
            slow = pytest.mark.slow if mark.kwargs.get("slow") else ()
            places.append(pytest.param("server", marks=slow))
        metafunc.parametrize("window", places, indirect=True, scope="session")


@pytest.fixture(scope="session")
def window(request, tmp_path_factory, programs):
    """The scene ``performance`` with 11 x 11 runs (learning rate, momentum)."""
    folder = tmp_path_factory.mktemp("gui")
    ensemble = write_ensemble(
        folder / "grid.pvens",
        SIDE,
        diverged=2,
        batch_sizes=(32, 64, 128),
        layers=({"conv1": 5, "conv2": 8},),
        kinds=(CORRELATION, WEIGHT),
        recorded=(0, 200),
    )
    remote = request.param == "server"
    with open_window(folder, ensemble, "performance", SIDE * SIDE, remote=remote) as opened:
        opened.find_views(["parallel_coordinates", "heat_map", "loss_accuracy"])
        yield opened


@pytest.fixture(scope="session")
def topology(window):
    """The same window with the scene ``topology`` opened beside ``performance``."""
    window.ask(
        "open_scene",
        scene=str(scene_file("topology")),
        path=str(window.ensemble),
        seconds=START_SECONDS,
    )
    window.find_views(["similarity_plot", "correlation_first", "correlation_last"])
    window.find_views(["correlation_graph"])
    return window


@pytest.fixture(scope="session")
def weights(topology):
    """The same window with the scene ``weights`` opened beside both."""
    topology.ask(
        "open_scene",
        scene=str(scene_file("weights")),
        path=str(topology.ensemble),
        seconds=START_SECONDS,
    )
    topology.ask("show_tab", view="trajectory")
    topology.find_views(["trajectory", "norm_graph"])
    return topology
