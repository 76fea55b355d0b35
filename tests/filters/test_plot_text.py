"""Text as triangles: areas, widths, missing characters, alignment."""

from __future__ import annotations

import numpy as np
import pytest
from vtkmodules.vtkCommonDataModel import vtkPolyData

from pvensemble.filters.plot_geometry import Sketch, hex_to_rgb
from pvensemble.filters.plot_text import glyphs, text_width, wrapped


def area(text):
    glyph = glyphs(text)
    a, b, c = (glyph.points[glyph.triangles[:, k]] for k in range(3))
    cross = (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]
    return np.abs(cross).sum() / 2


def test_bars_are_filled_rectangles():
    for character in "|-_":
        points = glyphs(character).points
        assert area(character) == pytest.approx(np.prod(np.ptp(points, axis=0)), rel=1e-3)


def test_holes_stay_open():
    points = glyphs("o").points
    disc = np.pi / 4 * np.prod(np.ptp(points, axis=0))
    assert 0.3 * disc < area("o") < 0.8 * disc


def test_strings_are_their_characters_in_a_row():
    assert area("learning_rate") == pytest.approx(sum(area(c) for c in "learning_rate"))
    assert glyphs("ab").width == pytest.approx(glyphs("a").width + glyphs("b").width)
    assert text_width("a b", 2.0) > text_width("ab", 2.0)
    assert text_width("wide\nw", 1.0) == text_width("wide", 1.0)


def test_letters_stand_on_the_baseline():
    for character in "xHmT1":
        assert glyphs(character).points[:, 1].min() == pytest.approx(0.0, abs=0.02)
    assert glyphs("g").points[:, 1].min() < -0.15


def test_characters_that_the_font_lacks_are_spelled_out():
    assert len(glyphs("λ").triangles) == len(glyphs("lambda").triangles)
    assert glyphs("学").width == glyphs("<5B66>").width
    assert glyphs("学").width > 0
    assert len(glyphs("größe").triangles) > len(glyphs("gre").triangles)


def test_dollar_signs_are_dollar_signs():
    assert area("$x$") == pytest.approx(area("x") + 2 * area("$"))


def test_empty_text_is_nothing():
    assert glyphs("").width == 0
    assert len(glyphs(" ").triangles) == 0


def test_long_names_break_after_separators():
    assert wrapped("weight_decay_rate", 0.1, 1.0) == "weight_\ndecay_\nrate"
    assert wrapped("weight_decay_rate", 99.0, 1.0) == "weight_decay_rate"
    assert wrapped("momentum", 0.1, 1.0) == "momentum"
    assert wrapped("conv1.weight, stress 0.36", 0.1, 1.0) == "conv1.\nweight,\nstress\n0.36"
    assert wrapped("lr=1e-3/2.5:7-8", 0.1, 1.0) == "lr=1e-3/\n2.5:\n7-\n8"


def drawn_bounds(*args, **options):
    sketch, data = Sketch(), vtkPolyData()
    sketch.text(*args, **options)
    sketch.write(data)
    return np.array(data.GetBounds()[:4])


def test_alignment_and_rotation():
    width = text_width("HH", 1.0)
    left = drawn_bounds("HH", 5, 5, 1.0)
    right = drawn_bounds("HH", 5, 5, 1.0, align="right")
    center = drawn_bounds("HH", 5, 5, 1.0, align="center", valign="middle")
    np.testing.assert_allclose(left - right, [width, width, 0, 0], atol=1e-5)
    assert center[2] + center[3] == pytest.approx(10, abs=0.03)
    upright = drawn_bounds("HH", 5, 5, 1.0, angle=90.0)
    np.testing.assert_allclose(upright[2:] - 5, left[:2] - 5, atol=1e-5)
    assert upright[1] <= 5.0 + 1e-5


def test_boxes_lie_behind_their_text():
    plain = drawn_bounds("Hg", 0, 0, 1.0)
    boxed = drawn_bounds("Hg", 0, 0, 1.0, box=True)
    assert boxed[0] < plain[0]
    assert boxed[3] > plain[3]


def test_colors():
    assert hex_to_rgb("#1f77b4") == (31, 119, 180)
