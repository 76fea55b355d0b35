"""The plots of weights in a real ParaView: inputs, values over time, pictures, picking, states."""

from __future__ import annotations

import numpy as np
import pytest
from ensembles import LAYERS, make_ensemble, tensor
from paraview_process import run_in_paraview
from reducing_samples import STANDING, make_reducing

pytestmark = pytest.mark.paraview

BODY = """
import numpy as np
from paraview import servermanager, simple
from vtkmodules.util.numpy_support import vtk_to_numpy
from pvensemble.views import colors, layout, weight_charts

def column(source, name, port=0):
    data = servermanager.Fetch(source, idx=port)
    return vtk_to_numpy(data.GetCellData().GetArray(name)).tolist()

def picture(show, source, fit):
    '''Share of pixels that are red, and that are blue.'''
    view = layout.plot_view("x")
    view.ViewSize = [400, 300]
    view.ViewTime = 100.0
    show(source, view)
    simple.Render(view)
    kept = fit(view)
    simple.Render(view)
    from vtkmodules.vtkRenderingCore import vtkWindowToImageFilter
    grab = vtkWindowToImageFilter()
    grab.SetInput(view.GetRenderWindow())
    grab.ReadFrontBufferOff()
    grab.Update()
    rgb = vtk_to_numpy(grab.GetOutput().GetPointData().GetScalars()).astype(int)[:, :3]
    left = rgb.reshape(300, 400, 3)[:, :280].reshape(-1, 3)  # without the colour bar
    result["shades"] = len(np.unique(left, axis=0))
    bar = colors.bar_of(view)
    result["bar of"] = None if bar is None else bar.Position[0]
    red = ((left[:, 0] - left[:, 2]) > 40).mean()
    blue = ((left[:, 2] - left[:, 0]) > 40).mean()
    kept.remove()
    simple.Delete(view)
    return [float(red), float(blue)]

reader = simple.OpenDataFile(arguments["path"])
reader.Layers = ["conv1", "conv2"]
measures = simple.PerformanceMeasures(Input=reader)
boxes = simple.WeightBoxes(Input=measures, Tensors=simple.OutputPort(reader, 1))
boxes.Runs = "7"
result["boxes"] = {}
for time in (50.0, 100.0, 0.0):
    boxes.UpdatePipeline(time)
    result["boxes"][f"{time:g}"] = column(boxes, "weight")
boxes.UpdatePipelineInformation()
result["layers"] = list(boxes.GetProperty("LayerInfo"))
boxes.Runs, boxes.Difference = "3,7", 1
boxes.UpdatePipeline(100.0)
result["difference"] = column(boxes, "weight")
result["drawn"] = {}
def fit(view):
    return weight_charts.FitBoxes(view, boxes, bar=colors.bar_of(view))
for detail in ("boxes", "image"):
    boxes.Detail = detail
    result["drawn"][detail] = picture(weight_charts.show_weight_boxes, boxes, fit)
    result[f"shades of {detail}"] = result["shades"]
    result["bar"] = result["bar of"]
result["image"] = [column(boxes, name, 2) for name in ("filter", "weight")]

images = simple.WeightImages(Input=measures)  # finds the tensors itself
images.Runs = "4-6"
images.UpdatePipeline(50.0)
result["tiles"] = [column(images, name) for name in ("weight", "run_index")]
rows = servermanager.Fetch(images, idx=4)
result["table"] = {rows.GetColumnName(k): vtk_to_numpy(rows.GetColumn(k)).tolist()
                   for k in range(rows.GetNumberOfColumns())}
result["bins"] = [column(images, name, 3) for name in ("count", "step", "run_index")]
images.Runs = "4"
result["drawn"]["tiles"] = picture(
    weight_charts.show_weight_images, images,
    lambda view: layout.Fit(view, images, (0, 1, 2, 3), bar=colors.bar_of(view)))
sheet = simple.CreateView("SpreadSheetView")
simple.Show(simple.OutputPort(images, 4), sheet)
simple.Render(sheet)
simple.Delete(sheet)

merging = simple.OpenDataFile(arguments["merging"])
merging.Layers = ["conv1"]
groups = simple.FilterGroups(Input=merging)
result["groups"] = {}
for time in (0.0, 20.0, 10.0):
    groups.UpdatePipeline(time)
    result["groups"][f"{time:g}"] = [column(groups, name) for name in ("filter", "filter_group")]
result["drawn"]["groups"] = picture(
    weight_charts.show_filter_groups, groups,
    lambda view: layout.Fit(view, groups, (0, 1)))

boxes.Kind = "gradient"
boxes.Layer = "conv1"  # an image of another size
result["drawn"]["another layer"] = picture(weight_charts.show_weight_boxes, boxes, fit)
result["gradient"] = [v for v, f in zip(column(boxes, "gradient", 2), column(boxes, "filter", 2))
                      if f == 0]
"""


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "grid.pvens"
    return make_ensemble(path, n_lr=3, n_momentum=3, groups=2)


@pytest.fixture(scope="module")
def found(truth, tmp_path_factory):
    folder = tmp_path_factory.mktemp("work")
    merging = make_reducing(folder / "merging.pvens")
    return run_in_paraview(BODY, folder, path=str(truth.path), merging=str(merging))


def expected(layer, kind, step, run):
    return tensor(LAYERS[layer], kind, step, np.array([run]))[0]


@pytest.mark.parametrize("step", [0, 50, 100])
def test_boxes_of_the_time(found, step):
    weights = expected(1, "weight", step, 7)
    np.testing.assert_array_equal(np.float32(found["boxes"][f"{step}"]), weights.ravel())


def test_the_panel_lists_the_layers(found):
    assert found["layers"] == ["", "conv1", "conv2"]


def test_a_difference(found):
    weights = expected(1, "weight", 100, 3) - expected(1, "weight", 100, 7)
    np.testing.assert_array_equal(np.float32(found["difference"]), weights.ravel())


@pytest.mark.parametrize("name", ["boxes", "image", "another layer", "tiles", "groups"])
def test_boxes_and_images_are_drawn_in_their_colours(found, name):
    red, blue = found["drawn"][name]
    assert max(red, blue) > 0.02, (red, blue)


def test_sides_of_boxes_are_shaded(found):
    assert found["shades of boxes"] > 1.5 * found["shades of image"]


def test_the_bar_stands_in_the_room_left_for_it(found):
    assert found["bar"] == pytest.approx(1 - 110 / 400)


def test_the_image_holds_the_weights(found):
    number, weight = map(np.array, found["image"])
    assert (number >= 0).sum() == 6 * 4 * 9
    weights = expected(1, "weight", 100, 3) - expected(1, "weight", 100, 7)
    np.testing.assert_allclose(
        np.sort(weight[number >= 0]), np.sort(weights.ravel()).astype(float), rtol=1e-6
    )


def test_tiles_statistics_and_histograms(found):
    weight, run_index = found["tiles"]
    weights = [expected(1, "weight", 50, k).ravel() for k in (4, 5, 6)]
    np.testing.assert_array_equal(np.float32(weight), np.concatenate(weights))
    assert run_index == np.repeat([4, 5, 6], 6 * 4 * 9).tolist()
    table = found["table"]
    assert table["step"] == [0, 50, 100] * 3
    assert table["run_index"] == np.repeat([4, 5, 6], 3).tolist()
    means = [expected(1, "weight", s, k).mean() for k in (4, 5, 6) for s in (0, 50, 100)]
    np.testing.assert_allclose(table["mean"], means, rtol=1e-5)
    count, step, run = map(np.array, found["bins"])
    assert {count[(step == s) & (run == k)].sum() for s in (0, 50, 100) for k in (4, 5, 6)} == {216}


@pytest.mark.parametrize("step", [0, 10, 20])
def test_filters_of_the_time_in_the_groups_of_the_end(found, step):
    number, group = found["groups"][f"{step}"]
    there = [f for f, standing in enumerate(STANDING[step]) if f == standing]
    assert number == np.repeat(there, 9).tolist()
    assert group == np.repeat(np.array(STANDING[20])[there], 9).tolist()


def test_gradients(found):
    gradients = expected(0, "gradient", 100, 3) - expected(0, "gradient", 100, 7)
    np.testing.assert_allclose(np.sort(found["gradient"]), np.sort(gradients[0].ravel()), rtol=1e-6)
