"""Colours of runs by two of their values at once, in CIE L*a*b*.

The rank of the first value is a*, that of the second b*, at one lightness: equal steps of rank look
about equally large, and no run looks more important than another. Low/low is cyan and high/high red
(Hamid et al. 2019); high/low is magenta, low/high olive green. The rectangle of a* and b* is the
largest between these corners whose colours all exist in sRGB, so that no colour is clipped.
"""

from __future__ import annotations

import numpy as np

from pvensemble.errors import OptionError

LIGHTNESS = 56.0
A_RANGE = (-26.0, 72.0)
B_RANGE = (-18.0, 58.0)

MISSING = (80, 80, 80)
"""RGB of runs that lack one of the values; darker than all other colours."""

_WHITE = np.array([0.95047, 1.0, 1.08883])  # CIE 1931 XYZ of D65, which sRGB refers to
_XYZ_TO_LINEAR = np.array(  # IEC 61966-2-1
    [
        [3.2404542, -1.5371385, -0.4985314],
        [-0.9692660, 1.8760108, 0.0415560],
        [0.0556434, -0.2040259, 1.0572252],
    ]
)


def lab_colors(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Colour runs by the ranks of two values.

    Parameters
    ----------
    x, y : numpy.ndarray
        (n_runs,) numbers or text, such as two hyper-parameters. Equal values share a rank, and
        ranks are equally spaced; infinite values rank last.

    Returns
    -------
    numpy.ndarray
        (n_runs, 3) uint8 RGB, `MISSING` where a value is NaN or "". A value that is the same in all
        runs lies in the middle.
    """
    x, y = np.asarray(x), np.asarray(y)
    if x.ndim != 1 or x.shape != y.shape:
        raise OptionError(
            f"colours by two values need one of each for each run, got shapes {x.shape}, {y.shape}"
        )
    across, up = _rank_share(x), _rank_share(y)
    colors = np.full((len(x), 3), MISSING, np.uint8)
    known = np.isfinite(across) & np.isfinite(up)
    colors[known] = _colors(across[known], up[known])
    return colors


def lab_legend(n: int = 64) -> np.ndarray:
    """Return the colours of n equally spaced ranks of both values.

    Returns
    -------
    numpy.ndarray
        (n, n, 3) uint8 RGB; the column is the rank of x, the row that of y, lowest first.
    """
    share = np.linspace(0, 1, n) if n > 1 else np.full(n, 0.5)
    return _colors(*np.meshgrid(share, share))


def lab_to_srgb(lab: np.ndarray) -> np.ndarray:
    """Convert CIE L*a*b* (D65) to sRGB.

    Parameters
    ----------
    lab : numpy.ndarray
        (..., 3): L* in [0, 100], a*, b*.

    Returns
    -------
    numpy.ndarray
        (..., 3) float64, in [0, 1] for colours that exist in sRGB; others are not clipped.
    """
    lightness, a, b = np.moveaxis(np.asarray(lab, dtype=np.float64), -1, 0)
    fy = (lightness + 16) / 116
    f = np.stack([fy + a / 500, fy, fy - b / 200], axis=-1)
    xyz = _WHITE * np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29))
    linear = xyz @ _XYZ_TO_LINEAR.T
    curved = 1.055 * np.maximum(linear, 0) ** (1 / 2.4) - 0.055
    return np.where(linear > 0.0031308, curved, 12.92 * linear)


def _rank_share(values: np.ndarray) -> np.ndarray:
    """Return the rank of each value among the distinct ones, in [0, 1]; NaN where missing."""
    is_text = values.dtype.kind in "US"
    if not is_text:
        values = values.astype(np.float64)
    known = values != "" if is_text else ~np.isnan(values)
    distinct, rank = np.unique(values[known], return_inverse=True)
    share = np.full(len(values), np.nan)
    share[known] = rank / (len(distinct) - 1) if len(distinct) > 1 else 0.5
    return share


def _colors(across: np.ndarray, up: np.ndarray) -> np.ndarray:
    """Return (..., 3) uint8 colours of rank shares in [0, 1]."""
    lab = np.empty((*across.shape, 3))
    lab[..., 0] = LIGHTNESS
    lab[..., 1] = A_RANGE[0] + across * (A_RANGE[1] - A_RANGE[0])
    lab[..., 2] = B_RANGE[0] + up * (B_RANGE[1] - B_RANGE[0])
    return np.rint(lab_to_srgb(lab) * 255).astype(np.uint8)
