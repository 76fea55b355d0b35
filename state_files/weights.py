"""Weights: how the weights of a layer develop, in one run and in all that are selected.

Layout "Weights": every weight of a layer as a box, of the run picked last (before that the run that
is highest in the hyper-parameters); its filters in the colours of their groups, and how they
correlate; norms of weights and gradients with fitted power laws, the paths of the weight vectors,
accuracy and loss, of the selected runs. Layout "Diagnostics": kernels with the histogram of their
weights over the training, a loss surface (where one was computed), parallel coordinates of the
diagnostics, and a spreadsheet. Selecting in any view selects in all, also in those of the scenes
"performance" and "topology" of the same ensemble.

    pvensemble paraview --scene weights my.pvens
    pvensemble render my.pvens --scene weights -o pictures

or File > Load State in a ParaView in which an ensemble is open. Another layer: change Layer of any
of the plots; those of the same kind follow.
"""

import os

from paraview import simple as pv

from pvensemble.errors import SceneError
from pvensemble.schema import CORRELATION, FILTER_GROUP, WEIGHT
from pvensemble.views import attach, charts, layout, pipeline, tensors
from pvensemble.views import dynamics_charts as dynamics
from pvensemble.views import surface_charts as surfaces
from pvensemble.views import topology_charts as topology
from pvensemble.views import weight_charts as weights
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
    pv.SetActiveView(scene.views["weight_boxes"])
    pv.SetActiveSource(scene.sources["weight_boxes"])
    pv.RenderAllViews()
    return scene


def add_pipeline(scene, path, groups, layer):
    """Reader, measures, groups (shared with other scenes of the ensemble), plots."""
    shared = pipeline.open_runs(path, groups)
    reader, runs = shared["reader"], shared["groups"]
    layer = layer or tensors.last_layer(reader, CORRELATION)
    # What is checked in a reader is read at every step for all: weights have a reader of their own.
    weights_reader = tensors.second_reader(reader, "Weights")
    there = tensors.recorded(reader)
    if layer not in there.get(WEIGHT, ()):
        raise SceneError(
            f"{reader.FileName} holds no weights of {layer}, which this scene shows; record them "
            "while training (record.kinds, record.layers): they are among the default kinds"
        )
    groups_too = [FILTER_GROUP] if layer in there.get(FILTER_GROUP, ()) else []
    tensors.check(weights_reader, [layer], [WEIGHT, CORRELATION, *groups_too])
    of_layer = {"Input": runs, "Tensors": tensors.tensors_of(weights_reader), "Layer": layer}
    high = pipeline.corners(runs)[-1]
    scene.sources = {
        **shared,
        "weight_boxes": pv.WeightBoxes(registrationName="Weight Boxes", Runs=high, **of_layer),
        "weight_images": pv.WeightImages(registrationName="Weight Images", Runs=high, **of_layer),
        "filter_groups": pv.FilterGroups(registrationName="Filter Groups", Runs=high, **of_layer),
        "correlation": pv.FilterCorrelation(
            registrationName="Correlation (last picked)", Runs=high, **of_layer
        ),
        "norm_graph": pv.NormGraph(registrationName="Norm Graph", Input=runs),
        "trajectory": pv.WeightTrajectory(registrationName="Weight Trajectory", **of_layer),
        "graph": pv.LossAccuracyGraph(
            registrationName="Loss-Accuracy Graph", Input=runs, FollowTime=0
        ),
    }
    scene.sources["diagnostics"] = pv.TrainingDiagnostics(
        registrationName="Diagnostics", **of_layer
    )
    scene.sources["parallel_coordinates"] = pv.ParallelCoordinates(
        registrationName="Parallel Coordinates", Input=scene.sources["diagnostics"]
    )
    surface = surfaces.newest_surface(runs)
    if surface is not None:
        scene.sources["loss_surface"] = surface


def add_plots(scene, size):
    """Boxes and correlations above; norms, paths, accuracy and loss below."""
    names = {
        "weight_boxes": "Weight Boxes",
        "filter_groups": "Filter Groups",
        "correlation": "Filter Correlation (last picked)",
        "norm_graph": "Norms",
        "trajectory": "Weight Trajectory",
        "graph": "Accuracy and Loss",
    }
    views = {name: layout.plot_view(title) for name, title in names.items()}
    tab = layout.new_layout("Weights")
    above, below = layout.split(tab, layout.TOP, "vertical", 0.5)
    left, right = layout.split(tab, above, "horizontal", 0.4)
    above_middle, above_right = layout.split(tab, right, "horizontal", 0.44)
    below_left, rest = layout.split(tab, below, "horizontal", 0.34)
    middle, below_right = layout.split(tab, rest, "horizontal", 0.5)
    cells = (left, above_middle, above_right, below_left, middle, below_right)
    for cell, view in zip(cells, views.values()):
        layout.place(tab, cell, view)
    layout.set_size(tab, views["weight_boxes"], size)
    weights.show_weight_boxes(scene.sources["weight_boxes"], views["weight_boxes"])
    weights.show_filter_groups(scene.sources["filter_groups"], views["filter_groups"])
    topology.show_correlations(scene.sources["correlation"], views["correlation"])
    dynamics.show_norm_graph(scene.sources["norm_graph"], views["norm_graph"])
    dynamics.show_weight_trajectory(scene.sources["trajectory"], views["trajectory"])
    charts.show_graph(scene.sources["graph"], views["graph"])
    scene.layouts["weights"] = tab
    scene.views.update(views)


def add_tables(scene, size):
    """Kernels and histograms, a loss surface where one was computed, diagnostics, a table."""
    images = layout.plot_view("Weight Images")
    parallel = layout.plot_view("Diagnostics")
    sheet = charts.spreadsheet(scene.sources["diagnostics"])
    tab = layout.new_layout("Diagnostics")
    above, below = layout.split(tab, layout.TOP, "vertical", 0.5)
    below_left, below_right = layout.split(tab, below, "horizontal", 0.6)
    layout.place(tab, below_left, parallel)
    layout.place(tab, below_right, sheet)
    if "loss_surface" in scene.sources:
        above, right = layout.split(tab, above, "horizontal", 0.5)
        space = surfaces.space_view("Loss Surface")
        layout.place(tab, right, space)
        scene.views["loss_surface"] = space
    layout.place(tab, above, images)
    layout.set_size(tab, images, size)
    weights.show_weight_images(scene.sources["weight_images"], images)
    charts.show_parallel_coordinates(scene.sources["parallel_coordinates"], parallel)
    if "loss_surface" in scene.sources:
        surfaces.show_loss_surface(scene.sources["loss_surface"], scene.views["loss_surface"])
    scene.views.update(weight_images=images, parallel_coordinates=parallel, spreadsheet=sheet)
    scene.layouts["diagnostics"] = tab


if __name__ == "__main__":
    build(os.environ.get("PVENSEMBLE_FILE"))
