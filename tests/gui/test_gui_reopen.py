"""A state file that was loaded has live views."""

from __future__ import annotations

import numpy as np
import pytest
from synthetic_ensemble import write_ensemble
from window import open_window

from pvensemble.launcher.scenes import scene_folder

pytestmark = [pytest.mark.gui, pytest.mark.paraview]

SIDE = 5


@pytest.fixture
def reopened(tmp_path, programs):
    ensemble = write_ensemble(tmp_path / "ensemble.pvens", SIDE)
    state = scene_folder() / "performance.pvsm"
    with open_window(tmp_path, ensemble, "performance", SIDE * SIDE, state=state) as window:
        window.find_views(["parallel_coordinates", "heat_map"])
        yield window


def test_the_mouse_selects_in_all_views_of_a_reopened_state(reopened):
    corners = reopened.ask("points", source="heat_map")[7]
    reopened.click(reopened.place("heat_map", *np.mean(corners, axis=0)))
    reopened.wait_selected([7])
    axis = reopened.ask("axis", name="momentum")
    ends = [(axis["x"], share * axis["height"]) for share in (0.4, 0.6)]
    reopened.drag(*(reopened.place("parallel_coordinates", *end) for end in ends))
    reopened.wait_selected([2, 7, 12, 17, 22])
