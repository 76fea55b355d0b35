"""Colours that tell groups of filters from each other, and pictures of kernels in them."""

from __future__ import annotations

import colorsys

import numpy as np

SINGLE = (140, 140, 140)
"""Of a filter that is in no group with another."""
BROKEN = (204, 166, 166)
"""Of weights that are not finite."""
PALETTE = (
    (31, 119, 180), (214, 39, 40), (44, 160, 44), (255, 127, 14), (148, 103, 189), (23, 190, 207),
    (227, 119, 194), (140, 86, 75), (188, 189, 34),
)  # fmt: skip
_GOLDEN = 0.6180339887498949
_PALE = 0.12  # share of the colour at the lowest weight
_DARK = 0.8  # brightness of the colour at the highest weight


def group_colors(group: np.ndarray) -> np.ndarray:
    """Return the colour of each filter by its group.

    Parameters
    ----------
    group : (n_filters,) int
        Equal numbers are a group.

    Returns
    -------
    (n_filters, 3) uint8
        Groups of two and more in the order of their numbers take the colours of ``PALETTE``, and
        when these are used up other hues; what is alone is ``SINGLE``.
    """
    colors = np.full((len(group), 3), SINGLE, np.uint8)
    numbers, counts = np.unique(group, return_counts=True)
    for place, number in enumerate(numbers[counts > 1]):
        colors[group == number] = _color(place)
    return colors


def _color(place: int) -> tuple:
    if place < len(PALETTE):
        return PALETTE[place]
    hue = (place * _GOLDEN) % 1.0
    return tuple(round(255 * c) for c in colorsys.hsv_to_rgb(hue, 0.65, 0.8))


def kernel_colors(values: np.ndarray, colors: np.ndarray) -> np.ndarray:
    """Return weights as shades of their filters' colours: pale the lowest, dark the highest.

    Parameters
    ----------
    values : (n_filters, …) array
    colors : (n_filters, 3) uint8

    Returns
    -------
    (n_filters, …, 3) uint8
        0 is in the middle; a filter's largest magnitude is at an end.
    """
    flat = values.reshape(len(values), int(np.prod(values.shape[1:]))).astype(np.float64)
    finite = np.isfinite(flat)
    largest = np.max(np.where(finite, np.abs(flat), 0), axis=1, initial=0.0, keepdims=True)
    share = 0.5 + 0.5 * np.where(finite, flat, 0) / np.where(largest > 0, largest, 1)
    color = colors[:, None, :].astype(np.float64)
    pale, dark = 255 - _PALE * (255 - color), _DARK * color
    rgb = pale + share[..., None] * (dark - pale)
    rgb = np.where(finite[..., None], rgb, BROKEN)
    return np.round(rgb).astype(np.uint8).reshape(*values.shape, 3)


def faded(colors: np.ndarray, share: float = 0.25) -> np.ndarray:
    """Return colours (…, 3) mixed with white, of which ``share`` is left."""
    return np.round(255 - share * (255 - colors.astype(np.float64))).astype(np.uint8)
