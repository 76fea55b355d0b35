"""Frame time of our parallel coordinates against ParaView's own view, in one process.

    xvfb-run -a pvpython benchmarks/parallel_coordinates.py --table nasbench201_accuracy.csv

Both views show the same runs on the same 12 axes (6 categorical columns, which ParaView's view
gets as their codes, and 6 accuracies) at 1600 x 900 pixels. A frame is a forced redraw of unchanged
data, waited for until it is finished; ``selected`` redraws with a fifth of the runs selected.
"""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path
from types import SimpleNamespace

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]  # pvpython does not see the checkout

import numpy as np  # noqa: E402
from harness import alternate, machine, report  # noqa: E402
from paraview import simple  # noqa: E402

from pvensemble.filters._base import run  # noqa: E402
from pvensemble.filters.parallel_coordinates import ParallelCoordinates  # noqa: E402
from pvensemble.vtkdata.runs_output import add_measure, runs_to_polydata  # noqa: E402

SIZE = (1600, 900)


def read_table(path: Path) -> dict[str, np.ndarray]:
    """Return the columns of a csv table, numbers where all values are numbers."""
    with path.open(newline="") as file:
        header, *rows = csv.reader(file)
    columns = {}
    for name, values in zip(header, zip(*rows)):
        try:
            columns[name] = np.array(values, dtype=np.float64)
        except ValueError:
            columns[name] = np.array(values)
    return columns


def make_runs(columns: dict[str, np.ndarray], n_runs: int):
    """Return every k-th row, ``n_runs`` of them; text columns become hyper-parameters."""
    n_rows = len(next(iter(columns.values())))
    rows = np.linspace(0, n_rows - 1, n_runs).astype(int)
    texts = {k: v[rows] for k, v in columns.items() if v.dtype.kind == "U"}
    numbers = {k: v[rows] for k, v in columns.items() if v.dtype.kind == "f"}
    parameters = [SimpleNamespace(name=name, scale="categorical") for name in texts]
    runs = runs_to_polydata({"run_index": np.arange(n_runs), **texts}, {}, parameters)
    for name, values in numbers.items():
        if name != "arch":
            add_measure(runs, name, values)
    names = [f"{name}_code" for name in texts] + [name for name in numbers if name != "arch"]
    return runs, names


def produced(data):
    """Return a ParaView source of a data set."""
    source = simple.TrivialProducer()
    source.GetClientSideObject().SetOutput(data)
    return source


def native_view(runs, names):
    """Return ParaView's view of the runs, and their source, which has nothing but the axes."""
    view = simple.CreateView("ParallelCoordinatesChartView")
    view.ViewSize = list(SIZE)
    data = runs.NewInstance()
    data.CopyStructure(runs)
    for name in names:
        data.GetCellData().AddArray(runs.GetCellData().GetArray(name))
    source = produced(data)
    shown = simple.Show(source, view)
    shown.SeriesVisibility = [part for name in names for part in (name, "1")]
    return view, source


def our_view(runs, density_above):
    """Return a render view of Parallel Coordinates, and the source of its lines."""
    plot = ParallelCoordinates()
    plot.SetInputDataObject(0, runs)
    plot.SetDensityAbove(density_above)
    run(plot)
    view = simple.CreateRenderView()
    view.ViewSize = list(SIZE)
    view.InteractionMode = "2D"
    sources = [produced(plot.GetOutputDataObject(port)) for port in range(3)]
    simple.Show(sources[0], view)
    axes = simple.Show(sources[1], view)
    simple.ColorBy(axes, ("POINTS", "color"))
    axes.MapScalars = 0
    if plot.GetOutputDataObject(2).GetNumberOfPoints():
        image = simple.Show(sources[2], view)
        image.SetRepresentationType("Slice")
        simple.ColorBy(image, ("POINTS", "density"))
    simple.ResetCamera(view)
    return view, sources[0]


def frame(view):
    """Return a function that redraws a view and waits until it is drawn."""
    window = view.GetRenderWindow()

    def draw():
        view.StillRender()
        window.WaitForCompletion()

    simple.Render(view)
    return draw


def select(source, n_runs: int) -> None:
    """Select every fifth run."""
    ids = np.column_stack([np.full(n_runs // 5, -1), np.arange(0, n_runs // 5 * 5, 5)])
    selection = simple.IDSelectionSource(FieldType="CELL", IDs=ids.ravel().tolist())
    source.SMProxy.SetSelectionInput(0, selection.SMProxy, 0)


def main() -> int:
    """Measure and print Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--table", type=Path, required=True, help="csv table of runs")
    parser.add_argument("--rows", type=int, nargs="+", default=[121, 1000, 15625])
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    columns = read_table(options.table)
    print(f"{machine()}; ParaView {simple.GetParaViewVersion()}, {SIZE[0]} x {SIZE[1]}\n")
    for n_runs in options.rows:
        runs, names = make_runs(columns, n_runs)
        views = {"native view": native_view(runs, names), "ours": our_view(runs, 3000)}
        if n_runs > 3000:
            views["ours, all lines"] = our_view(runs, n_runs)
        draw = {name: frame(view) for name, (view, _) in views.items()}
        title = f"{n_runs} rows x {len(names)} axes"
        times = alternate(draw, options.repeats)
        print(report(f"{title}: frame", times, "native view"), flush=True)
        for _, source in views.values():
            select(source, n_runs)
        draw = {name: frame(view) for name, (view, _) in views.items()}
        times = alternate(draw, options.repeats)
        print(report(f"{title}: frame, selected", times, "native view"), flush=True)
        for view, source in views.values():
            simple.Delete(source)
            simple.Delete(view)
        work = ParallelCoordinates()
        work.SetInputDataObject(0, runs)
        times = alternate({"filter": lambda work=work: run(work)}, options.repeats)
        print(report(f"{title}: the filter alone", times, "filter"))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
