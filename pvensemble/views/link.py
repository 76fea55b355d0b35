"""Join the selections of several sources of the same runs, and properties of several plots."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from paraview import servermanager, simple

from pvensemble.views.cells import OwnCells
from pvensemble.views.data import information
from pvensemble.views.selection import select_cells, selected_cells

LINK_PREFIX = "pvensemble runs "
PROPERTY_PREFIX = "pvensemble property "
INPUT, OUTPUT = 1, 2
"""Directions of vtkSMLink."""


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


def link_property(name: str, sources: Sequence[Any]) -> None:
    """Let a property have the same value in all sources that have it, whichever is changed.

    ParaView lists it in Tools > Manage Links.
    """
    having = [s for s in sources if s.SMProxy.GetProperty(name) is not None]
    if len(having) < 2:
        return
    link = servermanager.vtkSMPropertyLink()
    for source in having:
        for direction in (INPUT, OUTPUT):
            link.AddLinkedProperty(source.SMProxy, name, direction)
    manager = servermanager.ProxyManager().SMProxyManager
    ids = "-".join(source.SMProxy.GetGlobalIDAsString() for source in having)
    manager.RegisterLink(f"{PROPERTY_PREFIX}{name} {ids}", link)


def unlink_all() -> None:
    """Remove all links made here, also those that a state file brought."""
    manager = servermanager.ProxyManager().SMProxyManager
    names = [manager.GetLinkName(k) for k in range(manager.GetNumberOfLinks())]
    for name in names:
        if name.startswith((LINK_PREFIX, PROPERTY_PREFIX)):
            manager.UnRegisterLink(name)


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
        n_cells = information(self.plot).GetNumberOfCells()
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
