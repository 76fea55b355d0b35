"""Correlations of the filters of all layers of 121 runs, against ``numpy.corrcoef`` for each run.

    python benchmarks/correlation.py

The layers are those of the preset ``mnist`` (20 filters of 24 x 24, 50 of 8 x 8), the probe batch
has 256 images. One thread each. All variants find the outputs of the layers in memory, each as its
own loop leaves them: channels last in the trainer, channels first in plain PyTorch. ``patches`` is
what the trainer does: of the first layer it needs the weights only, as the covariance of the
patches of images is computed once in a training. ``training batch`` takes the outputs of the step's
own 64 images instead of the probe batch's. Outputs of 8 runs, 100 MB, are used in turn.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import argparse  # noqa: E402

import numpy as np  # noqa: E402
import torch  # noqa: E402
from harness import alternate, machine, report, seconds  # noqa: E402
from torch.nn import functional  # noqa: E402

from pvensemble.numerics.correlation import CorrelationSums as NumpySums  # noqa: E402
from pvensemble.train.correlation import (  # noqa: E402
    CorrelationSums,
    activation_rows,
    correlation_of_patches,
    patch_covariance,
)

N_IMAGES, N_BATCH, N_POOL = 256, 64, 8


def outputs(seed: int) -> tuple[torch.nn.Conv2d, list[torch.Tensor]]:
    """Return the first layer of a run and the outputs of both, channels last."""
    torch.manual_seed(seed)
    first, second = torch.nn.Conv2d(1, 20, 5), torch.nn.Conv2d(20, 50, 5)
    with torch.no_grad():
        one = first(IMAGES).contiguous(memory_format=torch.channels_last)
        two = second(functional.relu(functional.max_pool2d(one, 2)))
    return first, [one, two.contiguous(memory_format=torch.channels_last)]


def by_numpy(output: np.ndarray) -> np.ndarray:
    """What a user writes; output is (n_images, n_filters, y, x)."""
    return np.corrcoef(output.swapaxes(0, 1).reshape(output.shape[1], -1))


def by_sums(output: torch.Tensor) -> np.ndarray:
    sums = CorrelationSums()
    sums.add(activation_rows(output[None]))
    return sums.result().numpy()[0]


def by_numpy_sums(output: np.ndarray) -> np.ndarray:
    """The same in numpy, for stored outputs; output is (n_images, y, x, n_filters)."""
    sums = NumpySums()
    sums.add(output.reshape(-1, output.shape[-1]))
    return sums.result()


IMAGES = torch.randn(N_IMAGES, 1, 28, 28, generator=torch.Generator().manual_seed(0))


def main() -> None:
    """Measure and print Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=121)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    pool = [outputs(seed) for seed in range(N_POOL)]
    runs = [pool[i % N_POOL] for i in range(options.runs)]
    plain = {id(o): o.contiguous().numpy() for _, both in pool for o in both}
    last = {id(o): o.permute(0, 2, 3, 1).numpy() for _, both in pool for o in both}
    covariance = patch_covariance(IMAGES, pool[0][0])
    print(machine())
    print(f"one thread; patch_covariance, once in a training: "
          f"{seconds(lambda: patch_covariance(IMAGES, pool[0][0])) * 1e3:.0f} ms\n")  # fmt: skip

    def patches(i: int) -> np.ndarray:
        return correlation_of_patches(runs[i][0].weight, covariance).numpy()[0]

    for layer in (0, 1):
        output = pool[0][1][layer]
        exact = by_numpy(plain[id(output)].astype(np.float64))
        errors = {
            "sums": by_sums(output),
            "numpy sums": by_numpy_sums(last[id(output)]),
            **({"patches": patches(0)} if layer == 0 else {}),
        }
        texts = (f"{name} {np.abs(m - exact).max():.1e}" for name, m in errors.items())
        print(f"conv{layer + 1}, largest difference from float64: {', '.join(texts)}")
    print()

    n = range(options.runs)
    for layer in (0, 1):
        variants = {
            "numpy.corrcoef": lambda k=layer: [by_numpy(plain[id(runs[i][1][k])]) for i in n],
            "sums": lambda k=layer: [by_sums(runs[i][1][k]) for i in n],
            "numpy sums": lambda k=layer: [by_numpy_sums(last[id(runs[i][1][k])]) for i in n],
            "sums, training batch": lambda k=layer: [by_sums(runs[i][1][k][:N_BATCH]) for i in n],
        }
        if layer == 0:
            variants["patches"] = lambda: [patches(i) for i in n]
        times = alternate(variants, options.repeats)
        print(report(f"conv{layer + 1} of {options.runs} runs", times, "numpy.corrcoef"))
    variants = {
        "numpy.corrcoef": lambda: [by_numpy(plain[id(o)]) for i in n for o in runs[i][1]],
        "sums": lambda: [by_sums(o) for i in n for o in runs[i][1]],
        "patches, sums": lambda: [(patches(i), by_sums(runs[i][1][1])) for i in n],
        "sums, training batch": lambda: [by_sums(o[:N_BATCH]) for i in n for o in runs[i][1]],
    }
    times = alternate(variants, options.repeats)
    print(report(f"all layers of {options.runs} runs", times, "numpy.corrcoef"))


if __name__ == "__main__":
    main()
