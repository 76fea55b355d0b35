"""Join the selections of several sources of the same runs, and let a pipeline follow them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from paraview import servermanager, simple

from pvensemble.numerics.runs import format_runs
from pvensemble.views.cells import OwnCells
from pvensemble.views.selection import select_cells, selected_cells

LINK_PREFIX = "pvensemble runs "


def link_runs(sources: Sequence[Any]) -> None:
    """Link the selections of all sources, each with the first, in both directions.

    Parameters
    ----------
    sources : sequence of proxy
        Sources whose cell i is run i.
    """
    for source in sources[1:]:
        ids = (s.SMProxy.GetGlobalIDAsString() for s in (sources[0], source))
        simple.AddSelectionLink(sources[0], source, LINK_PREFIX + "-".join(ids), True)


def unlink_all() -> None:
    """Remove all links made by :func:`link_runs`, also those that a state file brought."""
    manager = servermanager.ProxyManager().SMProxyManager
    names = [manager.GetLinkName(k) for k in range(manager.GetNumberOfLinks())]
    for name in names:
        if name.startswith(LINK_PREFIX):
            simple.RemoveSelectionLink(name)


class Translator:
    """Joins the selection of a plot whose cells are not the runs with that of the runs.

    ParaView's selection link would hand the numbers of cells on as they are. Here a selection made
    in the plot becomes one of runs, and one of runs becomes one of all their cells in the plot.

    Parameters
    ----------
    runs : proxy
        Source whose cell i is run i; linked with others by :func:`link_runs`.
    plot : proxy
    meaning : OwnCells
        Which cells of the plot stand for which runs.
    """

    def __init__(self, runs: Any, plot: Any, meaning: OwnCells) -> None:
        self.runs, self.plot, self.meaning = runs, plot, meaning
        self._busy = False
        self._n_cells = 0
        self._tags = (
            (runs, runs.SMProxy.AddObserver("SelectionChangedEvent", self._runs_changed)),
            (plot, plot.SMProxy.AddObserver("SelectionChangedEvent", self._plot_changed)),
            (plot, plot.SMProxy.AddObserver("UpdateDataEvent", self._updated)),
        )

    def remove(self) -> None:
        """Let both go their own ways from now on."""
        for source, tag in self._tags:
            source.SMProxy.RemoveObserver(tag)

    def _runs_changed(self, *_event: Any) -> None:
        if not self._busy:
            self._mark(selected_cells(self.runs))

    def _plot_changed(self, *_event: Any) -> None:
        if self._busy:
            return
        runs = self.meaning.runs(selected_cells(self.plot))
        self._mark(runs)  # first, because the views are drawn when the runs tell
        self._busy = True
        try:
            select_cells(self.runs, runs)
        finally:
            self._busy = False

    def _updated(self, *_event: Any) -> None:
        """Mark the selected runs in what is new, for example further maps."""
        n_cells = self.plot.SMProxy.GetDataInformation(0).GetNumberOfCells()
        if n_cells != self._n_cells and not self._busy:
            self._n_cells = n_cells
            self._mark(selected_cells(self.runs))

    def _mark(self, runs: np.ndarray) -> None:
        self._busy = True
        try:
            cells = self.meaning.cells(runs)
            if not np.array_equal(cells, selected_cells(self.plot)):
                select_cells(self.plot, cells)
        finally:
            self._busy = False


class Follower:
    """Calls a function with the selected runs whenever the selection changes.

    Parameters
    ----------
    source : proxy
        Whose selection is followed (one of linked sources is enough).
    react : callable
        Gets (n,) int64, ascending; empty when nothing is selected.
    """

    def __init__(self, source: Any, react: Callable[[np.ndarray], None]) -> None:
        self.source = source
        self.react = react
        self.runs: np.ndarray | None = None
        self._tag = source.SMProxy.AddObserver("SelectionChangedEvent", self._changed)

    def remove(self) -> None:
        """Stop following."""
        self.source.SMProxy.RemoveObserver(self._tag)

    def _changed(self, *_event: Any) -> None:
        runs = selected_cells(self.source)
        # A link tells the source that told it: the same selection comes back.
        if self.runs is not None and np.array_equal(runs, self.runs):
            return
        self.runs = runs
        self.react(runs)


def follow(
    source: Any, graphs: Sequence[Any], crowded: Sequence[Any], views: Sequence[Any]
) -> Follower:
    """Let plots show the runs selected on a source; draw views again.

    Parameters
    ----------
    source : proxy
        Whose selection is followed.
    graphs : sequence of proxy
        Filters whose ``Runs`` becomes ``"0-4,9"``, or empty when nothing is selected.
    crowded : sequence of proxy
        Parallel coordinates: the same, but only while a density image stands for most of the runs.
    views : sequence of proxy
        Views that are drawn again.
    """

    def react(runs: np.ndarray) -> None:
        text = format_runs(runs)
        for graph in graphs:
            graph.Runs = text
        for plot in crowded:
            plot.Runs = text if is_crowded(plot) else ""
        for view in views:
            view.SMProxy.StillRender()

    return Follower(source, react)


def is_crowded(plot: Any) -> bool:
    """Whether parallel coordinates have too many runs to draw each as a line."""
    return plot.SMProxy.GetDataInformation(0).GetNumberOfCells() > plot.DensityAbove
