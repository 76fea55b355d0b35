"""Time and stress of embeddings against scikit-learn's.

    python benchmarks/embedding.py
    python benchmarks/embedding.py --runs 121 1000 --ensemble my.pvens --layer conv2

Runs are a smooth sheet over two parameters with noise added, as vectors of 1,225 numbers (the pairs
of 50 filters): little noise is easy to lay out, much of it is as real filters are. Ours starts from
the vectors; scikit-learn is given the distances, whose computation is not counted. It is asked for
one start (its default up to 1.9 is four) and otherwise for its defaults. Above 3,000 runs it is not
run: its time is estimated from single iterations at 3,000 runs, which grow with the square.
"""

from __future__ import annotations

import argparse
import inspect
import multiprocessing
import resource
import sys
import time
import warnings
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import numpy as np  # noqa: E402
import sklearn  # noqa: E402
from harness import alternate, machine, report  # noqa: E402
from sklearn.manifold import smacof  # noqa: E402

from pvensemble.numerics.embedding import embed  # noqa: E402

LENGTH = 1225
SKLEARN_UP_TO = 3000
METHODS = ("mds", "classical", "landmark", "pca")


def sheet(n_runs: int, noise: float, seed: int = 0) -> np.ndarray:
    """Return (n_runs, LENGTH) float32 unit vectors of runs over two parameters."""
    generator = np.random.default_rng(seed)
    parameters = generator.random((n_runs, 2), dtype=np.float32)
    waves = 1.5 * generator.standard_normal((2, LENGTH), dtype=np.float32)
    phase = 2 * np.pi * generator.random(LENGTH, dtype=np.float32)
    vectors = parameters @ waves  # in place from here on: a million runs take 5 GB
    vectors += phase
    np.cos(vectors, out=vectors)
    for i in range(0, n_runs, 1000):
        part = vectors[i : i + 1000]
        part += noise * generator.standard_normal(part.shape, dtype=np.float32)
    vectors -= vectors.mean(axis=1, keepdims=True)
    vectors /= np.sqrt(np.einsum("ij,ij->i", vectors, vectors))[:, None]
    return vectors


def distance_matrix(vectors: np.ndarray) -> np.ndarray:
    """Return (n, n) float64 distances, 1 minus the product of vectors."""
    distances = np.maximum(1 - (vectors @ vectors.T).astype(np.float64), 0)
    np.fill_diagonal(distances, 0)
    return (distances + distances.T) / 2


def stress(points: np.ndarray, distances: np.ndarray) -> float:
    """Return the square root of raw stress over the sum of squared distances."""
    raw = total = 0.0
    for point, row in zip(points, distances):
        raw += np.sum((np.linalg.norm(points - point, axis=1) - row) ** 2)
        total += row @ row
    return float(np.sqrt(raw / total))


def theirs(distances: np.ndarray, **options) -> np.ndarray:
    """Run scikit-learn's SMACOF from one random start."""
    if "normalized_stress" in inspect.signature(smacof).parameters:
        options["normalized_stress"] = False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return smacof(distances, n_init=1, init=None, random_state=0, **options)[0]


def compare(title: str, vectors: np.ndarray, repeats: int) -> None:
    """Print times and stress of all methods, and of scikit-learn's up to some thousands of runs."""
    n = len(vectors)
    work = {f"ours: {m}": (lambda m=m: embed(vectors, method=m)) for m in METHODS}
    baseline = "ours: mds"
    if n <= SKLEARN_UP_TO:
        distances = distance_matrix(vectors)
        work["scikit-learn, its tolerance"] = lambda: theirs(distances)
        work["scikit-learn, our tolerance"] = lambda: theirs(distances, eps=1e-6)
        baseline = "scikit-learn, our tolerance"
    times = alternate(work, repeats, warm_up=int(n <= SKLEARN_UP_TO))
    print(report(title, times, baseline))
    for name in work:
        if name.startswith("ours"):
            begin = time.process_time()
            found = embed(vectors, method=name.split()[-1])
            busy = time.process_time() - begin
            print(f"- {name}: stress {found.stress:.4f}, {found.n_iterations} iterations, ", end="")
            print(f"{busy:.3g} s of processor time on all cores")
    if n <= SKLEARN_UP_TO:
        print(f"- scikit-learn, its tolerance: stress {stress(theirs(distances), distances):.4f}")
        points = theirs(distances, eps=1e-6)
        print(f"- scikit-learn, our tolerance: stress {stress(points, distances):.4f}")
    print(flush=True)


def estimate(n_runs: int) -> str:
    """Say how long an iteration of scikit-learn takes, from its time for fewer runs."""
    few = min(n_runs, SKLEARN_UP_TO)
    distances = distance_matrix(sheet(few, 0.3))
    seconds = []
    for n_iterations in (1, 3):
        begin = time.perf_counter()
        theirs(distances, max_iter=n_iterations)
        seconds.append(time.perf_counter() - begin)
    one = (seconds[1] - seconds[0]) / 2 * (n_runs / few) ** 2
    return f"scikit-learn: {one:.3g} s an iteration at {n_runs:,} runs, estimated from {few:,} runs"


def peak(n_runs: int) -> float:
    """Return the most memory in GB that a fresh process needs for metric scaling, all included."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_peak, (n_runs,))


def _peak(n_runs: int) -> float:
    embed(sheet(n_runs, 0.3))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def recorded(path: Path, layer: str) -> tuple[str, np.ndarray]:
    """Return a title and the vectors of an ensemble's first group at its last recorded step."""
    from pvensemble.numerics.similarity import run_vectors
    from pvensemble.store import Ensemble

    group = Ensemble.open(path).groups[0]
    layer = layer or group.layers[-1].name
    step = group.recorded_steps(layer, "correlation")[-1]
    vectors = run_vectors(group.filters(layer, "correlation", step))
    return f"{len(vectors)} recorded runs, {layer} at step {step}", vectors


def main() -> int:
    """Measure and print Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, nargs="+", default=[121, 1000, 13000])
    parser.add_argument("--noise", type=float, nargs="+", default=[0.3, 1.0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--ensemble", type=Path, help="also measure this ensemble (.pvens)")
    parser.add_argument("--layer", default="", help="layer of the ensemble; default: the last one")
    options = parser.parse_args()
    print(f"{machine()}; NumPy {np.__version__}, scikit-learn {sklearn.__version__}\n")
    if options.ensemble:
        compare(*recorded(options.ensemble, options.layer), options.repeats)
    for n_runs in options.runs:
        repeats = options.repeats if n_runs <= SKLEARN_UP_TO else min(options.repeats, 2)
        for noise in options.noise:
            compare(f"{n_runs:,} runs, noise {noise:g}", sheet(n_runs, noise), repeats)
        if n_runs > SKLEARN_UP_TO:
            print(f"- {estimate(n_runs)}")
        print(f"- ours: mds of {n_runs:,} runs: {peak(n_runs):.2f} GB at most\n", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
