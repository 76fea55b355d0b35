"""Loss Surface in a real ParaView: its list, its outputs, picking trajectories, the camera."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from paraview_process import run_in_paraview

sys.path.insert(0, str(Path(__file__).parents[1] / "filters"))

from surface_samples import bowl, with_surfaces

pytestmark = pytest.mark.paraview

BODY = """
from paraview import servermanager, simple
from vtkmodules.util.numpy_support import vtk_to_numpy
from pvensemble.views import surface_charts

reader = simple.OpenDataFile(arguments["path"])
groups = simple.RunGroups(Input=reader)
plot = simple.LossSurface(Input=groups)
plot.UpdatePipeline(100)
result["names"] = list(plot.GetProperty("SurfaceInfo"))
result["defaults"] = [int(plot.LogScale), float(plot.Clip), float(plot.HeightScale)]

def points(port, name):
    data = servermanager.Fetch(plot, idx=port)
    return vtk_to_numpy(data.GetPointData().GetArray(name)).tolist()

view = surface_charts.space_view("Loss")
view.ViewSize = [800, 600]
view.ViewTime = 50
surface_charts.show_loss_surface(plot, view)
simple.Render(view)
result["mode"] = str(view.InteractionMode).strip("'")
result["camera"] = [list(view.CameraPosition), list(view.CameraFocalPoint)]
simple.SelectSurfaceCells(Rectangle=[0, 0, 800, 600], View=view)
chosen = plot.GetSelectionInput(1)
ids = [] if chosen is None else [i for node in chosen.Input for i in list(node.IDs)[1::2]]
result["picked"] = sorted({int(i) for i in ids})
simple.ClearSelection()

plot.Surface = "bowl"
plot.LogScale = 0
plot.Clip = 3.0
plot.UpdatePipeline(0)
result["loss"], result["height"] = points(0, "loss"), points(0, "height")
result["step"] = points(1, "step")
with messages() as caught:
    plot.Surface = "bowel"
    plot.UpdatePipeline(0)
result["complaint"] = caught.text
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    path = with_surfaces(tmp_path_factory.mktemp("surface") / "grid.pvens")
    return run_in_paraview(BODY, tmp_path_factory.mktemp("scripts"), path=str(path))


def test_the_panel_lists_the_surfaces(found):
    assert found["names"] == ["", "bowl", "three"]
    assert found["defaults"] == [1, 0.0, 1.0]


def test_trajectories_can_be_picked_and_are_runs(found):
    assert found["picked"] == [1, 4, 7]


def test_it_is_looked_at_from_above(found):
    position, focus = np.array(found["camera"])
    towards = (position - focus) / np.linalg.norm(position - focus)
    assert np.degrees(np.arcsin(towards[2])) == pytest.approx(32, abs=0.5)
    assert found["mode"] == "3D"


def test_values(found):
    x, y = np.meshgrid(np.linspace(-1, 1, 9), np.linspace(-0.8, 0.8, 7))
    loss = bowl(x, y).ravel()
    np.testing.assert_allclose(found["loss"], loss, rtol=1e-5)
    expected = 4.5 * (np.minimum(loss, 3) - loss.min()) / (3 - loss.min())
    np.testing.assert_allclose(found["height"], expected, atol=1e-5)
    assert {0.0, 50.0, 100.0} <= set(found["step"])


def test_a_wrong_name_is_explained(found):
    assert "did you mean 'bowl'" in found["complaint"]
