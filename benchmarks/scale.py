"""What very large ensembles cost: files, bytes, opening, tables, similarity, embedding.

    python benchmarks/scale.py                         all three ensembles (about 20 minutes, 8 GB)
    python benchmarks/scale.py --only shapes

The ensembles: ``grid``, 13,000 runs of one network; ``shapes``, 13,000 runs of random networks,
as in NWS (architecture, batch size, optimizer and activation drawn at random, so that few runs
share a group); ``million``, 1,000,000 runs of one network. Runs are really sampled, grouped and
written as headers, states and metrics of evaluated steps, and read back; nothing is trained, and
sizes of tensors are computed, by the function that tells people before they train. What a step
costs a GPU is an assumption (``--rate``).
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import numpy as np  # noqa: E402
from harness import machine  # noqa: E402

from pvensemble.filters._base import run  # noqa: E402
from pvensemble.filters.reader import EnsembleReader  # noqa: E402
from pvensemble.store import Ensemble, EnsembleWriter, RunInfo  # noqa: E402
from pvensemble.store.derived import write_runs_csv  # noqa: E402

EVALUATED = np.arange(0, 1001, 20)
METRICS = ("validation_loss", "validation_accuracy")
ONE_NETWORK = """
learning_rate = {low = 0.001, high = 0.1, scale = "log"}
momentum = {low = 0.3, high = 0.95}
"""
RANDOM_NETWORKS = """
learning_rate = {low = 0.0002, high = 0.005}
batch_size = [32, 64, 128, 256]
optimizer = ["adam", "rmsprop", "sgd"]
model.activation = ["relu", "elu", "sigmoid", "tanh"]
model.init = ["constant", "gaussian", "glorot_uniform", "glorot_normal"]
model.kernel = [3, 5, 7]
model.conv1 = [8, 16, 24]
model.conv2 = [16, 32, 48]
model.fc1 = [64, 128, 192]
"""
ENSEMBLES = {
    "grid": (13_000, ONE_NETWORK),
    "shapes": (13_000, RANDOM_NETWORKS),
    "million": (1_000_000, ONE_NETWORK),
}
RECORDINGS = {
    "default": {},
    "correlations": {"kinds": ("correlation",), "networks": "none"},
    "the same, 6 steps": {"kinds": ("correlation",), "networks": "none", "every": 200},
}
CONFIG = """
name = "scale"
steps = 1000
[data]
source = "digits"
size = 28
[model]
name = "lenet"
[evaluate]
every = 20
[record]
every = 20
[[session]]
name = "all"
method = "random"
n = {n}
[session.space]
{space}
"""


def main() -> None:
    """Measure, and print a line for each thing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=ENSEMBLES, action="append")
    parser.add_argument("--gpus", type=int, default=64)
    parser.add_argument(
        "--rate", type=float, default=40_000, help="run-steps/s of a GPU, assumed (default: 40,000)"
    )
    args = parser.parse_args()
    print(f"machine: {machine()}")
    for name in args.only or ENSEMBLES:
        n_runs, space = ENSEMBLES[name]
        print(f"\n{name}: {n_runs:,} runs")
        with tempfile.TemporaryDirectory() as folder:
            _measure(Path(folder) / "e.pvens", n_runs, space, args)


def _measure(path: Path, n_runs: int, space: str, args: argparse.Namespace) -> None:
    _write(path, _plan(n_runs, space, args))
    kept = sum(f.stat().st_size for f in path.parent.rglob("*") if f.is_file())
    _line("bytes of these", f"{kept / 1e6:,.0f} MB")
    ensemble = _timed("open", lambda: Ensemble.open(path))
    _timed("run table", ensemble.run_table)
    _timed("curves of two metrics", lambda: [ensemble.curve(m) for m in METRICS])
    _timed("runs.csv", lambda: write_runs_csv(ensemble))
    reader = EnsembleReader()
    reader.SetFileName(str(path))
    _timed("Ensemble Reader", lambda: run(reader))
    every = 2 * 8 * n_runs * 1001
    _line("training loss and accuracy, computed", f"{every / 1e9:,.1f} GB in memory")
    _compare(n_runs)


def _plan(n_runs: int, space: str, args: argparse.Namespace) -> list:
    """Sample and group the runs; say what training and recording them would take."""
    from pvensemble.train.config.file import read_config
    from pvensemble.train.preparation import GROUP_SIZE
    from pvensemble.train.recording import recording_size
    from pvensemble.train.search import group_runs, sample_runs

    config = read_config(CONFIG.format(n=n_runs, space=space), "scale")
    specs = _timed("sample the runs", lambda: sample_runs(config))
    groups = _timed("form groups", lambda: group_runs(specs, GROUP_SIZE))
    sizes = sorted(len(group) for group in groups)
    _line("groups", f"{len(groups):,} of {sizes[0]} to {sizes[-1]:,} runs")
    seconds = n_runs * config.steps / args.rate / args.gpus
    each = f"{args.gpus} GPUs with {args.rate:,.0f} run-steps/s each"
    _line("training, assumed", f"{seconds:,.0f} s on {each}")
    for what, changes in RECORDINGS.items():
        size = recording_size(replace(config, record=replace(config.record, **changes)), specs)
        _line(
            f"recording, computed: {what}",
            f"{size.bytes_total / 1e9:,.1f} GB, {size.n_files:,} files, "
            f"{size.bytes_total / 1e9 / seconds:,.2f} GB/s",
        )
    return groups


def _write(path: Path, groups: list) -> None:
    """Write all groups as trainers would leave them, without tensors."""
    _timed("write headers, states, metrics", lambda: _write_groups(path, groups))


def _write_groups(path: Path, groups: list) -> None:
    generator = np.random.default_rng(0)
    with EnsembleWriter.create(path) as writer:
        for members in groups:
            runs = [
                RunInfo(s.run_id, s.params, s.settings.seed, s.session, s.run_index)
                for s in members
            ]
            with writer.create_group(runs) as group:
                rows = generator.random((len(EVALUATED), len(runs)))
                group.commit(1000, {}, dict.fromkeys(METRICS, (EVALUATED, rows)))
                group.set_states(range(len(runs)), "COMPLETE", step=1000)


def _compare(n_runs: int) -> None:
    """Embed the runs by the similarity of 50 filters, as far as all pairs are looked at."""
    from embedding import sheet

    from pvensemble.numerics.embedding import embed

    vectors = sheet(n_runs, 0.1)
    _line("vectors of 50 filters", f"{vectors.nbytes / 1e9:.2f} GB")
    _line("all pairs, computed", f"{4 * n_runs**2 / 1e9:,.1f} GB")
    layout = _timed("embedding (metric; landmarks above 30,000)", lambda: embed(vectors))
    _line("stress", f"{layout.stress:.4f} {layout.note}")


def _timed(what: str, work: Callable[[], object]) -> object:
    begin, cpu = time.perf_counter(), time.process_time()
    result = work()
    wall, cpu = time.perf_counter() - begin, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    _line(what, f"{wall:,.1f} s, {cpu:,.1f} s of CPU (memory so far at most {peak:.1f} GB)")
    return result


def _line(what: str, value: str) -> None:
    print(f"  {what:<46} {value}", flush=True)


if __name__ == "__main__":
    main()
