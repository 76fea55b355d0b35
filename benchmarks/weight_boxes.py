"""One frame of Weight Boxes while the camera turns, as boxes and as an image.

    xvfb-run -a pvensemble pvpython benchmarks/weight_boxes.py

The alternative is the naive way: a vtkCubeSource at every weight, scaled to it, by vtkGlyph3D. The
aim is five frames a second at 500,000 weights on two cores without a graphics card. A second table
is of a change of all weights, as from step to step, until it is drawn, without reading files. Views
are drawn in turn at 1000 x 800 pixels. Processor time is that of all threads: on a busy machine it
tells more than the time that passed.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "benchmarks"), str(ROOT)]

import numpy as np  # noqa: E402
from harness import alternate, machine, report  # noqa: E402
from paraview import servermanager, simple  # noqa: E402
from vtkmodules.util.numpy_support import vtk_to_numpy  # noqa: E402
from vtkmodules.vtkCommonDataModel import vtkPolyData  # noqa: E402
from vtkmodules.vtkFiltersCore import vtkGlyph3D  # noqa: E402
from vtkmodules.vtkFiltersSources import vtkCubeSource  # noqa: E402

from pvensemble.filters.plot_geometry import vtk_points  # noqa: E402
from pvensemble.schema import WEIGHT  # noqa: E402
from pvensemble.store import (  # noqa: E402
    EnsembleWriter,
    HyperParameter,
    LayerInfo,
    RunInfo,
    SessionInfo,
)
from pvensemble.views import colors, layout, weight_charts  # noqa: E402
from pvensemble.views.charts import show  # noqa: E402
from pvensemble.vtkdata.arrays import to_vtk  # noqa: E402

SIZE = (1000, 800)
SHAPES = {
    10_000: (25, 16, 5, 5),
    50_000: (50, 40, 5, 5),
    100_000: (100, 40, 5, 5),
    500_000: (500, 1000),
}


def write_ensemble(path: Path, shape: tuple[int, ...]) -> Path:
    """Write a run with one layer of random weights, at one step."""
    weights = np.random.default_rng(0).normal(size=(1, *shape)).astype(np.float32)
    with EnsembleWriter.create(
        path,
        name="boxes",
        sessions=[SessionInfo("one", "#1f77b4")],
        hyper_parameters=[HyperParameter("learning_rate", "float", "log")],
    ) as writer:
        kind = "Conv2d" if len(shape) == 4 else "Linear"
        runs = [RunInfo("run0", {"learning_rate": 0.1}, 0, "one", 0)]
        group = writer.create_group(runs, [LayerInfo("layer", kind, shape, (WEIGHT,))])
        group.commit(0, {("layer", WEIGHT): weights}, {})
        writer.finish()
    return path


def boxes_of(path: Path, detail: str) -> Any:
    """Return the filter on an ensemble."""
    reader = simple.OpenDataFile(str(path))
    reader.Layers = ["layer"]
    boxes = simple.WeightBoxes(Input=reader, Tensors=simple.OutputPort(reader, 1))
    boxes.Detail = detail
    boxes.UpdatePipeline(0.0)
    return boxes


def cubes_of(boxes: Any) -> vtkGlyph3D:
    """Return a filter that makes the same boxes."""
    data = servermanager.Fetch(boxes, idx=0)
    corners = vtk_to_numpy(data.GetPoints().GetData()).reshape(-1, 8, 3)
    low, high = corners.min(axis=1), corners.max(axis=1)
    points = vtkPolyData()
    points.SetPoints(vtk_points((low + high) / 2))
    points.GetPointData().SetVectors(to_vtk(high - low, "size"))
    normalized = vtk_to_numpy(data.GetCellData().GetArray("normalized"))
    points.GetPointData().SetScalars(to_vtk(normalized, "normalized"))
    cube, glyph = vtkCubeSource(), vtkGlyph3D()
    glyph.source = cube  # nothing else holds it
    glyph.SetSourceConnection(cube.GetOutputPort())
    glyph.SetInputData(points)
    glyph.SetScaleModeToScaleByVectorComponents()
    glyph.SetColorModeToColorByScalar()
    glyph.OrientOff()
    glyph.Update()
    return glyph


def view_of(plot: Any) -> Any:
    """Return a view in which a plot is shown as the scene shows it."""
    view = layout.plot_view("boxes")
    view.ViewSize = SIZE
    weight_charts.show_weight_boxes(plot, view)
    simple.Render(view)
    weight_charts.FitBoxes(view, plot, bar=colors.bar_of(view)).remove()
    layout.smooth([view])
    return view


def view_of_cubes(glyph: vtkGlyph3D, camera_of: Any) -> Any:
    """Return a view of the cubes with the camera of another view."""
    source = simple.TrivialProducer()
    source.GetClientSideObject().SetOutput(glyph.GetOutput())
    view = layout.plot_view("cubes")
    view.ViewSize, view.UseLight = SIZE, 1
    display = show(source, view, 0)
    display.Ambient, display.Diffuse = 0.45, 0.65
    colors.diverging(display, "normalized", view, (-1.0, 1.0))
    display.ColorArrayName = ["POINTS", "normalized"]
    simple.Render(view)
    view.InteractionMode = "3D"
    for name in ("FocalPoint", "Position", "ViewUp", "ParallelScale", "ParallelProjection"):
        setattr(view, f"Camera{name}", getattr(camera_of, f"Camera{name}"))
    layout.smooth([view])
    return view


def turn(view: Any) -> None:
    """Turn the camera a little, and draw."""
    view.GetActiveCamera().Azimuth(2.0)
    simple.Render(view)


def change_boxes(plot: Any, view: Any) -> None:
    """Let the filter make all boxes anew, and draw."""
    plot.LabelSize = 2.0 if plot.LabelSize != 2.0 else 2.1
    simple.Render(view)


def change_cubes(glyph: vtkGlyph3D, view: Any) -> None:
    """Let vtkGlyph3D make all boxes anew, and draw."""
    glyph.Modified()
    glyph.Update()
    simple.Render(view)


def noting(work: Callable, spent: list[float]) -> Callable[[], None]:
    """Return a function that notes the processor seconds of its work."""

    def call() -> None:
        start = time.process_time()
        work()
        spent.append(time.process_time() - start)

    return call


def print_table(title: str, work: dict[str, Callable], repeats: int) -> None:
    """Time the variants in turn, and print a table."""
    spent: dict[str, list[float]] = {name: [] for name in work}
    noted = {name: noting(call, spent[name]) for name, call in work.items()}
    print(report(title, alternate(noted, repeats), "vtkGlyph3D"))
    for name, every in spent.items():
        middle = statistics.median(every[1:])
        print(f"{name}: {1e3 * middle:.3g} ms of processor time (all threads)")
    print(flush=True)


def measure(folder: Path, n_weights: int, repeats: int) -> None:
    """Print both tables of a number of weights."""
    path = write_ensemble(folder / f"{n_weights}.pvens", SHAPES[n_weights])
    boxes, image = boxes_of(path, "boxes"), boxes_of(path, "image")
    plots = {"boxes": boxes, "image": image}
    views = {name: view_of(plot) for name, plot in plots.items()}
    glyph = cubes_of(boxes)
    cubes = view_of_cubes(glyph, views["boxes"])
    turned = {"vtkGlyph3D": cubes, **views}
    work = {name: partial(turn, view) for name, view in turned.items()}
    print_table(f"{n_weights:,} weights, the camera turns", work, repeats)
    work = {name: partial(change_boxes, plots[name], view) for name, view in views.items()}
    work = {"vtkGlyph3D": partial(change_cubes, glyph, cubes), **work}
    print_table(f"{n_weights:,} weights, all of them change", work, repeats)
    for view in turned.values():
        simple.Delete(view)


def main() -> int:
    """Measure and print Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--weights", type=int, nargs="+", default=list(SHAPES), choices=SHAPES)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    print(machine() + "\n")
    with tempfile.TemporaryDirectory() as folder:
        for n_weights in options.weights:
            measure(Path(folder), n_weights, options.repeats)
    return 0


if __name__ == "__main__":
    main()
    # Not as usual: ParaView 5.11 closes several windows in an order that X refuses (GLXBadContext).
    sys.stdout.flush()
    os._exit(0)
