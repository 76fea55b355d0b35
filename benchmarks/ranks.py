"""Training over MPI ranks: run-steps a second and memory of 1, 2 and 4 ranks, in turn.

Every rank trains in its own process (`--workers 0`); a process with two workers stands beside them.
Four ranks on two cores are oversubscribed and can only show what that costs. CPU time says what
ranks cost where other programs disturb the wall clock. Starting Python and torch does not count,
but that of workers does in CPU time; loading data and choosing the engine count in CPU time.

    python benchmarks/ranks.py --data DIR        (DIR/MNIST/raw)
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from harness import machine

PROGRAM = """
import json, os, resource, sys
from pathlib import Path
from pvensemble.train import trainer
from pvensemble.cli import main
train, results, begun = trainer.train, [], []
def cpu():
    used = [resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)
def watched(*arguments, **options):
    begun.append(cpu())
    results.append(train(*arguments, **options))
    return results[0]
trainer.train = watched
status = main(sys.argv[2:])
own = resource.getrusage(resource.RUSAGE_SELF)
workers = resource.getrusage(resource.RUSAGE_CHILDREN)
rank = os.environ.get("OMPI_COMM_WORLD_RANK", "0")
Path(sys.argv[1], rank + ".json").write_text(json.dumps({
    "run_steps": results[0].run_steps,
    "seconds": results[0].seconds,
    "cpu": cpu() - begun[0],
    "memory": 1024 * max(own.ru_maxrss, workers.ru_maxrss),
}))
sys.exit(status)
"""
VARIANTS = {"1 process, 2 workers": 0, "1 rank": 1, "2 ranks": 2, "4 ranks": 4}


def main() -> None:
    """Measure all variants in turn and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="directory of the data sets")
    parser.add_argument("--preset", default="mnist")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    print(f"machine: {machine()}, load {os.getloadavg()[0]:.1f} before", flush=True)
    found: dict[str, list[dict]] = {name: [] for name in VARIANTS}
    for _ in range(args.repeats):
        for name, n_ranks in VARIANTS.items():
            found[name].append(_train(n_ranks, args))
    base = found["1 rank"]
    print("| | run-steps a second | ratio | run-steps a CPU second | ratio | MB of a process |")
    print("|---|---|---|---|---|---|")
    for name, results in found.items():
        cells = []
        for key in ("speed", "by_cpu"):
            values = [r[key] for r in results]
            ratio = statistics.median(r[key] / b[key] for r, b in zip(results, base))
            spread = f"{min(values):.0f} to {max(values):.0f}"
            cells += [f"{statistics.median(values):.0f} ({spread})", f"{ratio:.2f}"]
        memory = statistics.median(r["memory"] for r in results) / 1e6
        print(f"| {name} | {' | '.join(cells)} | {memory:.0f} |")
    print(f"n = {args.repeats}, load {os.getloadavg()[0]:.1f} at the end")


def _train(n_ranks: int, args: argparse.Namespace) -> dict:
    """Train once; return what all ranks did together, and the most memory that one took."""
    with tempfile.TemporaryDirectory() as directory:
        command = [sys.executable, "-c", PROGRAM, directory, "train", args.preset]
        command += ["-o", str(Path(directory, "e.pvens")), "--device", "cpu"]
        command += ["--data", args.data] if args.data else []
        command += ["--set", f"steps={args.steps}", "data.test=100"]
        command += ["session.0.space.learning_rate=[0.001, 0.01, 0.03]"]
        command += ["session.0.space.momentum=[0.0, 0.3, 0.6, 0.9]"]
        command += [f"record.every={args.steps // 2}", f"evaluate.every={args.steps // 2}"]
        command += ["--workers", "0" if n_ranks else "2"]
        if n_ranks:
            command = ["mpiexec", "--oversubscribe", "-n", str(n_ranks), *command]
        environment = {**os.environ, "OMPI_ALLOW_RUN_AS_ROOT": "1"}
        environment["OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"] = "1"
        subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=True
        )
        ranks = [json.loads(p.read_text()) for p in Path(directory).glob("*.json")]
    run_steps = sum(r["run_steps"] for r in ranks)
    return {
        "speed": run_steps / max(r["seconds"] for r in ranks),
        "by_cpu": run_steps / sum(r["cpu"] for r in ranks),
        "memory": max(r["memory"] for r in ranks),
    }


if __name__ == "__main__":
    main()
