"""Selecting with the mouse in any view selects the same runs in all others."""

from __future__ import annotations

import numpy as np
import pytest

pytestmark = [pytest.mark.gui, pytest.mark.paraview]

SIDE = 11
SELECTION = (237, 13, 153)
MOMENTA = np.linspace(0.0, 0.95, SIDE)


def middle(window, run: int) -> tuple[int, int]:
    """Pixels of the middle of a run's cell in the heat map."""
    return window.place("heat_map", *middle_of("heat_map", window, run))


def middle_of(source: str, window, cell: int) -> np.ndarray:
    """Plot coordinates of the middle of a cell."""
    return np.mean(window.ask("points", source=source)[cell], axis=0)


def run_at(rate: int, momentum: int) -> int:
    """Number of the run in a column (learning rate) and row (momentum) of the grid."""
    return rate * SIDE + momentum


@pytest.fixture(autouse=True)
def nothing_selected(window):
    """Start with a click on an empty place of the heat map."""
    window.click(window.place("heat_map", -0.6, -0.6))
    window.wait_selected([])


@pytest.mark.also_remote
def test_a_drag_along_an_axis_selects_exactly_the_runs_between_two_values(window):
    axis = window.ask("axis", name="momentum")
    low, high = (MOMENTA[3] + MOMENTA[2]) / 2, (MOMENTA[6] + MOMENTA[7]) / 2
    start = window.place("parallel_coordinates", axis["x"], low / 0.95 * axis["height"])
    end = window.place("parallel_coordinates", axis["x"], high / 0.95 * axis["height"])
    beside = (start[0] + 5, start[1])
    window.drag(beside, (beside[0] + 8, end[1]))
    expected = [r for r in range(SIDE * SIDE) if low <= MOMENTA[r % SIDE] <= high]
    assert len(expected) == 4 * SIDE
    got = window.wait_selected(expected)
    assert got["property"].startswith("3-6,14-17")


def test_ctrl_adds_a_second_axis_and_shift_takes_away(window):
    axis = window.ask("axis", name="momentum")
    for row, key, expected in (
        (2, (), [2]),
        (5, ("ctrl",), [2, 5]),
        (2, ("shift",), [5]),
    ):
        y = [(MOMENTA[row] + d) / 0.95 * axis["height"] for d in (-0.03, 0.03)]
        start = window.place("parallel_coordinates", axis["x"], y[0])
        end = window.place("parallel_coordinates", axis["x"], y[1])
        window.drag(start, end, *key)
        window.wait_selected([r for r in range(SIDE * SIDE) if r % SIDE in expected])


@pytest.mark.also_remote
def test_a_click_on_a_cell_selects_its_run(window):
    window.click(middle(window, run_at(7, 3)))
    window.wait_selected([run_at(7, 3)])


def test_a_drag_over_cells_selects_their_runs(window):
    window.drag(middle(window, run_at(4, 2)), middle(window, run_at(6, 3)))
    window.wait_selected([run_at(r, m) for r in (4, 5, 6) for m in (2, 3)])


def test_a_click_in_another_map_of_all_pairs_selects_its_run(window):
    window.ask("set_property", source="heat_map", name="Layout", value="all pairs")
    try:
        n_runs, run = SIDE * SIDE, run_at(3, 8)
        for k in (2, 1):
            window.click(window.place("heat_map", *middle_of("heat_map", window, k * n_runs + run)))
            window.wait_selected([run])
            marked = window.ask("selected_in", source="heat_map")
            assert marked == [run, n_runs + run, 2 * n_runs + run]
            window.click(window.place("heat_map", -0.6, -0.6))
            window.wait_selected([])
    finally:
        window.ask("set_property", source="heat_map", name="Layout", value="one pair")


@pytest.mark.also_remote
def test_a_click_on_a_curve_selects_its_run(window):
    curves = window.ask("points", source="graph")
    whole = [r for r, c in enumerate(curves) if len(c) == len(curves[0])]
    heights = np.array([[y for _, y in curves[r]] for r in whole])
    gaps = np.abs(heights[:, None] - heights)
    gaps[np.arange(len(whole)), np.arange(len(whole))] = np.inf
    loneliest, at = np.unravel_index(np.argmax(gaps.min(axis=1)), heights.shape)
    run = whole[loneliest]
    window.click(window.place("loss_accuracy", *curves[run][at]))
    window.wait_selected([run])


def test_a_click_on_nothing_shows_all_curves_again(window):
    window.click(middle(window, 5))
    window.wait_selected([5])
    window.click(window.place("heat_map", -0.6, -0.6))
    assert window.wait_selected([])["property"] == ""


@pytest.mark.also_remote
@pytest.mark.parametrize("where", ["heat_map", "parallel_coordinates"])
def test_a_selection_is_seen_in_the_view_it_was_made_in_and_in_the_other(window, where):
    both = ("parallel_coordinates", "heat_map")
    assert [window.ask("color_count", view=v, color=SELECTION) for v in both] == [0, 0]
    if where == "heat_map":
        window.click(middle(window, run_at(7, 3)))
    else:
        axis = window.ask("axis", name="momentum")
        places = [(axis["x"], (MOMENTA[3] + d) / 0.95 * axis["height"]) for d in (-0.03, 0.03)]
        window.drag(*(window.place(where, *p) for p in places))
    window.wait(lambda: window.selected()["chosen"]["graph"], 10, "selection")
    for view in both:
        window.wait(
            lambda v=view: window.ask("color_count", view=v, color=SELECTION) > 50,
            5,
            f"highlight in {view}",
        )


def test_rows_of_the_spreadsheet_select_their_runs(window):
    window.ask("show_tab", view="spreadsheet")
    try:
        window.find_views(["native_parallel_coordinates"])
        left, bottom = window.corners["native_parallel_coordinates"]
        found = []
        for down in range(150, 300, 10):  # well below the header, which sorts
            window.click((left + 60, bottom + down))
            got = window.wait_for(lambda: window.selected()["chosen"]["groups"], 0.7)
            if got and got not in found:
                found.append(got)
                window.wait_selected(got)
                n_seen = window.ask("color_count", view="parallel_coordinates", color=SELECTION)
                assert n_seen > 50
            if len(found) == 3:
                break
        assert all(len(f) == 1 for f in found)
        first = found[0][0]
        assert [f[0] for f in found] == [first, first + 1, first + 2]
    finally:
        window.ask("show_tab", view="parallel_coordinates")


@pytest.mark.also_remote
def test_without_links_the_harness_reports_the_failure(window):
    """The planted case: the selections no longer agree, and that must be noticed."""
    window.ask("unlink")
    window.click(middle(window, run_at(2, 2)))
    with pytest.raises(AssertionError, match="expected runs"):
        window.wait_selected([run_at(2, 2)], seconds=2)
