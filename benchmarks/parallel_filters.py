"""Filters on tensors on 1 and 2 ranks of pvbatch: time of an update, and memory of each rank.

    .venv/bin/python benchmarks/parallel_filters.py            # 1,000 runs of 50 filters

Every variant starts ParaView anew, in turn. What is timed is the update of one filter, without the
start: reading and checking files that no rank has read yet, the work on every run, what crosses.
Beside it stands the processor time that the busiest rank spends on its share of reading and work,
which says more on a machine that others use.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "benchmarks"), str(ROOT)]

STEPS = (0, 10, 20, 30)
FILTERS = {
    "Run Similarity": ("RunSimilarity", "all", {"Order": "input"}),
    "the same of matched filters": (
        "RunSimilarity",
        "few",
        {"Order": "input", "Measure": "matched"},
    ),
    "Filter Correlation Graph": ("FilterCorrelationGraph", "all", {}),
    "Training Diagnostics": ("TrainingDiagnostics", "all", {}),
}
FEW = 150
"""Runs whose filters are matched: every pair on its own."""


def write(path: Path, n_runs: int, n_filters: int) -> None:
    """Write an ensemble with random correlations, and weights of 25 inputs a filter."""
    import numpy as np

    from pvensemble import schema
    from pvensemble.store import EnsembleWriter, HyperParameter, LayerInfo, RunInfo, SessionInfo

    kinds = (schema.CORRELATION, schema.WEIGHT)
    writer = EnsembleWriter.create(
        path,
        name="parallel",
        sessions=[SessionInfo("all", "#1f77b4", {})],
        hyper_parameters=[HyperParameter("learning_rate", "float", "log")],
        provenance={},
    )
    runs = [RunInfo(f"run{k}", {"learning_rate": 1e-3 + k}, k, "all", k) for k in range(n_runs)]
    group = writer.create_group(runs, [LayerInfo("conv", "Conv2d", (n_filters, 1, 5, 5), kinds)])
    random = np.random.default_rng(0)
    for step in STEPS:
        signals = random.normal(size=(n_runs, n_filters, 60)) + random.normal(size=(n_runs, 1, 60))
        signals -= signals.mean(axis=2, keepdims=True)
        signals /= np.linalg.norm(signals, axis=2, keepdims=True)
        tensors = {
            ("conv", schema.CORRELATION): (signals @ signals.transpose(0, 2, 1)).astype(np.float32),
            ("conv", schema.WEIGHT): random.normal(size=(n_runs, n_filters, 1, 5, 5)).astype("f4"),
        }
        accuracy = np.full((1, n_runs), 0.5)
        group.commit(step, tensors, {schema.VALIDATION_ACCURACY: ([step], accuracy)})
    group.close()
    writer.finish()


def inside() -> None:
    """In pvbatch: update each filter, and write seconds and memory."""
    from paraview import simple
    from vtkmodules.vtkParallelCore import vtkMultiProcessController

    spent = count_shares()
    controller = vtkMultiProcessController.GetGlobalController()
    rank = controller.GetLocalProcessId()
    arguments = json.loads(sys.argv[2])
    readers = {}
    for which in ("few", "all"):
        readers[which] = simple.EnsembleReader(FileName=arguments[which])
        readers[which].UpdatePipelineInformation()
        readers[which].Layers = ["conv"]
        readers[which].UpdatePipeline(STEPS[0])
        held = readers[which].GetClientSideObject().GetOutputDataObject(1).GetActualMemorySize()
    found = {"held": held}
    for name, (kind, which, options) in FILTERS.items():
        tensors = simple.OutputPort(readers[which], 1)
        proxy = getattr(simple, kind)(Input=readers[which], Tensors=tensors, **options)
        controller.Barrier()
        start, before = time.perf_counter(), sum(spent)
        proxy.UpdatePipeline(STEPS[-1])
        found[name] = time.perf_counter() - start, sum(spent) - before
    status = Path("/proc/self/status").read_text().splitlines()
    found["peak"] = int(next(line.split()[1] for line in status if line.startswith("VmHWM")))
    Path(arguments["folder"], f"rank{rank}.json").write_text(json.dumps(found))


def count_shares() -> list[float]:
    """Return a list that gets the processor seconds of every share of reading and work."""
    from pvensemble.filters._local_tensors import LocalTensors
    from pvensemble.filters._run_vectors import ComparisonFilter
    from pvensemble.filters.reader import EnsembleReader

    spent: list[float] = []

    def counted(work):
        def call(*arguments):
            start = time.thread_time()
            try:
                return work(*arguments)
            finally:
                spent.append(time.thread_time() - start)

        return call

    for kind, names in {
        LocalTensors: ("per_run", "gather", "results"),
        ComparisonFilter: ("part_products", "part_matching"),
        EnsembleReader: ("part_read",),
    }.items():
        for name in names:
            setattr(kind, name, counted(getattr(kind, name)))
    return spent


def started(folder: Path, n_ranks: int) -> list[dict]:
    """Run ``inside`` on some ranks, and return what each wrote."""
    from pvensemble.launcher import environment, find_paraview

    command = [str(find_paraview("pvbatch"))]
    env = {**environment(), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    if n_ranks > 1:
        command = ["mpirun", "--oversubscribe", "-np", str(n_ranks), *command, "--sym"]
        env |= {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    for old in folder.glob("rank*.json"):
        old.unlink()
    paths = {which: str(folder / f"{which}.pvens") for which in ("all", "few")}
    arguments = json.dumps({**paths, "folder": str(folder)})
    command += [str(Path(__file__).resolve()), "--inside", arguments]
    subprocess.run(command, env={**os.environ, **env}, check=True, stdin=subprocess.DEVNULL)
    return [json.loads(file.read_text()) for file in sorted(folder.glob("rank*.json"))]


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--filters", type=int, default=50)
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    from harness import machine

    print(machine() + "\n")
    found: dict[int, list] = {n: [] for n in options.ranks}
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / "all.pvens", options.runs, options.filters)
        write(Path(folder) / "few.pvens", FEW, options.filters)
        for _ in range(options.repeats):
            for n in options.ranks:
                found[n].append(started(Path(folder), n))
    print(table(found))


def table(found: dict[int, list]) -> str:
    """Return a Markdown table, a column for each number of ranks."""
    lines = ["| | " + " | ".join(f"{n} rank{'s' * (n > 1)}" for n in found) + " |"]
    lines.append("|---|" + "---|" * len(found))
    for name in FILTERS:
        walls = [[1e3 * ranks[0][name][0] for ranks in every] for every in found.values()]
        lines.append(f"| {name} | " + " | ".join(_cells(walls)) + " |")
        shares = [
            [1e3 * max(rank[name][1] for rank in ranks) for ranks in every]
            for every in found.values()
        ]
        lines.append("| … processor time of a share | " + " | ".join(_cells(shares)) + " |")
    for name, what in (("tensors of a rank, MB", "held"), ("most memory of a rank, MB", "peak")):
        most = [max(rank[what] for ranks in every for rank in ranks) for every in found.values()]
        lines.append(f"| {name} | " + " | ".join(f"{m / 1024:.0f}" for m in most) + " |")
    return "\n".join(lines)


def _cells(times: list[list[float]]) -> list[str]:
    middle = [statistics.median(of_n) for of_n in times]
    return [
        f"{m:.0f} ms ({min(of_n):.0f} to {max(of_n):.0f}), {middle[0] / m:.2f} x"
        for m, of_n in zip(middle, times)
    ]


if __name__ == "__main__":
    inside() if sys.argv[1:2] == ["--inside"] else main()
