"""Dead filters of correlation matrices."""

from __future__ import annotations

import numpy as np


def dead_filters(matrix: np.ndarray) -> np.ndarray:
    """Return (…, n_filters) bool: filters that correlate with no other."""
    others = matrix * (1 - np.eye(matrix.shape[-1], dtype=matrix.dtype))
    return ~others.any(axis=-1)
