"""Speed of training the ``mnist`` preset on CPU cores, against the plain PyTorch loop.

Both train one run at a time in as many processes as there are cores, one thread each; they
alternate, so that whatever else the machine does meets both. The plain loop is the same network
and optimizer as a tutorial writes it: NCHW, ``torch.optim.SGD``, ``loss.backward()``. ``native`` is
the compiled engine, left out where there is no compiler.

    python benchmarks/train_cpu.py --data DIR        (DIR/MNIST/raw; random images without)
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[1])]

LOOPS = ("plain", "float32", "bf16", "native")


def main() -> None:
    """Run the processes, print medians, spread and ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="directory of the data sets")
    parser.add_argument("--seconds", type=float, default=3.0, help="of one measurement")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--preset", default="mnist")
    parser.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--worker", choices=(*LOOPS, "gemm"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        _worker(args)
        return
    print(f"machine: {_processor()}, {args.processes} processes of one thread, load {_load()}")
    import torch

    print(f"torch {torch.__version__}, python {platform.python_version()}, preset {args.preset}")
    loops = [loop for loop in LOOPS if loop != "native" or _native()]
    found = {loop: [] for loop in (*loops, "gemm")}
    for _ in range(args.repeats):
        for loop in found:
            found[loop].append(_measure(loop, args))
    base = found["plain"]
    heads = ("min", "max", "CPU ms/step", "ratio", "by CPU")
    print(f"{'loop':<10}{'run-steps/s':>12}" + "".join(f"{head:>12}" for head in heads))
    for loop in loops:
        wall = [w for w, _ in found[loop]]
        cpu = statistics.median(c for _, c in found[loop])
        ratio = statistics.median(a[0] / b[0] for a, b in zip(found[loop], base))
        cpu_ratio = statistics.median(b[1] / a[1] for a, b in zip(found[loop], base))
        print(
            f"{loop:<10}{statistics.median(wall):>12.1f}{min(wall):>12.1f}{max(wall):>12.1f}"
            f"{1e3 * cpu:>12.2f}{ratio:>12.2f}{cpu_ratio:>12.2f}"
        )
    gemm = statistics.median(1 / c for _, c in found["gemm"])
    print(f"float32 GEMM 1024, one thread: {2 * 1024**3 * gemm / 1e9:.0f} GFLOP/s of CPU time")
    print(
        f"load at the end {_load()}; ratio by wall time, and by CPU time (others do not disturb it)"
    )


def _measure(loop: str, args: argparse.Namespace) -> tuple[float, float]:
    """Return steps per second of all processes together, and CPU seconds a step."""
    environment = dict(os.environ, OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")
    if loop in ("float32", "bf16", "native"):
        from pvensemble.train.executors.workers import MEMORY

        environment.update(MEMORY)
    command = [sys.executable, __file__, "--worker", loop, "--seconds", str(args.seconds)]
    command += ["--preset", args.preset, *(["--data", args.data] if args.data else [])]
    processes = [
        subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(args.processes)
    ]
    for process in processes:
        process.stdout.readline()  # ready
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    results = [[float(x) for x in p.communicate()[0].split()] for p in processes]
    speed = sum(steps / wall for steps, wall, _ in results)
    return speed, statistics.mean(cpu / steps for steps, _, cpu in results)


def _worker(args: argparse.Namespace) -> None:
    """Measure one loop in this process; print steps, wall seconds and CPU seconds."""
    import torch

    torch.set_num_threads(1)
    if args.worker == "gemm":
        a, b = torch.randn(1024, 1024), torch.randn(1024, 1024)
        step = lambda: a @ b  # noqa: E731
    else:
        step = _plain(args) if args.worker == "plain" else _ours(args)
    for _ in range(3):
        step()
    print("ready", flush=True)
    sys.stdin.readline()
    steps, begin, cpu = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - begin < args.seconds:
        step()
        steps += 1
    print(steps, time.perf_counter() - begin, time.process_time() - cpu)


def _run(args: argparse.Namespace):
    """Return configuration, middle run and data set of the preset."""
    from plain_loop import data_of, runs_of

    overrides = [] if args.worker != "bf16" else ["train.precision=bf16"]
    config, specs = runs_of(args.preset, overrides)
    return config, specs[len(specs) // 2], data_of(args.preset, args.data, specs[0].settings)


def _plain(args: argparse.Namespace):
    """Return a step of the plain loop."""
    import torch
    from plain_loop import plain_step

    _, spec, data = _run(args)
    return plain_step(spec.settings, data, torch.device("cpu"))


def _ours(args: argparse.Namespace):
    """Return a step of the sequential executor: loss, accuracy, gradient, update."""
    import torch

    from pvensemble.train.executors.device_data import DeviceData
    from pvensemble.train.executors.engine import worker_arithmetic
    from pvensemble.train.executors.one_run import OneRun
    from pvensemble.train.preparation import make_job

    config, spec, data = _run(args)
    arithmetic = worker_arithmetic(torch.device("cpu"))
    arithmetic.__enter__()
    from pvensemble.train.native.choice import EngineChoice

    engine = EngineChoice(args.worker if args.worker == "native" else "torch", demanded=True)
    job = make_job(config, [spec], 0, {spec.settings.data: data}, engine)
    run = OneRun(job, 0, DeviceData(data, torch.device("cpu")))

    def step() -> None:
        run._rows.append(run._backward())
        run._update()
        run.step += 1

    return step


def _native() -> bool:
    """Whether there is a compiled engine; say so when not."""
    from pvensemble.train.native.build import NoLibrary, library

    try:
        return bool(library())
    except NoLibrary as error:
        print(f"native: {error}")
        return False


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def _load() -> str:
    return " ".join(f"{x:.1f}" for x in os.getloadavg())


if __name__ == "__main__":
    main()
