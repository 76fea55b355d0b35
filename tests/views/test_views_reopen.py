"""Scene and state files reopen: File > Load State, and without a window."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from synthetic_ensemble import write_ensemble

from pvensemble.launcher.scenes import scene_file, scene_folder

pytestmark = pytest.mark.paraview

STATE = scene_folder() / "performance.pvsm"
VIEWS = sorted(["RenderView"] * 3 + ["ParallelCoordinatesChartView", "SpreadSheetView"])


@pytest.fixture(scope="module")
def reopened(tmp_path_factory, run_in_paraview) -> dict:
    folder = tmp_path_factory.mktemp("reopen")
    ensemble = write_ensemble(folder / "ensemble.pvens", 5)
    file = folder / "answers.json"
    script = Path(__file__).parent / "reopen.py"
    run_in_paraview(script, ensemble, scene_file("performance"), STATE, file)
    return {**json.loads(file.read_text()), "ensemble": str(ensemble), "picture": f"{file}.png"}


def test_the_state_file_names_no_folder_of_the_machine_it_was_made_on():
    text = STATE.read_text()
    assert 'value="ensemble.pvens"' in text
    for folder in ("/tmp", "/home", "/root", "/work"):
        assert f'value="{folder}' not in text


def test_a_state_file_opens_another_ensemble_and_its_views_are_live(reopened):
    got = reopened["pvsm"]
    assert got["file"] == reopened["ensemble"]
    assert got["views"] == VIEWS
    assert got["layouts"] == ["Performance", "Runs"]
    assert got["selected"] == [3, 5]
    assert got["graph"] == "3,5"
    assert got["links"] == 4


def test_a_state_file_is_drawn(reopened):
    assert Path(reopened["picture"]).stat().st_size > 20_000


def test_a_scene_file_is_a_state_file_for_the_ensemble_that_is_open(reopened):
    got = reopened["py"]
    assert got["file"] == reopened["ensemble"]
    assert got["views"] == VIEWS
    assert (got["selected"], got["graph"], got["links"]) == ([3, 5], "3,5", 4)


def test_a_scene_file_without_an_open_ensemble_says_so(reopened):
    assert "no ensemble is open" in reopened["without an ensemble"]
