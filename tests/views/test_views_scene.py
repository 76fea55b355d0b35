"""The scene ``performance`` in a real ParaView without a window."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.paraview

PLOTS = ("groups", "parallel_coordinates", "heat_map", "graph")


def everywhere(runs: list[int]) -> dict:
    return dict.fromkeys(PLOTS, runs)


def test_the_views_are_white_flat_and_without_orientation_axes(answers):
    assert answers["views"] == [
        "heat_map",
        "loss_accuracy",
        "native_parallel_coordinates",
        "parallel_coordinates",
        "spreadsheet",
    ]
    assert answers["orientation axes"] == [0, 0, 0]
    assert answers["modes"] == ["2D"] * 3
    assert answers["backgrounds"] == [[1.0, 1.0, 1.0]] * 3
    assert answers["layouts"] == ["Performance", "Runs"]


def test_the_last_step_is_shown(answers):
    assert answers["time"] == 200


@pytest.mark.parametrize("where", PLOTS)
def test_a_selection_in_any_source_is_in_all_and_the_graph_shows_just_those(answers, where):
    k = PLOTS.index(where)
    selected, runs_property, drawn = answers["linked"][where]
    assert selected == everywhere([k, 10 + k])
    assert runs_property == f"{k},{10 + k}"
    assert drawn == [k, 10 + k]


def test_without_a_selection_the_graph_shows_all(answers):
    assert answers["cleared"] == [everywhere([]), "", 121]


def test_a_selection_by_query_is_understood(answers):
    selected, expected = answers["query"]
    assert 0 < len(expected) < 121
    assert selected == everywhere(expected)


def test_the_left_button_selects_adds_and_takes_away(answers):
    assert answers["click"] == everywhere([40])
    assert answers["ctrl click"] == everywhere([40, 41])
    assert answers["shift click"] == everywhere([41])
    assert answers["drag"] == everywhere([40, 41])


def test_a_click_on_a_dot_of_the_loss_selects_its_run(answers):
    assert answers["loss dot"] == everywhere([60])


def test_a_selected_run_is_drawn_as_a_line_where_an_image_stands_for_the_others(answers):
    (few_runs, few_corners, few_after), (runs, corners, after) = answers["crowded"]
    assert (few_runs, few_after) == ("", "")
    assert (runs, after) == ("33", "")
    assert corners == few_corners > 2


def test_a_drag_does_not_move_the_camera(answers):
    assert answers["camera moved"] is False


def test_a_group_is_made_of_the_selection_and_colours_it_everywhere(answers):
    assert answers["group"] == ["group 1", "#9467bd", "runs 3-5,9"]
    assert answers["group of run 4"] == 0
    assert answers["color of run 4"] == [0x94, 0x67, 0xBD]
    assert answers["selected after grouping"] == everywhere([])


def test_a_group_of_the_same_name_is_replaced_and_the_first_is_removed(answers):
    assert answers["replaced"][0] == ["group 1", "runs 7"]
    assert [name for name, _ in answers["replaced"]] == ["group 1", "low", "high"]
    assert answers["removed"] == ["low", "high"]


def test_a_group_of_nothing_is_an_error(answers):
    assert "no run is selected" in answers["nothing selected"]


def test_selections_are_combined(answers):
    assert answers["combined"] == [[3, 4], [1, 2, 3, 4], [1, 2], [1, 2, 4]]


def test_the_colours_of_the_heat_map_follow_the_measure_but_not_a_metric_over_time(answers):
    first, second, metric = answers["ranges"]
    assert first["colors"] == first["values"]
    assert second["colors"] == second["values"] != first["values"]
    assert metric["colors"] == second["colors"] != metric["values"]


def test_text_keeps_its_size_when_a_view_is_resized(answers):
    before, after = answers["text"]
    assert after == pytest.approx(before, rel=0.05)


def in_all_maps(runs: list[int], n_runs: int) -> list[int]:
    return [n_runs * k + run for k in range(3) for run in runs]


def test_a_selected_run_is_marked_in_every_map_of_all_pairs(answers):
    cells, n_runs = answers["new maps"]
    assert cells == in_all_maps([7, 20], n_runs)
    assert answers["all maps"] == in_all_maps([5], n_runs)


def test_cells_of_any_map_select_their_runs_everywhere(answers):
    n_runs = answers["new maps"][1]
    for what, runs in (
        ("picked in other maps", [8, 9]),
        ("click in the third map", [50]),
        ("taken away in the second map", []),
    ):
        cells, chosen = answers[what]
        assert cells == in_all_maps(runs, n_runs)
        del chosen["heat_map"]
        assert set(map(tuple, chosen.values())) == {tuple(runs)}


def test_attaching_again_leaves_one_of_each(answers):
    assert answers["attached again"] == [everywhere([2]), "2"]
    assert answers["links"] == 4


def test_without_links_nothing_follows(answers):
    """Negative control: it is the links that join the sources."""
    assert answers["unlinked"]["heat_map"] == [50]
    assert answers["unlinked"]["parallel_coordinates"] != [50]


def test_looking_for_displays_creates_none(answers):
    assert answers["nothing created by asking"] == 3
