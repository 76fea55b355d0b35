"""Colours by two values: the definitions of CIE and IEC, the corners, ranks and missing values."""

from __future__ import annotations

import numpy as np
import pytest

from pvensemble.errors import OptionError
from pvensemble.numerics import lab_colors as module
from pvensemble.numerics.lab_colors import MISSING, lab_colors, lab_legend, lab_to_srgb


def srgb_to_lab(rgb):
    """CIE 15:2004 and IEC 61966-2-1 written the other way round, one colour at a time."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in rgb]
    rows = ((0.4124564, 0.3575761, 0.1804375), (0.2126729, 0.7151522, 0.0721750))
    rows += ((0.0193339, 0.1191920, 0.9503041),)
    xyz = [sum(m * c for m, c in zip(row, linear)) for row in rows]
    ratios = [v / w for v, w in zip(xyz, (0.95047, 1.0, 1.08883))]
    f = [t ** (1 / 3) if t > 216 / 24389 else (24389 / 27 * t + 16) / 116 for t in ratios]
    return 116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])


@pytest.mark.parametrize(
    ("lab", "rgb"),
    [
        ((100, 0, 0), (255, 255, 255)),
        ((0, 0, 0), (0, 0, 0)),
        ((53.585, 0, 0), (128, 128, 128)),
        ((53.2408, 80.0925, 67.2032), (255, 0, 0)),
        ((87.7347, -86.1827, 83.1793), (0, 255, 0)),
        ((32.2970, 79.1875, -107.8602), (0, 0, 255)),
        ((91.1132, -48.0875, -14.1312), (0, 255, 255)),
        ((5, 0, 0), (17, 17, 17)),
    ],
)
def test_known_colours(lab, rgb):
    np.testing.assert_allclose(255 * lab_to_srgb(np.array(lab)), rgb, atol=0.35)


def test_conversion_undoes_the_definition():
    colours = np.random.default_rng(0).random((200, 3))
    lab = np.array([srgb_to_lab(c) for c in colours])
    np.testing.assert_allclose(lab_to_srgb(lab), colours, atol=1e-5)


def test_all_colours_exist():
    share = np.linspace(0, 1, 201)
    a = module.A_RANGE[0] + share * np.ptp(module.A_RANGE)
    b = module.B_RANGE[0] + share * np.ptp(module.B_RANGE)
    lab = np.stack(np.meshgrid([module.LIGHTNESS], a, b), axis=-1)
    rgb = lab_to_srgb(lab)
    assert rgb.min() >= 0
    assert rgb.max() <= 1


def hue(rgb):
    _, a, b = srgb_to_lab(np.asarray(rgb) / 255)
    return np.degrees(np.arctan2(b, a)) % 360, np.hypot(a, b)


def test_corners_are_cyan_and_red():
    low_low, high_high = lab_colors(np.array([0.1, 5.0]), np.array([1.0, 2.0]))
    cyan, red = hue((0, 255, 255))[0], hue((255, 0, 0))[0]
    assert abs(hue(low_low)[0] - cyan) < 20
    assert abs(hue(high_high)[0] - red) < 10
    assert hue(low_low)[1] > 30
    assert hue(high_high)[1] > 85


def test_legend_is_evenly_spaced_along_both_axes():
    legend = lab_legend(11)
    assert legend.shape == (11, 11, 3)
    lab = np.array([[srgb_to_lab(c / 255) for c in row] for row in legend])
    np.testing.assert_allclose(lab[..., 0], module.LIGHTNESS, atol=0.5)
    a_step = np.diff(lab[..., 1], axis=1)
    b_step = np.diff(lab[..., 2], axis=0)
    np.testing.assert_allclose(a_step, np.ptp(module.A_RANGE) / 10, atol=1.5)
    np.testing.assert_allclose(b_step, np.ptp(module.B_RANGE) / 10, atol=1.5)
    np.testing.assert_allclose(lab[..., 1], np.broadcast_to(lab[:1, :, 1], (11, 11)), atol=1.5)


def test_runs_of_a_grid_have_the_colours_of_the_legend():
    x, y = np.meshgrid(np.geomspace(1e-4, 1, 5), np.linspace(0, 0.9, 5))
    np.testing.assert_array_equal(lab_colors(x.ravel(), y.ravel()).reshape(5, 5, 3), lab_legend(5))


def test_ranks_not_values_and_ties_share():
    y = np.zeros(4)
    spaced = lab_colors(np.array([1.0, 2.0, 3.0, 3.0]), y)
    skewed = lab_colors(np.array([1.0, 1.1, 1e9, 1e9]), y)
    np.testing.assert_array_equal(spaced, skewed)
    np.testing.assert_array_equal(spaced[2], spaced[3])
    assert len(np.unique(spaced, axis=0)) == 3


def test_constant_is_in_the_middle():
    colours = lab_colors(np.full(3, 7.0), np.array([True, False, True]))
    np.testing.assert_array_equal(colours[0], lab_legend(3)[2, 1])
    np.testing.assert_array_equal(lab_colors(np.ones(1), np.ones(1))[0], lab_legend(1)[0, 0])


def test_missing_values_are_grey():
    x = np.array([0.0, np.nan, 1.0, 2.0, np.inf])
    y = np.array([0.0, 1.0, np.nan, 2.0, 3.0])
    colours = lab_colors(x, y)
    assert tuple(colours[1]) == tuple(colours[2]) == MISSING
    assert not (lab_legend(50) == MISSING).all(axis=-1).any()
    np.testing.assert_array_equal(colours[4], lab_legend(2)[1, 1])
    np.testing.assert_array_equal(lab_colors(np.full(2, np.nan), np.ones(2)), [MISSING] * 2)


def test_text_ranks_in_alphabetical_order():
    text = np.array(["sgd", "adam", "", "rmsprop"])
    codes = np.array([2.0, 0.0, np.nan, 1.0])
    y = np.arange(4)
    np.testing.assert_array_equal(lab_colors(text, y), lab_colors(codes, y))


def test_no_runs():
    assert lab_colors(np.empty(0), np.empty(0)).shape == (0, 3)


def test_unequal_lengths_are_an_error():
    with pytest.raises(OptionError, match=r"\(2,\), \(3,\)"):
        lab_colors(np.ones(2), np.ones(3))
