"""Join the selections of several sources of the same runs, and let a pipeline follow them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from paraview import servermanager, simple

from pvensemble.numerics.runs import format_runs
from pvensemble.views.selection import selected_runs

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
        runs = selected_runs(self.source)
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
