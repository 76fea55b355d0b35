"""Make run groups from what is selected."""

from __future__ import annotations

from typing import Any

from paraview import simple
from vtkmodules.util.numpy_support import vtk_to_numpy

from pvensemble.errors import SceneError
from pvensemble.numerics.groups import PALETTE, RunGroup, format_groups, parse_groups
from pvensemble.numerics.runs import format_runs
from pvensemble.schema import RUN_INDEX
from pvensemble.views.data import fetch
from pvensemble.views.pipeline import find
from pvensemble.views.selection import select_cells, selected_cells

RUN_GROUPS = "RunGroups"


def group_from_selection(
    name: str | None = None, color: str | None = None, groups: Any = None
) -> RunGroup:
    """Make a group of the selected runs; it comes first, so its runs take its colour.

    Parameters
    ----------
    name
        Its name; a group of that name is replaced. ``group 1``, ``group 2`` … when omitted.
    color
        ``#rrggbb``; the next unused one of the palette when omitted.
    groups : proxy, optional
        The Run Groups filter; the newest when omitted.

    Returns
    -------
    RunGroup

    Raises
    ------
    SceneError
        There is no Run Groups filter, or nothing is selected.
    """
    groups = groups or run_groups()
    runs = selected_cells(groups)
    if len(runs) == 0:
        raise SceneError("no run is selected: select some in any view first")
    index = fetch(groups).GetCellData().GetArray(RUN_INDEX)
    known = parse_groups(groups.Groups)
    taken = {group.name for group in known}
    name = name or next(n for n in (f"group {k}" for k in range(1, 10**6)) if n not in taken)
    used = {group.color for group in known if group.name != name}
    color = color or next((c for c in PALETTE if c not in used), PALETTE[0])
    new = RunGroup(name, color, f"runs {format_runs(vtk_to_numpy(index)[runs])}")
    groups.Groups = format_groups([new, *(g for g in known if g.name != name)])
    select_cells(groups, [])  # the highlight would hide the colour
    simple.RenderAllViews()
    return new


def remove_first_group(groups: Any = None) -> str | None:
    """Remove the first group, which is the newest made from a selection; return its name.

    Raises
    ------
    SceneError
        There is no Run Groups filter.
    """
    groups = groups or run_groups()
    known = parse_groups(groups.Groups)
    if not known:
        return None
    groups.Groups = format_groups(known[1:])
    simple.RenderAllViews()
    return known[0].name


def run_groups() -> Any:
    """Return the newest Run Groups filter.

    Raises
    ------
    SceneError
        There is none.
    """
    found = find(RUN_GROUPS)
    if not found:
        raise SceneError("there is no Run Groups filter; add one, or open a scene")
    return found[-1]
