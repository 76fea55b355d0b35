"""``pvensemble similarity``: similarity of all pairs of runs."""

from __future__ import annotations

import argparse
import sys

from pvensemble.cli._output import add_matrix_output, open_ensemble, write_matrix, write_text
from pvensemble.cli._tensors import (
    add_clustering,
    add_place,
    chosen_place,
    lines_text,
    read_stacks,
)

HELP = "compare all pairs of runs by the correlations of their filters"
MEASURES = ("paper", "matched", "cka")
MAX_CSV = 5000
"""Runs of which a table of all pairs may be written as text: 25 million cells."""
MANY_MATCHED = 500


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_place(parser)
    add_measure(parser)
    add_matrix_output(parser)


def add_measure(parser: argparse.ArgumentParser) -> None:
    """Declare by what runs are compared."""
    parser.add_argument(
        "--measure",
        choices=MEASURES,
        default=MEASURES[0],
        help="correlations ordered by cluster (paper, the default), or with filters matched, or "
        "centred kernel alignment of the outputs (cka)",
    )
    parser.add_argument(
        "--upper", action="store_true", help="paper: take each pair of filters once, no diagonal"
    )
    add_clustering(parser)


def run(args: argparse.Namespace) -> int:
    """Print or write the similarities."""
    ensemble = open_ensemble(args.ensemble)
    if args.csv is not None and ensemble.n_runs > MAX_CSV:
        from pvensemble.errors import OptionError

        raise OptionError(
            f"a table of all pairs of {ensemble.n_runs:,} runs is too large for CSV (at most "
            f"{MAX_CSV:,} runs); write it with --npy FILE"
        )
    layer, step, sets = comparable_runs(ensemble, args)
    matrix = similarities(ensemble.n_runs, sets)
    del sets
    if args.npy is not None:
        write_matrix(matrix, args.npy)
    elif args.csv is not None:
        from pvensemble.store.table import csv_text

        names = [str(i) for i in range(len(matrix))]
        write_text(csv_text({"run_index": names, **dict(zip(names, matrix))}), args.csv)
    else:
        title = f"{layer} at step {step}: {ensemble.n_runs} runs, similarity '{args.measure}'"
        print(lines_text(title, as_values(matrix)), end="")
    return 0


def comparable_runs(ensemble, args: argparse.Namespace) -> tuple:
    """Return what runs are compared by.

    Returns
    -------
    layer : str
    step : int
    sets : list of (run_indices, vectors, matrix)
        Runs that can be compared with each other, the largest set first: their indices (n,), and
        the vectors (n, length) whose products are the similarities, or these themselves (n, n).
    """
    import numpy as np

    from pvensemble import schema
    from pvensemble.numerics.similarity import cka_vectors, matched_similarity, run_vectors

    kind = schema.GRAM if args.measure == "cka" else schema.CORRELATION
    layer, step = chosen_place(ensemble, kind, args.layer, args.step)
    widths: dict = {}
    for indices, stack in read_stacks(ensemble, layer, kind, step):
        widths.setdefault(stack.shape[1:], []).append((indices, stack))
    sets = []
    for alike in widths.values():
        indices = np.concatenate([i for i, _ in alike])
        order = np.argsort(indices)
        vectors = matrix = None
        if args.measure == "matched":
            _announce(len(indices))
            matrix = matched_similarity(np.concatenate([s for _, s in alike])[order])
        else:
            parts = [
                cka_vectors(stack)
                if args.measure == "cka"
                else run_vectors(stack, args.threshold, args.linkage, args.upper)
                for _, stack in alike
            ]
            vectors = parts[0] if len(parts) == 1 else np.concatenate(parts)
            if (order[1:] < order[:-1]).any():
                vectors = vectors[order]
        sets.append((indices[order], vectors, matrix))
    return layer, step, sorted(sets, key=lambda s: -len(s[0]))


def _announce(n_runs: int) -> None:
    if n_runs > MANY_MATCHED:
        print(
            f"pvensemble: matching the filters of {n_runs * (n_runs - 1) // 2:,} pairs of runs one "
            "by one takes some minutes per million; paper and cka take seconds",
            file=sys.stderr,
        )


def similarities(n_runs: int, sets: list[tuple]):
    """Return the similarities (n_runs, n_runs) of all runs, NaN where they cannot be compared."""
    import numpy as np

    from pvensemble.numerics.similarity import similarity

    if len(sets) == 1 and len(sets[0][0]) == n_runs:
        _, vectors, matrix = sets[0]
        return similarity(vectors) if matrix is None else matrix
    result = np.full((n_runs, n_runs), np.nan, np.float32)
    for indices, vectors, matrix in sets:
        result[np.ix_(indices, indices)] = similarity(vectors) if matrix is None else matrix
    return result


def as_values(matrix) -> dict:
    """Return what is to say about similarities (n, n): range, mean and the extreme pairs."""
    import numpy as np

    found = []  # of each run and those after it: lowest, highest, sum, number
    for i, row in enumerate(matrix[:-1]):
        others = np.flatnonzero(np.isfinite(row[i + 1 :])) + i + 1
        if len(others):
            low, high = others[np.argmin(row[others])], others[np.argmax(row[others])]
            found.append(
                (
                    (row[low], i, low),
                    (row[high], i, high),
                    row[others].sum(dtype=float),
                    len(others),
                )
            )
    absent = int((~np.isfinite(matrix.diagonal())).sum())
    if not found:
        return {"note": "there are no two runs to compare"}
    lows, highs, sums, numbers = zip(*found)
    low, high = min(lows, key=lambda f: f[0]), max(highs, key=lambda f: f[0])
    n = len(matrix) - absent
    different = n * (n - 1) // 2 - sum(numbers)
    return {
        "range": f"{low[0]:.3f} to {high[0]:.3f}, mean {sum(sums) / sum(numbers):.3f}",
        "most similar": f"runs {high[1]} and {high[2]}: {high[0]:.3f}",
        "most different": f"runs {low[1]} and {low[2]}: {low[0]:.3f}",
        "not comparable": f"{different} pairs, with different numbers of filters"
        if different
        else "",
        "without data": f"{absent} runs" if absent else "",
    }
