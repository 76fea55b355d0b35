"""Frame, ticks and text of a plot in space: as in flat plots, but they face the eye.

Labels are polygons in planes that face the camera from which such plots are first looked at
(`numerics.relief.view_axes`), at the depth of what they label.
"""

from __future__ import annotations

import numpy as np

from pvensemble.filters.plot_geometry import BLACK, Sketch
from pvensemble.filters.plot_glyphs import glyph_outline
from pvensemble.numerics.relief import view_axes

RIGHT, UP, TOWARDS = view_axes()


class SpaceSketch(Sketch):
    """Collects lines and text in space; see ``Sketch``."""

    def __init__(self) -> None:
        super().__init__()
        self._origin = np.zeros(3)
        self._lift = 0.0

    def segment(self, points, color=BLACK) -> None:
        """Add a polyline through points (n, 3)."""
        points = np.asarray(points, np.float64)
        self._put("lines", points, np.arange(len(points))[None], [color])

    def label(
        self, text: str, at, size: float, offset=(0.0, 0.0), *, lift: float = 0.0, **how
    ) -> None:
        """Add text that faces the eye.

        Parameters
        ----------
        at : (3,)
            What is labelled.
        offset : (2,)
            To the right and up, as it is seen, from there to the anchor.
        lift : float
            How much nearer to the eye it stands.
        **how
            As of ``Sketch.text``.
        """
        self._origin, self._lift = np.asarray(at, np.float64), lift
        self.text(text, *offset, size, **how)

    def dot(self, at, radius: float, color=BLACK, lift: float = 0.0) -> None:
        """Add a disc that faces the eye."""
        self._origin, self._lift = np.asarray(at, np.float64), lift
        self.polygon(radius * glyph_outline(0), color, 0.0)

    def _add(self, kind: str, points: np.ndarray, cells: np.ndarray, colors, z: float) -> None:
        """Add cells of points (n, 2) in the plane of the present label."""
        placed = points @ np.array([RIGHT, UP]) + self._origin + (z + self._lift) * TOWARDS
        self._put(kind, placed, cells, colors)
