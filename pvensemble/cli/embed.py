"""``pvensemble embed``: runs as points in the plane, similar ones close together."""

from __future__ import annotations

import argparse

from pvensemble.cli._output import add_csv, open_ensemble, write_text
from pvensemble.cli._tensors import add_place, lines_text
from pvensemble.cli.similarity import add_measure, comparable_runs

HELP = "place runs in the plane, similar ones close together"
METHODS = ("mds", "classical", "landmark", "tsne", "umap", "pca")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_place(parser)
    parser.add_argument(
        "--method", choices=METHODS, default=METHODS[0], help="of embedding (default: mds)"
    )
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="(default: 0)")
    add_measure(parser)
    add_csv(parser)


def run(args: argparse.Namespace) -> int:
    """Print what came out, or write the points."""
    ensemble = open_ensemble(args.ensemble)
    layer, step, sets = comparable_runs(ensemble, args)
    embedding = embedded(ensemble.n_runs, sets, args)
    if args.csv is not None:
        from pvensemble.store.table import csv_text

        table = ensemble.run_table()
        columns = {name: table[name] for name in ("run_index", "run_id")}
        columns.update(zip("xy", embedding.points.T))
        write_text(csv_text(columns), args.csv)
    else:
        title = f"{layer} at step {step}: {ensemble.n_runs} runs by similarity '{args.measure}'"
        print(lines_text(title, as_values(embedding, args.method)), end="")
    return 0


def embedded(n_runs: int, sets: list[tuple], args: argparse.Namespace):
    """Return the embedding of all runs; NaN for those that the largest set cannot compare."""
    import numpy as np

    from pvensemble.errors import OptionError
    from pvensemble.numerics.embedding import embed

    if not 0 <= args.seed < 2**32:
        raise OptionError(f"--seed must lie between 0 and {2**32 - 1}, got {args.seed}")
    indices, vectors, matrix = sets[0]
    given = vectors if matrix is None else 1 - matrix
    if len(indices) < n_runs:
        shape = (n_runs, given.shape[1] if matrix is None else n_runs)
        whole = np.full(shape, np.nan, np.float32)
        whole[indices if matrix is None else np.ix_(indices, indices)] = given
        given = whole
    if matrix is None:
        return embed(vectors=given, method=args.method, seed=args.seed)
    return embed(distances=given, method=args.method, seed=args.seed)


def as_values(embedding, method: str) -> dict:
    """Return what is to say about an embedding."""
    import math

    stress, negative = embedding.stress, embedding.negative_eigenvalues
    iterations = f", {embedding.n_iterations} iterations" if embedding.n_iterations else ""
    return {
        "method": method + iterations,
        "stress": "" if math.isnan(stress) else f"{stress:.4f}",
        "eigenvalues": "" if math.isnan(negative) else f"{abs(100 * negative):.1f} % are negative",
        "note": embedding.note,
    }
