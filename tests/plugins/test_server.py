"""A scene whose data are on a pvserver: what works there, and what is said when it cannot."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack

import pytest
from paraview_process import run_in_paraview
from pvserver_process import pvserver

from pvensemble import __version__
from pvensemble.launcher.display import virtual_screen
from pvensemble.launcher.scenes import scene_file

pytestmark = pytest.mark.paraview

SCENE = """
from paraview import simple
from vtkmodules.util.numpy_support import vtk_to_numpy
from pvensemble.views import attach, groups, server
from pvensemble.views.data import fetch
from pvensemble.views.scenes import load_scene
from pvensemble.views.selection import select_cells, selected_cells

server.connect(arguments["address"])
result["remote"] = server.is_remote()
scenes = [load_scene(file).build(arguments["path"]) for file in arguments["scenes"]]
sources = {**scenes[0].sources, **scenes[1].sources}
plots = {n: s for n, s in sources.items() if s.SMProxy.GetXMLName() in attach.PLOTS}
meanings = {n: attach.PLOTS[s.SMProxy.GetXMLName()].meaning(s) for n, s in plots.items()}
result["cells"] = {n: fetch(s).GetNumberOfCells() for n, s in plots.items()}
select_cells(sources["graph"], [2, 7])
result["chosen"] = {n: meanings[n].runs(selected_cells(s)).tolist() for n, s in plots.items()}
result["drawn"] = [sources[n].Runs for n in ("graph", "correlation_graph")]
result["shown"] = [
    sorted(set(vtk_to_numpy(fetch(sources[n]).GetCellData().GetArray("run_index")).tolist()))
    for n in ("correlation_first", "correlation_last")
]
groups.group_from_selection("mine")
colors = fetch(sources["groups"]).GetCellData().GetArray("group_color")
result["colors"] = [colors.GetTuple(k) for k in (2, 7, 8)]
"""

TELL = """
from paraview import simple
from pvensemble.errors import SceneError
from pvensemble.views import server
from pvensemble.views.pipeline import open_runs

result["said"], result["at once"] = [], []
server.print_error = result["at once"].append
server.watch_connections()
for address in arguments["addresses"]:
    try:
        server.connect(address)
        open_runs(arguments["path"])
        result["said"].append("")
    except SceneError as error:
        result["said"].append(str(error))
result["sources"] = len(simple.GetSources())
"""

OTHER_PLUGIN = """
from paraview.util.vtkAlgorithm import smproperty, smproxy, VTKPythonAlgorithmBase


@smproxy.source(name="EnsembleReader", label="Ensemble Reader")
@smproperty.xml(
    '<StringVectorProperty name="FileName" command="SetFileName" number_of_elements="1"/>'
    '<StringVectorProperty name="PackageVersion" command="GetPackageVersion" '
    'information_only="1" si_class="vtkSIStringVectorProperty" number_of_elements="0" '
    'repeat_command="1"/>'
)
class EnsembleReader(VTKPythonAlgorithmBase):
    def SetFileName(self, name):
        pass

    def GetPackageVersion(self):
        return "0.0.9"
"""


@pytest.fixture(scope="module")
def screen():
    """A display for servers; without one they say that they cannot draw."""
    with virtual_screen((640, 480)) as found:
        yield found


@pytest.mark.parametrize("n_ranks", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_linked_scenes_on_a_server(truth, tmp_path, screen, n_ranks):
    scenes = [str(scene_file(name)) for name in ("performance", "topology")]
    with pvserver(tmp_path, n_ranks=n_ranks, extra=screen) as address:
        where = {"address": address, "path": str(truth.path)}
        found = run_in_paraview(SCENE, tmp_path, scenes=scenes, **where)
    assert found["remote"]
    n_pairs = found["cells"].pop("run_similarity")
    assert n_pairs == 25**2
    assert set(found["cells"].values()) == {25}
    assert len(found["chosen"]) == 6
    assert found["chosen"] == dict.fromkeys(found["chosen"], [2, 7])
    assert found["drawn"] == ["2,7", "2,7"]
    assert found["shown"] == [[2], [7]]
    assert found["colors"][0] == found["colors"][1] != found["colors"][2]


def test_a_server_that_cannot_show_an_ensemble_is_told_of(tmp_path, screen):
    """No plugin there, one of another version, no such ensemble."""
    plugin = tmp_path / "other_plugin.py"
    plugin.write_text(OTHER_PLUGIN)
    config = tmp_path / "other.xml"
    config.write_text(
        f'<Plugins><Plugin name="other_plugin" filename="{plugin}" auto_load="1"/></Plugins>'
    )
    options = ({"config": ""}, {"config": config}, {})
    with ExitStack() as stack:
        addresses = []
        for k, each in enumerate(options):
            (tmp_path / str(k)).mkdir()
            server = pvserver(tmp_path / str(k), extra=screen, **each)
            addresses.append(stack.enter_context(server))
        path = str(tmp_path / "none.pvens")
        found = run_in_paraview(TELL, tmp_path, addresses=addresses, path=path)
    without, other, missing = found["said"]
    assert f"cs://{addresses[0]} has not loaded the pvensemble plugin" in without
    assert "pvensemble pvserver" in without
    assert f"cs://{addresses[1]} has pvensemble 0.0.9, this side has {__version__}" in other
    assert f"{path}: there is no such ensemble" in missing
    assert missing.endswith(f"(on the server cs://{addresses[2]})")
    assert found["sources"] == 0
    assert found["at once"] == [f"pvensemble: {text}" for text in (without, other)]


def test_a_server_that_does_not_answer_is_a_message_and_status_2():
    with virtual_screen((640, 480)) as screen:
        done = subprocess.run(
            [sys.executable, "-m", "pvensemble", "pvpython", "--server", "localhost:1", "x.pvens"],
            env={**os.environ, **screen},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=100,
        )
    assert done.returncode == 2, done.stderr
    assert "pvensemble: no pvserver answers at localhost:1" in done.stderr
    assert "Traceback" not in done.stderr
