"""Selecting with the mouse in the scene ``topology``, while ``performance`` is open too."""

from __future__ import annotations

import numpy as np
import pytest
from window import selected_everywhere

pytestmark = [pytest.mark.gui, pytest.mark.paraview, pytest.mark.also_remote(slow=True)]

MAPS = ("correlation_first", "correlation_last")
SELECTION = (237, 13, 153)


def everywhere(window, runs, seconds=15) -> dict:
    """Wait until runs are selected in all plots of runs of both scenes; return what is shown."""
    return selected_everywhere(window, runs, n_plots=7, seconds=seconds)


def apart(window) -> tuple[np.ndarray, list[int]]:
    """Middles of all points, and the runs whose points are farthest from any other."""
    middles = np.array([np.mean(c, axis=0) for c in window.ask("points", source="similarity_plot")])
    distance = np.hypot(*(middles[:, None] - middles).T) + 1e9 * np.eye(len(middles))
    return middles, np.argsort(-distance.min(axis=0)).tolist()


@pytest.fixture(autouse=True)
def nothing_selected(topology):
    """Start with a click on an empty corner of the similarity plot."""
    topology.ask("link_again")
    topology.ask("show_tab", view="similarity_plot")
    topology.click(topology.place("similarity_plot", 0.02, 0.02))
    everywhere(topology, [])


def test_points_picked_one_after_the_other_are_selected_and_shown_in_the_maps(topology):
    middles, lonely = apart(topology)
    first, second = lonely[:2]
    topology.click(topology.place("similarity_plot", *middles[first]))
    assert everywhere(topology, [first])["correlation_first"] == [first]
    topology.click(topology.place("similarity_plot", *middles[second]), "ctrl")
    shown = everywhere(topology, sorted([first, second]))
    assert [shown[name] for name in MAPS] == [[first], [second]]
    assert topology.ask("color_count", view="similarity_plot", color=SELECTION) > 20


def test_a_drag_over_points_selects_their_runs(topology):
    middles, lonely = apart(topology)
    x, y = middles[lonely[0]]
    inside = [k for k, (a, b) in enumerate(middles) if abs(a - x) < 1.5 and abs(b - y) < 1.5]
    corners = [(x + side, y + side) for side in (-1.5, 1.5)]
    topology.drag(*(topology.place("similarity_plot", *corner) for corner in corners))
    chosen = topology.wait(
        lambda: topology.ask("selected_everywhere")["chosen"]["similarity_plot"], 10, "selection"
    )
    assert set(inside) <= set(chosen)
    everywhere(topology, chosen)


def test_a_click_on_a_curve_selects_its_run(topology):
    curves = topology.ask("points", source="correlation_graph")
    ends = np.array([curve[-1][1] for curve in curves])
    gaps = np.abs(ends[:, None] - ends) + 1e9 * np.eye(len(ends))
    run = int(np.argmax(gaps.min(axis=0)))
    topology.click(topology.place("correlation_graph", *curves[run][-1]))
    everywhere(topology, [run])


def test_a_cell_of_a_map_marks_both_filters_in_the_maps_of_the_run(topology):
    values = topology.ask("cell_values", source="correlation_first", names=["row", "column"])
    row, column = (np.array(values[name]) for name in ("row", "column"))
    cell = int(np.flatnonzero((row == 1) & (column == 6))[0])
    middle = np.mean(topology.ask("points", source="correlation_first")[cell], axis=0)
    topology.click(topology.place("correlation_first", *middle))
    expected = np.flatnonzero(np.isin(row, (1, 6)) | np.isin(column, (1, 6))).tolist()
    topology.wait(
        lambda: topology.ask("selected_in", source="correlation_first") == expected, 10, "marks"
    )
    assert topology.ask("selected_in", source="correlation_last") == []
    everywhere(topology, [])


def test_a_cell_of_the_matrix_selects_both_runs(topology):
    topology.ask("show_tab", view="run_similarity")
    topology.find_views(["run_similarity"])
    values = topology.ask("cell_values", source="run_similarity", names=["row_run", "column_run"])
    row, column = (np.array(values[name]) for name in ("row_run", "column_run"))
    cell = int(np.flatnonzero((row == 17) & (column == 88))[0])
    middle = np.mean(topology.ask("points", source="run_similarity")[cell], axis=0)
    topology.click(topology.place("run_similarity", *middle))
    everywhere(topology, [17, 88])


def test_without_links_the_harness_reports_the_failure(topology):
    """The planted case: the selections no longer agree, and that must be noticed."""
    middles, lonely = apart(topology)
    topology.ask("unlink")
    topology.click(topology.place("similarity_plot", *middles[lonely[0]]))
    with pytest.raises(AssertionError, match="expected runs"):
        everywhere(topology, [lonely[0]], seconds=2)
