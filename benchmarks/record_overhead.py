"""What recording every 20 steps costs a training of the ``mnist`` preset.

The same runs train with and without recording, in turn; both evaluate at the same steps. Reported
are wall time from the first stop to the last commit, and CPU time of trainer and workers, which
other programs on the machine disturb less. Two trainings still differ by more than recording costs
on a busy machine, so its parts are measured too: what a stop costs a worker with and without
recording, in turn in this process, and what the trainer's own CPU time grows by.

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
from dataclasses import replace
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
    own = [min(v[3] for v in found[name]) for name in ("recording", "without")]
    stop, n_stops = _stop_cost(args), 18 * (1 + args.steps // args.every)
    whole = statistics.median(v[1] for v in found["without"])
    share = 100 * (own[0] - own[1] + stop * n_stops) / whole
    print(
        f"by parts: {1e3 * stop:.2f} ms a stop in a worker x {n_stops}, trainer "
        f"{own[0]:.2f} s instead of {own[1]:.2f} s: {share:.2f} % of {whole:.1f} s CPU"
    )


def _stop_cost(args: argparse.Namespace, repeats: int = 40) -> float:
    """Return by how many CPU seconds recording makes a stop of one run longer."""
    import torch

    from pvensemble.train.config import load_config
    from pvensemble.train.data import load_data
    from pvensemble.train.executors.device_data import DeviceData
    from pvensemble.train.executors.engine import worker_arithmetic
    from pvensemble.train.executors.one_run import OneRun
    from pvensemble.train.native.choice import choose_engine
    from pvensemble.train.preparation import make_job
    from pvensemble.train.search import sample_runs

    config = load_config(args.preset, ["data.test=100", f"evaluate.every={args.every}"])
    device, data = torch.device("cpu"), load_data(config.data, args.data)
    seconds: dict[bool, list[float]] = {True: [], False: []}
    with worker_arithmetic(device):
        engine = choose_engine("auto", cpu=True)
        job = make_job(config, sample_runs(config)[:1], 0, {config.data: data}, engine)
        run = OneRun(job, 0, DeviceData(data, device))
        run.advance(0, lambda: False)
        recorded = {True: job.schedule, False: replace(job.schedule, recorded=())}
        for i in range(2 * repeats + 4):
            job.schedule = recorded[i % 2 == 0]
            begin = time.process_time()
            run.report()
            if i >= 4:  # the first ones warm up
                seconds[i % 2 == 0].append(time.process_time() - begin)
    return statistics.median(seconds[True]) - statistics.median(seconds[False])


def _train(args: argparse.Namespace, overrides: tuple[str, ...]) -> tuple[float, float, int, float]:
    """Return wall seconds from the first stop on, CPU seconds, recorded bytes, and the trainer's
    own CPU seconds."""
    from pvensemble.store import Ensemble
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
        """The usual executor, with the engine that it gets; notes when the first stop arrives."""

        def __init__(self, data) -> None:
            self._inner = choose("cpu", None, data)
            self.description = self._inner.description
            self.one_run_on_cpu = self._inner.one_run_on_cpu

        def run(self, jobs, control):
            """Pass events on."""
            for event in self._inner.run(jobs, control):
                if isinstance(event, Report) and not first:
                    first.append(time.perf_counter())
                yield event

        def close(self):
            """End the workers."""
            self._inner.close()

    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "e.pvens"
        before, own = _cpu_seconds(), time.process_time()
        train(
            config,
            path,
            data_dir=args.data,
            executor=Watched,
            on_progress=lambda p: seen.append(p.bytes_written),
        )
        wall, own = time.perf_counter() - first[0], time.process_time() - own
        cpu = _cpu_seconds() - before
        engine = Ensemble.open(path).provenance["engine"]
        assert engine == "native", f"the parts are those of the compiled engine, not of {engine}"
        return wall, cpu, seen[-1], own


def _cpu_seconds() -> float:
    total = 0.0
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        usage = resource.getrusage(who)
        total += usage.ru_utime + usage.ru_stime
    return total


if __name__ == "__main__":
    main()
