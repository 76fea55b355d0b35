"""Speed of training many runs in one vectorized step on a GPU, against the plain PyTorch loop.

    python benchmarks/train_gpu.py --data DIR                      (random images without)
    python benchmarks/train_gpu.py --device cpu --runs 2 4         (to try the script)

Both train the first runs of a preset on the same device. The plain loop is the one that a tutorial
writes (``plain_loop.py``), one run after the other: its run-steps a second do not depend on the
number of runs. The device is waited for at the end of each measurement.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[1])]

import torch  # noqa: E402
from harness import machine  # noqa: E402
from plain_loop import data_of, plain_step, runs_of  # noqa: E402

from pvensemble.train.executors.device_data import DeviceData  # noqa: E402
from pvensemble.train.executors.vectorized import _Segment  # noqa: E402
from pvensemble.train.native.choice import EngineChoice  # noqa: E402
from pvensemble.train.preparation import make_job  # noqa: E402

WARM_UP = 5


def main() -> None:
    """Measure both in turn; print medians, spread and ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="directory of the data sets")
    parser.add_argument("--preset", default="mnist")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--runs", type=int, nargs="+", default=[1, 16, 121])
    parser.add_argument("--steps", type=int, default=50, help="of one measurement")
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    device = torch.device(args.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        sys.exit("train_gpu.py: no CUDA device is there; --device cpu tries the script")
    print(f"machine: {described(device)}; torch {torch.__version__}, preset {args.preset}")
    config, specs = runs_of(args.preset)
    data = data_of(args.preset, args.data, specs[0].settings)
    work = {"plain loop": (1, plain_step(specs[0].settings, data, device))}
    for n in args.runs:
        work[f"vectorized, {n} runs"] = (n, vectorized_step(config, specs[:n], data, device, args))
    print(table(measured(work, args, device)))


def described(device: torch.device) -> str:
    """Return what the device is."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else machine()


def vectorized_step(config, specs: list, data, device: torch.device, args) -> Callable[[], None]:
    """Return a step of all runs together."""
    engine = EngineChoice("torch", demanded=True)
    job = make_job(config, specs, 0, {specs[0].settings.data: data}, engine)
    segment = _Segment(job, range(len(specs)), DeviceData(data, device))
    segment.open(WARM_UP + args.repeats * args.steps)
    return segment.measure


def measured(work: dict, args, device: torch.device) -> dict[str, list[float]]:
    """Return run-steps a second of each, measured in turn."""

    def seconds(step: Callable[[], None], n: int) -> float:
        begin = time.perf_counter()
        for _ in range(n):
            step()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter() - begin

    for _, step in work.values():
        seconds(step, WARM_UP)
    found: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(args.repeats):
        for name, (n_runs, step) in work.items():
            found[name].append(n_runs * args.steps / seconds(step, args.steps))
    return found


def table(found: dict[str, list[float]]) -> str:
    """Return a Markdown table."""
    base = statistics.median(next(iter(found.values())))
    lines = ["| | n | run-steps a second | min to max | ratio |", "|---|---|---|---|---|"]
    for name, speeds in found.items():
        median, spread = statistics.median(speeds), f"{min(speeds):.4g} to {max(speeds):.4g}"
        ratio = f"{median / base:.2f} x"
        lines.append(f"| {name} | {len(speeds)} | {median:.4g} | {spread} | {ratio} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
