"""The scene ``weights`` in a real ParaView without a window, beside ``topology``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from synthetic_ensemble import write_ensemble

from pvensemble.launcher.scenes import scene_file
from pvensemble.schema import CORRELATION, FILTER_GROUP, GRADIENT, WEIGHT

pytestmark = pytest.mark.paraview

LAYERS = {"conv1": 6, "conv2": 9}
KINDS = (CORRELATION, WEIGHT, GRADIENT, FILTER_GROUP)
CYAN, RED = 0, 24


@pytest.fixture(scope="module")
def found(tmp_path_factory, run_in_paraview) -> dict:
    """What ``in_weights.py`` found with 5 x 5 runs, and with ensembles of other shapes."""
    folder = tmp_path_factory.mktemp("weights")
    write_ensemble(folder / "grid.pvens", 5, layers=(LAYERS,), kinds=KINDS, linear={"fc": 12})
    write_ensemble(folder / "one.pvens", 1, layers=(LAYERS,), kinds=KINDS)
    write_ensemble(folder / "two.pvens", (2, 1), layers=(LAYERS,), kinds=KINDS)
    groups = (LAYERS, {"conv1": 6, "conv2": 4})
    write_ensemble(folder / "groups.pvens", 3, layers=groups, kinds=KINDS)
    write_ensemble(folder / "diverged.pvens", 2, diverged=3, layers=(LAYERS,), kinds=KINDS)
    write_ensemble(folder / "no weights.pvens", 2, layers=(LAYERS,))
    (folder / "state").mkdir()
    others = ({"first": 4, "last": 5},)
    write_ensemble(folder / "state" / "ensemble.pvens", 2, layers=others, kinds=KINDS)
    file = folder / "answers.json"
    scenes = (scene_file("topology"), scene_file("weights"))
    run_in_paraview(Path(__file__).parent / "in_weights.py", folder, *scenes, file, timeout=480)
    return json.loads(file.read_text())


def test_it_has_all_views_and_shares_the_runs(found):
    assert found["readers of runs"] == 1
    assert found["views"] == [
        "correlation",
        "filter_groups",
        "graph",
        "norm_graph",
        "parallel_coordinates",
        "spreadsheet",
        "trajectory",
        "weight_boxes",
        "weight_images",
    ]


def test_before_a_pick_the_run_that_is_highest_is_shown(found):
    assert found["before"]["shown"] == [[RED]]
    assert found["before"]["maps"] == [[CYAN], [RED]]


@pytest.mark.parametrize(
    "where", ["groups", "norms", "trajectory", "diagnostics", "parallel", "loss", "similarity"]
)
def test_a_selection_in_any_source_is_in_all_and_the_last_pick_is_shown(found, where):
    k = list(found["linked"]).index(where)
    now = found["linked"][where]
    assert now["selected"] == [[k, 10 + k]]
    assert now["shown"] == [[10 + k]]
    assert now["maps"] == [[k], [10 + k]]  # the scene beside has its own first and last
    assert now["drawn"] == [k, 10 + k]


def test_without_a_selection_all_is_as_before(found):
    assert found["cleared"] == found["before"]
    assert found["cleared"]["drawn"] == []  # no choice: all


def test_layers_without_correlations_are_shown_by_plots_of_weights(found):
    assert found["other layer"] == {
        "weight_images": "fc",
        "trajectory": "fc",
        "diagnostics": "fc",
        "correlation": "conv2",
        "filter_groups": "conv2",
    }


def test_other_ensembles(found):
    others = found["others"]
    for name in ("one", "two", "groups", "diverged"):
        assert others[name] == [[0]] * 4, name
    assert "weight" in others["no weights"]
    assert "record.kinds" in others["no weights"]


def test_the_state_opens_with_another_ensemble(found):
    assert found["reopened"] == ["last", [3]]
