"""Sets of runs as text: ``"0-4,9"``."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np

from pvensemble.errors import ExpressionError


def parse_runs(text: str, n_runs: int) -> np.ndarray:
    """Read a set of runs.

    Parameters
    ----------
    text : str
        Numbers and closed ranges, separated by commas or white space: ``"0-4, 9"``. Empty: no run.
    n_runs : int
        Runs are numbered 0 to ``n_runs - 1``.

    Returns
    -------
    (n,) int64
        Ascending, each run once.

    Raises
    ------
    ExpressionError
        When a part is not a number or a range, or names a run that does not exist.
    """
    chosen: set[int] = set()
    for part in re.sub(r"\s*-\s*", "-", text).replace(",", " ").split():
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", part)
        if not match:
            raise ExpressionError(
                f"runs {text!r}: {part!r} is neither a run like 7 nor a range 0-4"
            )
        first, last = int(match[1]), int(match[2] or match[1])
        if first > last:
            raise ExpressionError(f"runs {text!r}: the range {part!r} ends before it starts")
        if last >= n_runs:
            there_are = f"runs 0 to {n_runs - 1}" if n_runs else "no runs"
            raise ExpressionError(f"runs {text!r}: there is no run {last}; there are {there_are}")
        chosen.update(range(first, last + 1))
    return np.array(sorted(chosen), np.int64)


def format_runs(runs: Iterable[int]) -> str:
    """Write a set of runs as the shortest text that ``parse_runs`` reads: ``"0-4,9"``."""
    numbers = np.unique(np.fromiter((int(r) for r in runs), np.int64))
    if len(numbers) == 0:
        return ""
    breaks = np.flatnonzero(np.diff(numbers) != 1) + 1
    parts = (part[[0, -1]] for part in np.split(numbers, breaks))
    return ",".join(f"{a}" if a == b else f"{a}-{b}" for a, b in parts)
