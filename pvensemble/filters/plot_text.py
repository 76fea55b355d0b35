"""Text as triangles, so that plots look the same in every view, picture format and ParaView.

The outlines come from VTK's built-in Arial. They are triangulated once for each character and kept;
a string is put together from its characters. Characters that the font lacks are spelled out (a
Greek letter by its name, others by their code point), so no two different strings look the same.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import vtkmodules.vtkRenderingFreeType  # noqa: F401  (provides the text renderer)
from vtkmodules.vtkCommonCore import vtkPoints
from vtkmodules.vtkCommonDataModel import vtkCellArray, vtkPath, vtkPolyData
from vtkmodules.vtkFiltersGeneral import vtkContourTriangulator
from vtkmodules.vtkRenderingCore import vtkTextProperty, vtkTextRenderer

from pvensemble.vtkdata.arrays import to_numpy

_EM = 64.0
_BASELINE = 14.0  # of VTK's bold Arial at font size 64, above the lower edge of its box
_FREETYPE = 1  # never let "$" start a formula
_CURVE_STEPS = 2
CAP_HEIGHT = 0.73
LINE_HEIGHT = 1.2


@dataclass(frozen=True)
class Glyphs:
    """Triangles of a text in units of the font size, baseline at y = 0, from x = 0 to ``width``."""

    points: np.ndarray
    """(n_points, 2) float64."""
    triangles: np.ndarray
    """(n_triangles, 3) int64."""
    width: float


@lru_cache(maxsize=8192)
def glyphs(text: str) -> Glyphs:
    """Return the triangles of one line of text."""
    points, triangles, x, n = [], [], 0.0, 0
    for character in _spelled(text):
        glyph = _glyph(character)
        points.append(glyph.points + (x, 0.0))
        triangles.append(glyph.triangles + n)
        n += len(glyph.points)
        x += glyph.width
    if not points:
        return Glyphs(np.empty((0, 2)), np.empty((0, 3), np.int64), 0.0)
    return Glyphs(np.concatenate(points), np.concatenate(triangles), x)


def text_width(text: str, size: float) -> float:
    """Return the width of the longest line of a text set at a font size."""
    return max((glyphs(line).width for line in text.split("\n")), default=0.0) * size


def text_height(text: str, size: float) -> float:
    """Return the height of a text of several lines, from the caps' top to the last baseline."""
    return (CAP_HEIGHT + LINE_HEIGHT * text.count("\n")) * size


def wrapped(text: str, max_width: float, size: float) -> str:
    """Break a text after ``_ - . / :`` or a space so that its lines fit if they can, no number."""
    pieces = re.findall(r"(?:[^_\-./: ]|\.(?=\d)|(?<=\de)-(?=\d))*[_\-./: ]*", text)
    lines = [""]
    for piece in filter(None, pieces):
        if lines[-1] and text_width((lines[-1] + piece).rstrip(), size) > max_width:
            lines.append(piece)
        else:
            lines[-1] += piece
    return "\n".join(line.rstrip() for line in lines)


def _spelled(text: str) -> str:
    """Spell out the characters that the font lacks."""
    return "".join(_spell(character) for character in text)


@lru_cache(maxsize=1024)
def _spell(character: str) -> str:
    """Return a character, or letters that stand for it."""
    if character.isspace():
        return " "
    if len(_path(character)) > 0:
        return character
    name = unicodedata.name(character, "")
    greek = re.fullmatch(r"GREEK (SMALL|CAPITAL) LETTER (\w+)", name)
    if greek:
        word = greek[2].lower().replace("lamda", "lambda")
        return word.capitalize() if greek[1] == "CAPITAL" else word
    plain = unicodedata.normalize("NFKD", character)
    if plain.isascii() and plain.isprintable():
        return plain
    return f"<{ord(character):X}>"


@lru_cache(maxsize=1024)
def _glyph(character: str) -> Glyphs:
    """Return the triangles of one character."""
    # The advance is where a bar that follows the character begins.
    bar = min(loop[:, 0].min() for loop in _path("|"))
    advance = (_path(character + "|")[-1][:, 0].min() - bar) / _EM
    loops = _path(character)
    if not loops:
        return Glyphs(np.empty((0, 2)), np.empty((0, 3), np.int64), advance)
    points, triangles = _triangulate(loops)
    return Glyphs((points - (0.0, _BASELINE)) / _EM, triangles, advance)


def _path(text: str) -> list[np.ndarray]:
    """Return the closed outlines (n_points, 2) of a text, curves flattened."""
    text_property = vtkTextProperty()
    text_property.SetFontFamilyToArial()
    text_property.BoldOn()  # thin strokes vanish at 10 pixels without anti-aliasing
    text_property.SetFontSize(int(_EM))
    path = vtkPath()
    vtkTextRenderer.GetInstance().StringToPath(text_property, text, path, 72, _FREETYPE)
    if path.GetNumberOfPoints() == 0:
        return []
    points = to_numpy(path.GetPoints().GetData())[:, :2].astype(np.float64)
    codes = to_numpy(path.GetCodes())
    starts = [*np.flatnonzero(codes == vtkPath.MOVE_TO), len(codes)]
    loops = [_flatten(points[a:b], codes[a:b]) for a, b in zip(starts, starts[1:])]
    return [loop for loop in loops if len(loop) >= 3]


def _flatten(points: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Replace the curves of one outline by short lines; the closing point is dropped."""
    out = [points[0]]
    i = 1
    while i < len(points):
        if codes[i] == vtkPath.LINE_TO:
            out.append(points[i])
            i += 1
            continue
        degree = 3 if codes[i] == vtkPath.CUBIC_CURVE else 2
        t = np.linspace(0, 1, _CURVE_STEPS + 1)[1:, None]
        out.extend(_bezier(np.vstack([out[-1], points[i : i + degree]]), t))
        i += degree
    loop = np.array(out)
    keep = np.any(np.abs(np.diff(loop, axis=0, append=loop[:1])) > 1e-6, axis=1)
    return loop[keep]


def _bezier(control: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Evaluate a Bezier curve of degree 2 or 3 at the parameters t."""
    while len(control) > 1 and control.ndim == 2:
        control = np.stack([np.broadcast_to(c, (len(t), 2)) for c in control])
    while len(control) > 1:
        control = control[:-1] * (1 - t) + control[1:] * t
    return control[0]


def _triangulate(loops: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Fill outlines, holes left open."""
    points, lines = vtkPoints(), vtkCellArray()
    for loop in loops:
        ids = [points.InsertNextPoint(x, y, 0.0) for x, y in loop]
        lines.InsertNextCell(len(ids) + 1)
        for i in [*ids, ids[0]]:
            lines.InsertCellPoint(i)
    outline = vtkPolyData()
    outline.SetPoints(points)
    outline.SetLines(lines)
    fill = vtkContourTriangulator()
    fill.SetInputData(outline)
    fill.Update()
    result = fill.GetOutput()
    triangles = to_numpy(result.GetPolys().GetConnectivityArray()).reshape(-1, 3)
    return to_numpy(result.GetPoints().GetData())[:, :2].copy(), triangles.astype(np.int64)
