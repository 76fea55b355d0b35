"""Pieces of a report in Markdown."""

from __future__ import annotations

import math

from reproduction.finding import Statistic


def verdict_cell(verdict: str | None) -> str:
    """Return a verdict for the table; empty where the paper claims nothing."""
    return "" if verdict is None else f"**{verdict}**" if verdict != "partly" else "*partly*"


def table_row(*cells: object) -> str:
    """Return a row of a Markdown table."""
    return "| " + " | ".join(str(c).replace("|", "\\|").replace("\n", " ") for c in cells) + " |"


def head(*cells: object) -> list[str]:
    """Return the first two lines of a Markdown table."""
    return [table_row(*cells), table_row(*["---"] * len(cells))]


def states(counts: dict) -> str:
    """Return counts of states in words."""
    names = {"COMPLETE": "complete", "RUNNING": "stopped early", "DIVERGED": "diverged"}
    return ", ".join(f"{n} {names.get(s, s.lower())}" for s, n in counts.items())


def training_time(made: dict) -> str:
    """Return the time of a training and the class of the machine."""
    if made.get("minutes") is None:
        return "unknown"
    return f"{made['minutes']} min on {made['n_cores']} CPU cores (shared with other work)"


def versions(found: dict) -> str:
    """Return the versions that matter."""
    names = ("pvensemble", "torch", "numpy", "python")
    return ", ".join(f"{n} {found[n]}" for n in names if n in found)


def statistic_text(s: Statistic) -> str:
    """Return a statistic in one line."""
    line = f"{s.name}: **{number(s.value)}**"
    if s.low is not None:
        line += f" [{number(s.low)}, {number(s.high)}]"
    if s.p is not None:
        line += f", p {'< 0.01' if s.p < 0.01 else f'= {s.p:.2f}'}"
    return line


def number(value: float) -> str:
    """Return a number with three digits; small ones as 0.000, NaN as "undefined"."""
    if math.isnan(value):
        return "undefined"
    if value == round(value) and abs(value) >= 1:
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3f}"
