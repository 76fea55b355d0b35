"""Performance analysis: which hyper-parameters make a run good, and how they interact.

Layout "Performance": parallel coordinates of all runs (hyper-parameters, then measures), a heat map
over two hyper-parameters, and the accuracy and loss of the selected runs over the training. Layout
"Runs": ParaView's own parallel coordinates and a spreadsheet of the same runs. Selecting in any
view selects in all.

    pvensemble paraview my.pvens
    pvensemble render my.pvens --scene performance -o pictures

or File > Load State in a ParaView in which an ensemble is open.
"""

import os

from paraview import simple as pv

from pvensemble.views import attach, charts, layout, pipeline
from pvensemble.views.scenes import Scene

SIZE = (1920, 1200)


def build(path=None, size=SIZE, groups=None):
    """Show an ensemble (the one that is open already, where no path is given)."""
    scene = Scene()
    add_pipeline(scene, path, groups)
    add_plots(scene, size)
    add_tables(scene, size)
    layout.remove_empty_layouts(keep=list(scene.layouts.values()))
    pipeline.go_to_last_step()
    pv.RenderAllViews()  # the first rendering of all resets a camera; cameras are set after it
    layout.smooth(scene.views.values())
    scene.keep += attach.attach()
    pv.SetActiveView(scene.views["parallel_coordinates"])
    pv.SetActiveSource(scene.sources["groups"])
    pv.RenderAllViews()
    return scene


def add_pipeline(scene, path, groups):
    """Reader, measures, groups (shared with other scenes of the ensemble), plots."""
    shared = pipeline.open_runs(path, groups)
    chosen = shared["groups"]
    scene.sources = {
        **shared,
        "parallel_coordinates": pv.ParallelCoordinates(
            registrationName="Parallel Coordinates", Input=chosen, FollowTime=0
        ),
        "heat_map": pv.PerformanceHeatMap(registrationName="Performance Heat Map", Input=chosen),
        "graph": pv.LossAccuracyGraph(
            registrationName="Loss-Accuracy Graph", Input=chosen, FollowTime=0
        ),
    }


def add_plots(scene, size):
    """Parallel coordinates above; heat map and graph below."""
    parallel = layout.plot_view("Parallel Coordinates")
    heat = layout.plot_view("Performance Heat Map")
    graph = layout.plot_view("Loss and Accuracy")
    tab = layout.new_layout("Performance")
    above, below = layout.split(tab, layout.TOP, "vertical", 0.5)
    left, right = layout.split(tab, below, "horizontal", 0.42)
    layout.place(tab, above, parallel)
    layout.place(tab, left, heat)
    layout.place(tab, right, graph)
    layout.set_size(tab, parallel, size)
    charts.show_parallel_coordinates(scene.sources["parallel_coordinates"], parallel)
    charts.show_heat_map(scene.sources["heat_map"], heat)
    charts.show_graph(scene.sources["graph"], graph)
    scene.layouts["performance"] = tab
    scene.views.update(parallel_coordinates=parallel, heat_map=heat, loss_accuracy=graph)


def add_tables(scene, size):
    """ParaView's own views of the runs."""
    native = charts.native_parallel_coordinates(scene.sources["groups"])
    sheet = charts.spreadsheet(scene.sources["groups"])
    tab = layout.new_layout("Runs")
    above, below = layout.split(tab, layout.TOP, "vertical", 0.5)
    layout.place(tab, above, native)
    layout.place(tab, below, sheet)
    layout.set_size(tab, native, size)
    scene.layouts["runs"] = tab
    scene.views.update(native_parallel_coordinates=native, spreadsheet=sheet)


def animate(scene):
    """Let what is seen change with time: the heat map shows the accuracy at the present step."""
    runs, plot = scene.sources["groups"], scene.sources["heat_map"]
    metric = pipeline.accuracy_column(runs)
    if metric:
        limits = pipeline.curve_range(runs, metric)
        charts.color_heat_map(plot, scene.views["heat_map"], metric, limits)


if __name__ == "__main__":
    build(os.environ.get("PVENSEMBLE_FILE"))
