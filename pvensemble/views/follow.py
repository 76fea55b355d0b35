"""Let plots follow the selected runs, live."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pvensemble.numerics.runs import format_runs
from pvensemble.views.data import fetch, information
from pvensemble.views.picked import PickOrder, corner_runs, runs_to_show
from pvensemble.views.selection import selected_cells
from pvensemble.views.tensors import text_of
from pvensemble.vtkdata.runs import RunsData

Reaction = Callable[[np.ndarray], None]
"""Gets the selected runs (n,) int64, ascending; empty when nothing is selected."""


class Follower:
    """Calls functions with the selected runs whenever the selection changes, and draws views.

    Parameters
    ----------
    source : proxy
        Whose selection is followed (one of linked sources is enough).
    reactions : sequence of callable
    views : sequence of proxy
        Drawn after them.
    """

    def __init__(self, source: Any, reactions: Sequence[Reaction], views: Sequence[Any]) -> None:
        self.source, self.reactions, self.views = source, tuple(reactions), tuple(views)
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
        for react in self.reactions:
            react(runs)
        for view in self.views:
            view.SMProxy.StillRender()


def draw_selected(plots: Sequence[Any]) -> Reaction:
    """Let ``Runs`` of plots be the selected runs, ``"0-4,9"``, or empty for no selection."""

    def react(runs: np.ndarray) -> None:
        for plot in plots:
            plot.Runs = format_runs(runs)

    return react


def draw_selected_when_crowded(plots: Sequence[Any]) -> Reaction:
    """As :func:`draw_selected`, while a density image stands for most of the runs."""

    def react(runs: np.ndarray) -> None:
        for plot in plots:
            plot.Runs = format_runs(runs) if is_crowded(plot) else ""

    return react


def is_crowded(plot: Any) -> bool:
    """Whether parallel coordinates have too many runs to draw each as a line."""
    return information(plot).GetNumberOfCells() > plot.DensityAbove


def show_picked(source: Any, *families: Sequence[Any]) -> Reaction:
    """Let plots of one run each show the picked runs.

    Parameters
    ----------
    source : proxy
        The runs.
    *families : sequence of proxy
        Plots that show the picks together: the first plot the run picked first, the last plot the
        one picked last. Before anything is picked they show the runs at the corners of the space
        of the hyper-parameters, of those that have the layer of the plots.
    """
    order = PickOrder()

    def react(runs: np.ndarray) -> None:
        picked = order.update(runs)
        if not any(families):
            return
        data = RunsData(fetch(source))
        for plots in filter(None, families):
            default = corner_runs(data, text_of(plots[0], "Layer"))
            # A single plot of a family follows the last pick, as its counterpart in a pair does.
            corners = default if len(plots) > 1 else default[-1:]
            for plot, run in zip(plots, runs_to_show(picked, corners, len(plots))):
                plot.Runs = str(run)

    return react
