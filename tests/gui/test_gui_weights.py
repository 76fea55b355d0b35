"""Selecting with the mouse in the scene ``weights``, while the two others are open too."""

from __future__ import annotations

import numpy as np
import pytest
from window import selected_everywhere

pytestmark = [pytest.mark.gui, pytest.mark.paraview, pytest.mark.also_remote(slow=True)]

OF_ONE_RUN = ("weight_boxes", "weight_images", "filter_groups", "correlation")


def everywhere(window, runs, seconds=20) -> dict:
    """Wait until runs are selected in all plots of runs of all scenes; return what is shown."""
    return selected_everywhere(window, runs, n_plots=11, seconds=seconds)


def lonely_end(window, source) -> tuple[int, list[float]]:
    """Return the run whose line in a plot ends farthest from all others, and where."""
    ends = np.array([line[-1] for line in window.ask("points", source=source)])
    apart = np.hypot(*(ends[:, None] - ends).T) + 1e9 * np.eye(len(ends))
    run = int(np.argmax(apart.min(axis=0)))
    return run, ends[run].tolist()


@pytest.fixture(autouse=True)
def nothing_selected(weights):
    """Start with a click on an empty corner of the trajectories."""
    weights.ask("link_again")
    weights.ask("show_tab", view="trajectory")
    weights.click(weights.place("trajectory", *corner(weights)))
    everywhere(weights, [])


def corner(window) -> tuple[float, float]:
    """A place of the plot of paths where there are none."""
    lines = np.concatenate([np.array(x) for x in window.ask("points", source="trajectory")])
    return float(lines[:, 0].min()), float(lines[:, 1].max()) + 0.2


def test_a_click_on_a_path_selects_its_run_and_shows_its_weights(weights):
    run, end = lonely_end(weights, "trajectory")
    weights.click(weights.place("trajectory", *end))
    shown = everywhere(weights, [run])
    assert {name: shown[name] for name in OF_ONE_RUN} == dict.fromkeys(OF_ONE_RUN, [run])


def test_a_click_on_a_norm_selects_its_run(weights):
    run, end = lonely_end(weights, "norm_graph")
    weights.click(weights.place("norm_graph", *end))
    everywhere(weights, [run])


def test_without_links_the_harness_reports_the_failure(weights):
    """The planted case: the selections no longer agree, and that must be noticed."""
    run, end = lonely_end(weights, "trajectory")
    weights.ask("unlink")
    weights.click(weights.place("trajectory", *end))
    with pytest.raises(AssertionError, match="expected runs"):
        everywhere(weights, [run], seconds=2)
