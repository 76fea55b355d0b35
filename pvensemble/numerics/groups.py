"""Named, coloured groups of runs as text, one group a line.

::

    good = #1f77b4 : top 10 combined
    unstable = #d62728 : P3 < 0.2 and momentum > 0.9
    # a comment
    picked : runs 0-4,9

Without a colour the next one of ``PALETTE`` is taken. A run belongs to the first group that holds
it. Names hold neither ``=`` nor ``:``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from pvensemble.errors import ExpressionError
from pvensemble.numerics.expression import evaluate

PALETTE = (
    "#d62728",
    "#1f77b4",
    "#2ca02c",
    "#ff7f0e",
    "#9467bd",
    "#17becf",
    "#e377c2",
    "#8c564b",
    "#bcbd22",
)
"""Colours of groups that name none, easy to tell apart."""

OUTSIDE = (160, 160, 160)
"""RGB of runs outside all groups."""

_LINE = re.compile(r"(?P<name>[^=:]+?)\s*(?:=\s*(?P<color>[^:]*?)\s*)?:\s*(?P<expression>.*)")


@dataclass(frozen=True)
class RunGroup:
    """A named set of runs: colour ``#rrggbb`` and the expression that chooses its runs."""

    name: str
    color: str
    expression: str


def parse_groups(text: str) -> list[RunGroup]:
    """Read groups, one a line.

    Raises
    ------
    ExpressionError
        Naming the line, when it does not have the form ``name = #rrggbb : expression`` or a name
        comes twice.
    """
    groups: list[RunGroup] = []
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if not match or not match["expression"]:
            raise ExpressionError(
                f"group line {number}: got {line!r}, expected 'name = #rrggbb : expression'"
            )
        color = match["color"]
        if color is None:
            color = PALETTE[len(groups) % len(PALETTE)]
        elif not re.fullmatch(r"#[0-9a-fA-F]{6}", color):
            raise ExpressionError(
                f"group line {number}: got the colour {color!r}, expected one like '#d62728'"
            )
        if any(group.name == match["name"] for group in groups):
            raise ExpressionError(
                f"group line {number}: there is a group {match['name']!r} already"
            )
        groups.append(RunGroup(match["name"], color.lower(), match["expression"]))
    return groups


def format_groups(groups: Iterable[RunGroup]) -> str:
    """Write groups as the text that ``parse_groups`` reads."""
    return "\n".join(f"{g.name} = {g.color} : {g.expression}" for g in groups)


def assign_groups(
    groups: Iterable[RunGroup], columns: Mapping[str, np.ndarray], n_runs: int
) -> tuple[np.ndarray, np.ndarray]:
    """Find each run's group.

    Parameters
    ----------
    groups : iterable of RunGroup
    columns : mapping of str to (n_runs,) array
        What the expressions may use.
    n_runs : int

    Returns
    -------
    group : (n_runs,) int32
        Position of the first group that holds the run, -1 outside all.
    color : (n_runs, 3) uint8
        RGB of that group, grey outside all.

    Raises
    ------
    ExpressionError
        Naming the group whose expression is wrong.
    """
    group = np.full(n_runs, -1, np.int32)
    color = np.tile(np.array(OUTSIDE, np.uint8), (n_runs, 1))
    for position, entry in enumerate(groups):
        try:
            chosen = evaluate(entry.expression, columns) & (group < 0)
        except ExpressionError as error:
            raise ExpressionError(f"group {entry.name!r}: {error}") from error
        group[chosen] = position
        color[chosen] = rgb(entry.color)
    return group, color


def rgb(color: str) -> tuple[int, int, int]:
    """Return ``#rrggbb`` as three numbers 0 to 255."""
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)
