"""Topology: how the filters of a layer behave under the hyper-parameters, and which runs are alike.

Layout "Topology": similarity plot of all runs, filter correlation matrices of two runs (the one
picked first and the one picked last; before that the runs at the corners of the space of the
hyper-parameters), highly correlated filters over the training, and parallel coordinates. Layout
"Similarity": matrix of all pairs of runs, feature maps of the run picked last (where activations
were recorded), and a spreadsheet. Selecting in any view selects in all, also in those of the scene
"performance" of the same ensemble.

    pvensemble paraview --scene topology my.pvens
    pvensemble render my.pvens --scene topology -o pictures

or File > Load State in a ParaView in which an ensemble is open. Another layer: change Layer of any
of the plots; the others follow.
"""

import os

from paraview import simple as pv

from pvensemble.views import attach, charts, layout, pipeline, tensors
from pvensemble.views import topology_charts as topology
from pvensemble.views.scenes import Scene

SIZE = (1920, 1200)


def build(path=None, size=SIZE, groups=None, layer=None):
    """Show a layer of an ensemble (the one that is open, where no path is given)."""
    scene = Scene()
    add_pipeline(scene, path, groups, layer)
    pipeline.go_to_last_step()
    add_plots(scene, size)
    add_tables(scene, size)
    layout.remove_empty_layouts(keep=list(scene.layouts.values()))
    pv.RenderAllViews()  # the first rendering of all resets a camera; cameras are set after it
    layout.smooth(scene.views.values())
    scene.keep += attach.attach()
    pv.SetActiveView(scene.views["similarity_plot"])
    pv.SetActiveSource(scene.sources["similarity_plot"])
    pv.RenderAllViews()
    return scene


def add_pipeline(scene, path, groups, layer):
    """Reader, measures, groups (shared with other scenes of the ensemble), plots."""
    shared = pipeline.open_runs(path, groups)
    reader, runs = shared["reader"], shared["groups"]
    layer = layer or tensors.last_layer(reader)
    of_layer = {"Input": runs, "Tensors": tensors.tensors_of(reader), "Layer": layer}
    tensors.check(reader, [layer], ["correlation"])
    low_high = pipeline.corners(runs, layer)
    scene.sources = {
        **shared,
        "similarity_plot": pv.EnsembleSimilarityPlot(
            registrationName="Ensemble Similarity Plot", **of_layer
        ),
        "correlation_graph": pv.FilterCorrelationGraph(
            registrationName="Filter Correlation Graph", FollowTime=0, **of_layer
        ),
        "correlation_first": pv.FilterCorrelation(
            registrationName="Correlation (first picked)", Runs=low_high[0], **of_layer
        ),
        "correlation_last": pv.FilterCorrelation(
            registrationName="Correlation (last picked)", Runs=low_high[-1], **of_layer
        ),
        "parallel_coordinates": pv.ParallelCoordinates(
            registrationName="Parallel Coordinates", Input=runs, FollowTime=0
        ),
        "run_similarity": pv.RunSimilarity(registrationName="Run Similarity", **of_layer),
    }
    if layer in tensors.recorded(reader).get("activation", []):
        images = tensors.second_reader(reader, "Activations")
        tensors.check(images, [layer], ["activation", "correlation"])
        of_layer["Tensors"] = tensors.tensors_of(images)
        scene.sources["activation_maps"] = pv.ActivationMaps(
            registrationName="Activation Maps", Runs=low_high[-1], **of_layer
        )


def add_plots(scene, size):
    """Similarity plot and two matrices above; graph and parallel coordinates below."""
    similarity = layout.plot_view("Ensemble Similarity")
    first = layout.plot_view("Filter Correlation (first picked)")
    last = layout.plot_view("Filter Correlation (last picked)")
    graph = layout.plot_view("High Correlations")
    parallel = layout.plot_view("Parallel Coordinates")
    tab = layout.new_layout("Topology")
    above, below = layout.split(tab, layout.TOP, "vertical", 0.47)
    left, right = layout.split(tab, above, "horizontal", 0.36)
    middle, right = layout.split(tab, right, "horizontal", 0.465)
    below_left, below_right = layout.split(tab, below, "horizontal", 0.5)
    layout.place(tab, left, similarity)
    layout.place(tab, middle, first)
    layout.place(tab, right, last)
    layout.place(tab, below_left, graph)
    layout.place(tab, below_right, parallel)
    layout.set_size(tab, similarity, size)
    topology.show_similarity_plot(scene.sources["similarity_plot"], similarity)
    topology.show_correlations(scene.sources["correlation_first"], first, has_bar=False)
    topology.show_correlations(scene.sources["correlation_last"], last)
    topology.show_correlation_graph(scene.sources["correlation_graph"], graph)
    charts.show_parallel_coordinates(scene.sources["parallel_coordinates"], parallel)
    scene.layouts["topology"] = tab
    scene.views.update(
        similarity_plot=similarity,
        correlation_first=first,
        correlation_last=last,
        correlation_graph=graph,
        parallel_coordinates=parallel,
    )


def add_tables(scene, size):
    """Similarity of all pairs of runs, feature maps, and the runs as a table."""
    matrix = layout.plot_view("Run Similarity")
    sheet = charts.spreadsheet(scene.sources["groups"])
    tab = layout.new_layout("Similarity")
    above, below = layout.split(tab, layout.TOP, "vertical", 0.7)
    layout.place(tab, below, sheet)
    topology.show_run_similarity(scene.sources["run_similarity"], matrix)
    scene.views["run_similarity"] = matrix
    if "activation_maps" in scene.sources:
        above, right = layout.split(tab, above, "horizontal", 0.5)
        maps = layout.plot_view("Activation Maps")
        layout.place(tab, right, maps)
        topology.show_activations(scene.sources["activation_maps"], maps)
        scene.views["activation_maps"] = maps
    layout.place(tab, above, matrix)
    layout.set_size(tab, matrix, size)
    scene.views["spreadsheet"] = sheet
    scene.layouts["similarity"] = tab


if __name__ == "__main__":
    build(os.environ.get("PVENSEMBLE_FILE"))
