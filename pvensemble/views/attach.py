"""Make the views of runs live: linked selection, mouse, graph that follows the selection.

None of this is part of ParaView's state files, so it is attached to whatever pipeline is there: by
a scene that has built it, after File > Load State in a ParaView that the launcher has started, or
by the macro "Link Views".
"""

from __future__ import annotations

from typing import Any, NamedTuple

from paraview import servermanager, simple

from pvensemble.views.brush import AxisBrush, Brush, CellBrush, CurveBrush
from pvensemble.views.cells import OwnCells, RepeatedCells
from pvensemble.views.charts import BAR, LuminanceRange
from pvensemble.views.data import display_of
from pvensemble.views.layout import Fit
from pvensemble.views.link import Translator, follow, link_runs, unlink_all
from pvensemble.views.pipeline import READER, find, root_of

PARALLEL, HEAT_MAP, GRAPH = "ParallelCoordinates", "PerformanceHeatMap", "LossAccuracyGraph"
RUNS = ("RunGroups", "PerformanceMeasures", READER)
"""Sources of runs as they are; the first that is there is what the others are linked with."""


class Kind(NamedTuple):
    """How a kind of plot is attached."""

    brush: type[Brush]
    outputs: tuple[int, ...]
    """Outputs that must be in sight."""
    right: int = 0
    """Pixels kept free at the right."""
    meaning: type[OwnCells] = OwnCells
    """Which of its cells stand for which runs."""


PLOTS = {
    PARALLEL: Kind(AxisBrush, (0, 1)),
    HEAT_MAP: Kind(CellBrush, (0, 1), BAR, RepeatedCells),
    GRAPH: Kind(CurveBrush, (2,)),
}

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
    for reader in find(READER):
        plots = {kind: _of(reader, find(kind)) for kind in PLOTS}
        runs = [source for kind in RUNS for source in _of(reader, find(kind))]
        linked = runs + [p for kind in plots for p in plots[kind] if _is_linked(kind)]
        link_runs(linked)
        _attach_plots(linked[0], plots)
        seen = [view for found in plots.values() for plot in found for view in views_of(plot)]
        _attached.append(follow(linked[0], plots[GRAPH], plots[PARALLEL], seen))
    return list(_attached)


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
                _attached.append(Fit(view, plot, kind.outputs, right=kind.right))
                _attached.append(kind.brush(view, plot, meaning))
    _attached.extend(LuminanceRange(plot) for plot in plots[HEAT_MAP])


def _of(reader: Any, sources: list[Any]) -> list[Any]:
    """Those sources that show the runs of a reader."""
    return [source for source in sources if root_of(source).SMProxy == reader.SMProxy]


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
