"""What all benchmarks share: the machine, alternating repeats, medians, spread and ratios.

Every script compares its subject with a named alternative in the same run, in turn, so that a noisy
machine hits both alike. Machines differ: quote the ratios.
"""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np


def machine() -> str:
    """Describe processor, cores, and the float32 matrix-product peak measured now, in one line."""
    model = platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [x for x in cpuinfo.read_text().splitlines() if x.startswith("model name")]
        model = names[0].split(":", 1)[1].strip() if names else model
    return f"{model}, {os.cpu_count()} cores, float32 GEMM {gemm_peak():.0f} GF/s"


def gemm_peak(n: int = 2048, repeats: int = 5) -> float:
    """Best observed rate of a float32 matrix product of two n x n matrices, in GF/s."""
    a = np.random.default_rng(0).standard_normal((n, n), dtype=np.float32)
    a @ a
    return 2 * n**3 / min(seconds(lambda: a @ a) for _ in range(repeats)) / 1e9


def seconds(work: Callable[[], object]) -> float:
    """Wall-clock seconds of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def alternate(
    variants: Mapping[str, Callable[[], object]], repeats: int, warm_up: int = 1
) -> dict[str, list[float]]:
    """Time each variant `repeats` times, taking turns, after `warm_up` untimed rounds."""
    times: dict[str, list[float]] = {name: [] for name in variants}
    for i in range(warm_up + repeats):
        for name, work in variants.items():
            t = seconds(work)
            if i >= warm_up:
                times[name].append(t)
    return times


def report(title: str, times: Mapping[str, list[float]], baseline: str, unit: str = "ms") -> str:
    """Return a Markdown table: n, median, min to max, and the ratio baseline / variant."""
    factor = {"s": 1.0, "ms": 1e3, "us": 1e6}[unit]
    reference = statistics.median(times[baseline])
    lines = [f"### {title}", "", f"| | n | median {unit} | min to max | faster than {baseline} |"]
    lines.append("|---|---|---|---|---|")
    for name, values in times.items():
        m = statistics.median(values)
        spread = f"{min(values) * factor:.3g} to {max(values) * factor:.3g}"
        ratio = f"{reference / m:.2f} x"
        lines.append(f"| {name} | {len(values)} | {m * factor:.3g} | {spread} | {ratio} |")
    return "\n".join(lines) + "\n"
