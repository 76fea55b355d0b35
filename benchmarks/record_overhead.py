"""What recording every 20 steps costs a training of the ``mnist`` preset.

The same runs train with and without recording, in turn; both evaluate at the same steps. Reported
are wall time from the first stop to the last commit, and CPU time of trainer and workers, which
other programs on the machine disturb less.

    python benchmarks/record_overhead.py --data DIR       (DIR/MNIST/raw)
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

RATES = "session.0.space.learning_rate={low=0.006, high=0.016, num=6}"
MOMENTA = "session.0.space.momentum=[0.729, 0.81, 0.9]"
WITHOUT = ("record.kinds=[]",)


def main() -> None:
    """Train in turn, print the overhead."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="directory of the data sets")
    parser.add_argument("--preset", default="mnist")
    parser.add_argument("--steps", type=int, default=80)
    parser.add_argument("--every", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    from harness import machine

    print(f"machine: {machine()}, load {' '.join(f'{x:.1f}' for x in os.getloadavg())}")
    print(f"{args.preset}: 18 runs of {args.steps} steps, stops every {args.every} steps")
    found: dict[str, list[tuple[float, float, int]]] = {"without": [], "recording": []}
    for _ in range(args.repeats):
        found["without"].append(_train(args, WITHOUT))
        found["recording"].append(_train(args, ()))
    for name, values in found.items():
        wall, cpu = [v[0] for v in values], [v[1] for v in values]
        print(
            f"{name:<10} wall {statistics.median(wall):6.2f} s ({min(wall):.2f} to {max(wall):.2f})"
            f"   CPU {statistics.median(cpu):6.2f} s ({min(cpu):.2f} to {max(cpu):.2f})"
            f"   {values[0][2] / 1e6:.1f} MB"
        )
    for number, kind in enumerate(("wall", "CPU")):
        pairs = zip(found["recording"], found["without"])
        ratios = [100 * (a[number] / b[number] - 1) for a, b in pairs]
        shown = f"{min(ratios):.2f} to {max(ratios):.2f}"
        print(f"overhead by {kind} time: {statistics.median(ratios):.2f} % ({shown})")


def _train(args: argparse.Namespace, overrides: tuple[str, ...]) -> tuple[float, float, int]:
    """Return wall seconds from the first stop on, CPU seconds and recorded bytes."""
    from pvensemble.train.config import load_config
    from pvensemble.train.executors import choose
    from pvensemble.train.executors.events import Report
    from pvensemble.train.trainer import train

    config = load_config(
        args.preset,
        [
            RATES,
            MOMENTA,
            f"steps={args.steps}",
            f"record.every={args.every}",
            f"evaluate.every={args.every}",
            "data.test=100",
            *overrides,
        ],
    )
    first: list[float] = []
    seen: list[int] = []

    class Watched:
        """The usual executor; notes when the first stop arrives."""

        def __init__(self, data) -> None:
            self._inner = choose("cpu", None, data)
            self.description = self._inner.description

        def run(self, jobs, control):
            """Pass events on."""
            for event in self._inner.run(jobs, control):
                if isinstance(event, Report) and not first:
                    first.append(time.perf_counter())
                yield event

    with tempfile.TemporaryDirectory() as directory:
        before = _cpu_seconds()
        train(
            config,
            Path(directory) / "e.pvens",
            data_dir=args.data,
            executor=Watched,
            on_progress=lambda p: seen.append(p.bytes_written),
        )
        return time.perf_counter() - first[0], _cpu_seconds() - before, seen[-1]


def _cpu_seconds() -> float:
    total = 0.0
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        usage = resource.getrusage(who)
        total += usage.ru_utime + usage.ru_stime
    return total


if __name__ == "__main__":
    main()
