"""The scene ``topology`` in a real ParaView without a window, beside ``performance``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from synthetic_ensemble import write_ensemble

from pvensemble.launcher.scenes import scene_file
from pvensemble.schema import ACTIVATION, CORRELATION, GRAM

pytestmark = pytest.mark.paraview

LAYERS = {"conv1": 6, "conv2": 12}
N_RUNS = 25
CYAN, RED = 0, 24


@pytest.fixture(scope="module")
def found(tmp_path_factory, run_in_paraview) -> dict:
    """What ``in_topology.py`` found with 5 x 5 runs, and with ensembles of other shapes."""
    folder = tmp_path_factory.mktemp("topology")
    every = (CORRELATION, ACTIVATION, GRAM)
    write_ensemble(folder / "grid.pvens", 5, layers=(LAYERS,), kinds=every)
    write_ensemble(folder / "one.pvens", 1, layers=(LAYERS,))
    write_ensemble(folder / "two.pvens", 2, layers=({}, LAYERS))
    write_ensemble(folder / "groups.pvens", 3, layers=(LAYERS, {"conv1": 6, "conv2": 4}))
    write_ensemble(folder / "diverged.pvens", 2, diverged=3, layers=(LAYERS,), kinds=every)
    write_ensemble(folder / "table.pvens", 2)
    (folder / "state").mkdir()
    write_ensemble(
        folder / "state" / "ensemble.pvens", 2, layers=({"first": 4, "last": 5},), kinds=every
    )
    file = folder / "answers.json"
    scenes = (scene_file("performance"), scene_file("topology"))
    run_in_paraview(Path(__file__).parent / "in_topology.py", folder, *scenes, file, timeout=480)
    return json.loads(file.read_text())


def test_it_uses_the_runs_of_the_scene_that_is_open(found):
    assert found["shared"] == [True] * 3
    assert found["readers of runs"] == 1
    assert found["layouts"] == ["Performance", "Runs", "Similarity", "Topology"]
    assert found["views"] == [
        "activation_maps",
        "correlation_first",
        "correlation_graph",
        "correlation_last",
        "parallel_coordinates",
        "run_similarity",
        "similarity_plot",
        "spreadsheet",
    ]


def test_only_what_is_needed_is_read_for_all_plots(found):
    assert found["readers"] == [[["conv2"], [CORRELATION]], [["conv2"], [CORRELATION, ACTIVATION]]]


def test_before_anything_is_picked_the_runs_at_the_corners_are_shown(found):
    assert found["before"] == [[CYAN], [RED]]
    assert found["layer"] == ["conv2", [RED]]


@pytest.mark.parametrize(
    "where",
    ["groups", "parallel", "similarity", "graph", "performance parallel", "heat map", "loss"],
)
def test_a_selection_in_any_source_of_either_scene_is_in_all(found, where):
    k = list(found["linked"]).index(where)
    runs, maps, drawn = found["linked"][where]
    assert runs == [[k, 10 + k]]
    assert maps == [[k], [10 + k]]
    assert drawn == f"{k},{10 + k}"


def test_without_a_selection_all_curves_and_the_corners_are_back(found):
    assert found["cleared"] == [[[]], [[CYAN], [RED]], ""]


def test_the_maps_follow_the_picks_in_their_order(found):
    a, b, c = found["a, b, c"]
    assert found["picks"] == [
        [[[a]], [[a], [CYAN if a == RED else RED]], [a], 1],
        [[sorted([a, b])], [[a], [b]], [b], 2],
        [[sorted([a, b, c])], [[a], [c]], [c], 3],
        [[sorted([b, c])], [[b], [c]], [c], 2],
    ]


def test_a_drag_takes_all_points_it_touches(found):
    assert found["drag over all"] == [list(range(N_RUNS))]


def test_a_cell_of_the_matrix_of_runs_selects_both(found):
    assert found["pair"] == [[[4, 9]], [[4], [9]]]
    assert found["pair is marked"]
    runs, expected = found["and another cell"]
    assert runs == [expected]


def test_filters_are_marked_wherever_their_run_is_shown(found):
    assert found["filters"] == [True, [2, 5], 0]
    assert found["another run"] == 0
    assert found["filters are back"] == [True, [2, 5], 0]


def test_what_does_not_depend_on_time_is_left_alone_when_it_moves(found):
    assert found["updated later"] == ["correlation_first 1"]


def test_the_same_filters_are_marked_when_clusters_order_them_otherwise(found):
    marks, is_another_order = found["filters later"]
    assert marks == [True, [2, 5], 0]
    assert is_another_order


def test_another_layer_in_one_plot_is_another_layer_in_all(found):
    assert found["other layer"] == ["conv1"] * 4
    assert found["checked"] == [[["conv1"], [CORRELATION]], [["conv1"], [CORRELATION, ACTIVATION]]]
    assert found["filters of the other layer"] == LAYERS["conv1"]


def test_another_measure_brings_what_it_needs(found):
    assert found["cka"] == [[CORRELATION, GRAM], True]


def test_attaching_again_leaves_one_of_each(found):
    assert found["links"] == 12
    assert found["attached again"] == [[[2]], [[2], [RED]]]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("one", [[[0], [0]], 1]),
        ("two", [[[], [3]], 4]),
        ("groups", [[[0], [8]], 9]),
        ("diverged", [[[0], [0]], 4]),
    ],
)
def test_ensembles_of_other_shapes_are_shown(found, name, expected):
    assert found["others"][name] == expected


def test_an_ensemble_without_correlations_says_what_to_record(found):
    message = found["others"]["table"]
    assert "table.pvens holds no correlations" in message
    assert "record.kinds" in message


def test_a_state_file_opens_an_ensemble_with_other_layers_and_is_live(found):
    layer, maps, parallel, checked, n_links = found["reopened"]
    assert layer == "last"
    assert maps == [[3], [0], [3]]
    assert parallel == [3]
    assert checked == [["last"], ["last"]]
    assert n_links == 10


def test_the_state_file_names_no_folder_of_the_machine_it_was_made_on():
    text = scene_file("topology").with_suffix(".pvsm").read_text()
    assert text.count('value="ensemble.pvens"') == 2
    for folder in ("/tmp", "/home", "/root", "/work"):
        assert f'value="{folder}' not in text
