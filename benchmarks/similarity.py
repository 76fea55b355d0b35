"""Similarity of all pairs of runs, against the loop that a user writes and ``scipy``'s ``pdist``.

    python benchmarks/similarity.py
    python benchmarks/similarity.py --memory

Vectors are the upper triangles of 50 filters' correlations (1,225 numbers a run). The loop calls
``numpy.corrcoef`` for each pair; it is timed on a sample of pairs and scaled, as is ``pdist`` above
1,000 runs (on the rows of some runs, by ``cdist``). The floor is half of the product of the vectors
with themselves at the rate of a plain matrix product, measured in the same run.

``--memory`` computes the similarities of 13,000 runs with 64 filters (4,096 numbers a run) from
their correlations, and prints times and the largest memory in use.
"""

from __future__ import annotations

import argparse
import resource
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from harness import alternate, gemm_peak, machine, report, seconds
from scipy.spatial.distance import cdist, pdist

from pvensemble.numerics.ordering import reordered
from pvensemble.numerics.similarity import matched_similarity, run_vectors, similarity

N_FILTERS = 50
N_PAIRS = 2000
N_ROWS = 100


def standardized(n_runs: int, length: int) -> np.ndarray:
    """Return random vectors (n_runs, length) float32 of zero mean and unit norm."""
    rng = np.random.default_rng(0)
    vectors = rng.random((n_runs, length), np.float32)
    vectors -= vectors.mean(axis=1, keepdims=True)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def correlations(n_runs: int, n: int) -> np.ndarray:
    """Return random correlations (n_runs, n, n) float32 with some structure."""
    rng = np.random.default_rng(1)
    stack = np.empty((n_runs, n, n), np.float32)
    for i in range(0, n_runs, 500):
        m = min(500, n_runs - i)
        values = rng.standard_normal((m, n, 8), np.float32)
        values = values @ rng.standard_normal((m, 8, 8), np.float32)
        values /= np.linalg.norm(values, axis=2, keepdims=True)
        stack[i : i + m] = values @ values.transpose(0, 2, 1)
    return np.clip(stack, -1, 1, out=stack)


def user_loop(vectors: np.ndarray, pairs: np.ndarray) -> list[float]:
    return [np.corrcoef(vectors[i], vectors[j])[0, 1] for i, j in pairs]


def scaled(times: list[float], factor: float) -> list[float]:
    return [t * factor for t in times]


def all_pairs(n_runs: int, repeats: int) -> None:
    """Print how long all pairs take."""
    length = N_FILTERS * (N_FILTERS - 1) // 2
    vectors = standardized(n_runs, length)
    doubles = vectors.astype(np.float64)
    n_pairs = n_runs * (n_runs - 1) // 2
    pairs = np.random.default_rng(0).integers(0, n_runs, (min(N_PAIRS, n_pairs), 2))
    rows = doubles[:: max(1, n_runs // N_ROWS)]
    whole = n_runs <= 1000
    out = np.empty((n_runs, n_runs), np.float32)
    times = alternate(
        {
            "pdist": lambda: (
                pdist(doubles, "correlation") if whole else cdist(rows, doubles, "correlation")
            ),
            "loop": lambda: user_loop(doubles, pairs),
            "similarity": lambda: similarity(vectors, out=out),
        },
        repeats,
    )
    times["loop"] = scaled(times["loop"], n_pairs / len(pairs))
    if not whole:
        times["pdist"] = scaled(times["pdist"], n_pairs / (len(rows) * n_runs))
    times["floor"] = [n_runs**2 * length / gemm_peak() / 1e9]
    print(report(f"all pairs of {n_runs} runs", times, "pdist"), flush=True)


def orders(repeats: int) -> None:
    """Print how long orders and matchings take."""
    stack = correlations(121, N_FILTERS)
    times = alternate(
        {"order": lambda: reordered(stack), "vectors": lambda: run_vectors(stack)}, repeats
    )
    times["matched"] = [seconds(lambda: matched_similarity(stack))]
    print(report(f"121 runs of {N_FILTERS} filters", times, "order"), flush=True)


def memory(n_runs: int = 13_000, n_filters: int = 64) -> None:
    """Print times and memory of a large ensemble."""
    stack = correlations(n_runs, n_filters)
    held: dict = {}
    ordered = seconds(lambda: held.update(vectors=run_vectors(stack)))
    product = seconds(lambda: held.update(result=similarity(held["vectors"])))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    sizes = (stack.nbytes, held["vectors"].nbytes, held["result"].nbytes)
    print(
        f"{n_runs} runs x {n_filters} filters: vectors {ordered:.1f} s, all pairs {product:.1f} s"
    )
    print("at most {:.2f} GB in use, of which correlations {:.2f}, vectors {:.2f}, result {:.2f}"
          .format(*(b / 1e9 for b in (peak, *sizes))))  # fmt: skip


def main() -> None:
    """Measure and print Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, nargs="+", default=[121, 1000, 13_000])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--memory", action="store_true")
    options = parser.parse_args()
    print(f"{machine()}\n")
    if options.memory:
        memory()
        return
    orders(options.repeats)
    for n_runs in options.runs:
        all_pairs(n_runs, options.repeats if n_runs <= 1000 else min(options.repeats, 3))


if __name__ == "__main__":
    main()
