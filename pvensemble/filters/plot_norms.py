"""Panels of norms with their fitted power laws, and lines with labels at their ends."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from pvensemble.filters.plot_curves import HEIGHT, WIDTH, Curves, curve_places
from pvensemble.filters.plot_geometry import DARK, Sketch
from pvensemble.filters.plot_time_panels import Panel
from pvensemble.numerics.curves import CurveScale, curve_scale
from pvensemble.numerics.norms import GROWTH, NORM, QUADRATURE, PowerLaw

_SPLIT, _BETWEEN = 0.52, 0.06
MAX_FITS = 12
"""More fitted lines would cover the curves; their exponents are summed up all the same."""
QUANTITY_TEXTS = {
    NORM: "weight norm",
    GROWTH: "weight norm - start",
    QUADRATURE: "sqrt(norm^2 - start^2)",
}
GRADIENT_TEXT = "gradient norm"
_DASHES = 40
_ROW = 1.15


@dataclass(frozen=True)
class LineLabel:
    """What stands at the end of the line of a cell."""

    cell: int
    text: str
    color: tuple[int, int, int]


def panels(
    weights: Curves, gradients: Curves, quantity: str, *, log_steps: bool, log_norms: bool
) -> tuple[Panel | None, Panel | None]:
    """Return the panel of the weights and that of the gradients, None for what is not there.

    On logarithmic axes step 0 has no place; both panels begin at the first step after it.
    """
    has = [bool(len(one.steps)) for one in (weights, gradients)]
    steps = np.unique(np.concatenate([weights.steps, gradients.steps]))
    steps = steps[steps > 0] if log_steps else steps
    first = float(steps[0]) if len(steps) else float(log_steps)
    last = float(steps[-1]) if len(steps) else 1.0
    last = last if last > first else first + 1.0
    split = HEIGHT * _SPLIT
    ends = [(split if has[1] else 0.0, HEIGHT)]
    ends += [(0.0, split - HEIGHT * _BETWEEN if has[0] else HEIGHT)]
    names = [QUANTITY_TEXTS[quantity], GRADIENT_TEXT]
    found = []
    for one, is_there, name, (low, high) in zip((weights, gradients), has, names, ends):
        scale = _scale(one.values[one.drawn], log_norms)
        panel = Panel(name, WIDTH, low, high, first, last, scale, log_steps)
        found.append(panel if is_there else None)
    return found[0], found[1]


def _scale(values: np.ndarray, log: bool) -> CurveScale:
    """Return the scale of norms; those that hardly change fill it too."""
    scale = curve_scale(values, log=log)
    usable = values[np.isfinite(values) & (values > 0)]
    if log and len(usable) and scale.n_cut == 0:
        low, high = float(usable.min()), float(usable.max())
        room = max((high / low) ** 0.04, 1.0 + 1e-4)
        return replace(scale, lo=low / room, hi=high * room)
    return scale


def drawable(curves: Curves, *, log_steps: bool, log_norms: bool) -> Curves:
    """Return curves without what has no place on logarithmic axes."""
    steps, values = curves.steps, np.asarray(curves.values, np.float64)
    if log_steps:
        values, steps = values[:, steps > 0], steps[steps > 0]
    if log_norms:
        with np.errstate(invalid="ignore"):
            values = np.where(values > 0, values, np.nan)
    return replace(curves, steps=steps, values=values)


def draw_fits(
    sketch: Sketch, curves: Curves, panel: Panel, fit: PowerLaw, size: float, *, note: bool
) -> None:
    """Draw the fitted power laws as broken lines upon the curves.

    Parameters
    ----------
    sketch : Sketch
    curves : Curves
    panel : Panel
        Of the curves.
    fit : PowerLaw
        Of each curve.
    size : float
        Font size in plot units.
    note : bool
        Sum the exponents up in a corner.
    """
    cells = np.flatnonzero(curves.drawn & np.isfinite(fit.exponent))
    if len(cells) == 0:
        return
    spaced = np.geomspace if panel.log_steps else np.linspace
    for cell in cells if len(cells) <= MAX_FITS else ():
        grid = spaced(fit.first[cell], fit.last[cell], 4 * _DASHES)
        fitted = fit.factor[cell] * grid ** fit.exponent[cell]
        line = np.column_stack([panel.x(grid), panel.y(fitted)])
        for start in range(0, len(line), 4):
            sketch.line(line[start : start + 3], DARK)
    if note:
        x, y = panel.width - 0.5 * size, panel.bottom + 0.6 * size
        text = _summary(fit, cells)
        sketch.text(text, x, y, 0.85 * size, align="right", color=DARK, box=True)


def exponent_text(fit: PowerLaw, cell: int) -> str:
    """Return a fit as text: ``t^0.48 (0.45 to 0.51)``, "" where there is none."""
    if not np.isfinite(fit.exponent[cell]):
        return ""
    exponent, low, high = (x[cell] for x in (fit.exponent, fit.low, fit.high))
    width = max(high - low, 1e-4)
    digits = max(2, 1 - int(np.floor(np.log10(width))))
    return f"t^{exponent:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def _summary(fit: PowerLaw, cells: np.ndarray) -> str:
    """Return what the exponents of the drawn runs are."""
    where = f"steps {fit.first[cells].min():,.0f} to {fit.last[cells].max():,.0f}"
    if len(cells) == 1:
        return f"fit, {where}: {exponent_text(fit, cells[0])}"
    exponents = fit.exponent[cells]
    return (
        f"fits of {len(cells)} runs, {where}: t^{exponents.min():.2g} to t^{exponents.max():.2g}, "
        f"median t^{np.median(exponents):.2g}"
    )


def draw_line_labels(
    sketch: Sketch,
    curves: Curves,
    panel: Panel,
    labels: list[LineLabel],
    fit: PowerLaw | None,
    size: float,
) -> None:
    """Write what each line is to the right of its end, with the exponent of its fit.

    Parameters
    ----------
    sketch : Sketch
    curves : Curves
    panel : Panel
        Of the curves.
    labels : list of LineLabel
    fit : PowerLaw, optional
    size : float
        Font size in plot units; labels are smaller where they are many.
    """
    places = curve_places(curves, panel)
    labels = [label for label in labels if len(places[label.cell])]
    if not labels:
        return
    size = min(size, (panel.top - panel.bottom) / (_ROW * len(labels)))
    ends = np.array([places[label.cell][-1] for label in labels])
    heights = spread(ends[:, 1], _ROW * size, panel.bottom, panel.top)
    for label, (x, y), height in zip(labels, ends, heights):
        text = label.text
        if fit is not None and exponent_text(fit, label.cell):
            text += ":  " + exponent_text(fit, label.cell)
        at = panel.width + 1.1 * size
        sketch.line([(x, y), (panel.width + 0.2 * size, y), (at - 0.2 * size, height)], label.color)
        sketch.text(text, at, height, size, valign="middle", color=label.color)


def spread(heights: np.ndarray, gap: float, low: float, high: float) -> np.ndarray:
    """Return heights that are at least a gap apart, moved within limits and only where needed.

    In the order of what they were; equal ones in the order in which they are given.
    """
    order = np.argsort(heights, kind="stable")
    placed = np.clip(heights[order], low, high)
    for k in range(1, len(placed)):
        placed[k] = max(placed[k], placed[k - 1] + gap)
    placed[-1:] = np.minimum(placed[-1:], high)
    for k in range(len(placed) - 2, -1, -1):
        placed[k] = min(placed[k], placed[k + 1] - gap)
    result = np.empty(len(placed))
    result[order] = placed
    return result
