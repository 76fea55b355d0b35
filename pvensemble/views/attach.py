"""Make the views of runs live: linked selection, mouse, graph that follows the selection.

None of this is part of ParaView's state files, so it is attached to whatever pipeline is there: by
a scene that has built it, after File > Load State in a ParaView that the launcher has started, or
by the macro "Link Views".
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from paraview import servermanager, simple

from pvensemble.views.brush import (
    AxisBrush,
    Brush,
    CellBrush,
    CurveBrush,
    LineBrush,
    PointBrush,
)
from pvensemble.views.cells import OwnCells, PairCells, RepeatedCells
from pvensemble.views.charts import LuminanceRange
from pvensemble.views.colors import bar_of
from pvensemble.views.data import display_of
from pvensemble.views.filter_marks import FilterBrush, FilterMarks
from pvensemble.views.follow import (
    Follower,
    draw_selected,
    draw_selected_when_crowded,
    show_picked,
)
from pvensemble.views.layout import Fit
from pvensemble.views.link import Translator, link_property, link_runs, unlink_all
from pvensemble.views.pipeline import GROUPS, MEASURES, find, of_reader, readers
from pvensemble.views.selection import selected_cells
from pvensemble.views.server import READER
from pvensemble.views.tensors import CheckedTensors
from pvensemble.views.topology_charts import SimilarityRange
from pvensemble.views.weight_charts import FitBoxes

PARALLEL, HEAT_MAP, GRAPH = "ParallelCoordinates", "PerformanceHeatMap", "LossAccuracyGraph"
SIMILARITY_PLOT, RUN_SIMILARITY = "EnsembleSimilarityPlot", "RunSimilarity"
CORRELATION_GRAPH, CORRELATIONS = "FilterCorrelationGraph", "FilterCorrelation"
ACTIVATIONS = "ActivationMaps"
NORM_GRAPH, TRAJECTORY, BOXES = "NormGraph", "WeightTrajectory", "WeightBoxes"
IMAGES, FILTER_GROUPS = "WeightImages", "FilterGroups"
DIAGNOSTICS = "TrainingDiagnostics"
RUNS = (GROUPS, MEASURES, READER, DIAGNOSTICS)
"""Sources of runs as they are; the first that is there is what the others are linked with."""


class Kind(NamedTuple):
    """How a kind of plot is attached."""

    brush: type[Brush]
    outputs: tuple[int, ...]
    """Outputs that must be in sight."""
    meaning: type[OwnCells] = OwnCells
    """Which of its cells stand for which runs."""


PLOTS = {
    PARALLEL: Kind(AxisBrush, (0, 1)),
    HEAT_MAP: Kind(CellBrush, (0, 1), RepeatedCells),
    GRAPH: Kind(CurveBrush, (2,)),
    SIMILARITY_PLOT: Kind(PointBrush, (0, 1)),
    CORRELATION_GRAPH: Kind(LineBrush, (1,)),
    RUN_SIMILARITY: Kind(CellBrush, (0, 1), PairCells),
    NORM_GRAPH: Kind(CurveBrush, (2,), RepeatedCells),
    TRAJECTORY: Kind(LineBrush, (0, 1)),
}
"""Plots of runs."""
SELECTED_ONLY = (GRAPH, CORRELATION_GRAPH, SIMILARITY_PLOT, NORM_GRAPH)
"""Those that show (or mark) nothing but the selected runs."""
FILTER_PLOTS = (CORRELATIONS, ACTIVATIONS)
"""Plots of filters, of one run each."""
OF_LAYERS = (SIMILARITY_PLOT, CORRELATION_GRAPH, RUN_SIMILARITY, *FILTER_PLOTS, FILTER_GROUPS)
OF_ONE_RUN = {BOXES: (0, 1, 2), IMAGES: (0, 1, 2, 3), FILTER_GROUPS: (0, 1)}
"""Plots of weights of one run each, and the outputs that must be in sight."""
OF_WEIGHTS = (BOXES, IMAGES, TRAJECTORY, DIAGNOSTICS)
"""Plots of any layer with weights; the others are of layers whose filters correlate."""
KINDS = (*PLOTS, *FILTER_PLOTS, *OF_ONE_RUN, DIAGNOSTICS)
FAMILIES = (OF_LAYERS, OF_WEIGHTS)
COMMON = ("Layer", "Threshold", "Linkage", "XParameter", "YParameter")
"""Properties that mean the same in all plots of layers, and are changed in all at once."""

_attached: list[Any] = []


def attach() -> list[Any]:
    """Attach to all plots of the present pipeline; what was attached before is removed.

    Returns
    -------
    list
        Observers. They are also kept here, so the caller may drop them.
    """
    detach()
    unlink_all()
    for reader in readers():
        plots = {kind: of_reader(reader, find(kind)) for kind in KINDS}
        runs = [source for kind in RUNS for source in of_reader(reader, find(kind))]
        linked = runs + [p for kind in PLOTS for p in plots[kind] if _is_linked(kind)]
        link_runs(linked)
        _attach_layers(*([p for kind in kinds for p in plots[kind]] for kinds in FAMILIES))
        reactions = _reactions(linked[0], plots)
        for react in reactions:  # a loaded state may show runs of another ensemble
            react(selected_cells(linked[0]))
        _attach_plots(linked[0], plots)
        _attach_filters(plots)
        seen = [view for found in plots.values() for plot in found for view in views_of(plot)]
        # The last to hear of a selection, because it draws what the others have marked.
        _attached.append(Follower(linked[0], reactions, unique(seen)))
    return list(_attached)


def _reactions(runs: Any, plots: dict[str, list[Any]]) -> list[Any]:
    """What happens when other runs are selected."""
    return [
        draw_selected([plot for kind in SELECTED_ONLY for plot in plots[kind]]),
        draw_selected_when_crowded(plots[PARALLEL]),
        show_picked(runs, *of_one_run(plots)),
    ]


def of_one_run(plots: dict[str, list[Any]]) -> list[list[Any]]:
    """Return the families of plots that show picked runs: of a kind and from the same tensors."""
    families: dict[tuple, list[Any]] = {}
    for kind in (*FILTER_PLOTS, *OF_ONE_RUN):
        for plot in plots[kind]:
            tensors = plot.SMProxy.GetProperty("Tensors")
            source = tensors.GetProxy(0) if tensors.GetNumberOfProxies() else None
            families.setdefault((kind, source), []).append(plot)
    return list(families.values())


def _attach_layers(*families: list[Any]) -> None:
    """Let the plots of a family show the same layer; have read what any of them shows."""
    for plots in families:
        for name in COMMON:
            link_property(name, plots)
    plots = [plot for family in families for plot in family]
    if plots:
        _attached.append(CheckedTensors(plots))


def _is_linked(kind: str) -> bool:
    """Whether ParaView's own link joins a kind of plot with the runs: its cell i is run i."""
    return PLOTS[kind].meaning is OwnCells


def _attach_plots(runs: Any, plots: dict[str, list[Any]]) -> None:
    """Let each plot fill its view and follow the mouse; let colours follow the values."""
    for name, kind in PLOTS.items():
        for plot in plots[name]:
            meaning = kind.meaning(plot)
            if not _is_linked(name):
                _attached.append(Translator(runs, plot, meaning))
            for view in views_of(plot):
                _attached.append(Fit(view, plot, kind.outputs, bar=bar_of(view)))
                _attached.append(kind.brush(view, plot, meaning))
    _attached.extend(LuminanceRange(plot) for plot in plots[HEAT_MAP])
    _attached.extend(SimilarityRange(plot) for plot in plots[RUN_SIMILARITY])


def _attach_filters(plots: dict[str, list[Any]]) -> None:
    """Let plots of filters fill their views, and mark the filters picked in any of them."""
    _attach_weights(plots)
    of_filters = [plot for kind in FILTER_PLOTS for plot in plots[kind]]
    if not of_filters:
        return
    marks = FilterMarks(of_filters)
    views = {plot: views_of(plot) for plot in of_filters}
    every = unique(view for seen in views.values() for view in seen)
    _attached.append(marks)
    for plot, seen in views.items():
        for view in seen:
            _attached.append(Fit(view, plot, (0, 1), bar=bar_of(view)))
            _attached.append(FilterBrush(view, plot, marks, every))


def _attach_weights(plots: dict[str, list[Any]]) -> None:
    """Let plots of weights fill their views; those in space are seen from aside."""
    for kind, outputs in OF_ONE_RUN.items():
        for plot in plots[kind]:
            for view in views_of(plot):
                bar = bar_of(view)
                is_space = kind == BOXES
                _attached.append(
                    FitBoxes(view, plot, bar=bar) if is_space else Fit(view, plot, outputs, bar=bar)
                )


def unique(proxies: Iterable[Any]) -> list[Any]:
    """Return proxies without those that come again."""
    return list({proxy.SMProxy: proxy for proxy in proxies}.values())


def attach_to_loaded_states() -> int:
    """Attach whenever ParaView has loaded a state file; return the tag of the observer."""
    manager = servermanager.ProxyManager().SMProxyManager
    return manager.AddObserver("LoadStateEvent", lambda *_event: attach())


def detach() -> None:
    """Remove what :func:`attach` made, except the selection links."""
    while _attached:
        _attached.pop().remove()


def views_of(source: Any) -> list[Any]:
    """Render views in which the first output of a source is shown."""
    views = simple.GetViews()
    shown = []
    for view in views:
        if view.SMProxy.GetXMLName() != "RenderView":
            continue
        display = display_of(source, 0, view)
        if display is not None and display.Visibility:
            shown.append(view)
    return shown
