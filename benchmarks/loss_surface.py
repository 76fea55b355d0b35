"""Time of a loss surface against the loop that one would write.

    python benchmarks/loss_surface.py --data DIR
    python benchmarks/loss_surface.py --preset tensorviz --data DIR --points 16

The loop sets the parameters of one point after the other and passes all images through at once,
with as many threads as torch likes. Some points are timed; the time of a 41 x 41 surface follows.
Wall time says what one waits for; processor time hardly depends on what else a machine does, but
threads that wait for each other use it, so the loop is timed with one thread as well.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import numpy as np  # noqa: E402
import torch  # noqa: E402
from harness import alternate, machine, report  # noqa: E402
from torch.nn import functional  # noqa: E402

from pvensemble.train.config import load_config  # noqa: E402
from pvensemble.train.data import load_data  # noqa: E402
from pvensemble.train.models import build_model  # noqa: E402
from pvensemble.train.recording import network_shapes, network_vector  # noqa: E402
from pvensemble.train.surface_plane import NetworkLayout, SurfacePlane, random_plane  # noqa: E402
from pvensemble.train.surface_points import Measurer, networks_at  # noqa: E402

LOOP = "the loop"
SIZE = 41


@torch.no_grad()
def plain(model, plane: SurfacePlane, layout: NetworkLayout, points, images, labels) -> list[float]:
    """Return the loss at each point as a simple program finds it."""
    origin, axes = torch.from_numpy(plane.origin), torch.from_numpy(plane.axes)
    losses = []
    for x, y in points.tolist():
        vector = origin + x * axes[0] + y * axes[1]
        state = {n: vector[at].view(shape) for n, (at, shape) in layout.places.items()}
        model.load_state_dict(state)
        losses.append(float(functional.cross_entropy(model(images), labels)))
    return losses


def main() -> int:
    """Measure and print Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--preset", default="mnist")
    parser.add_argument("--data", help="directory of the data files")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--points", type=int, default=24)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    config = load_config(options.preset)
    data = load_data(config.data, options.data)
    images, labels = (t[: options.images] for t in vars(data.validation).values())
    model = build_model(
        config.model, input_shape=data.input_shape, n_classes=data.n_classes, seed=1
    ).eval()
    layout = NetworkLayout(model, network_shapes(model))
    plane = random_plane(network_vector(model), layout, seed=0)
    points = np.random.default_rng(0).uniform(-1, 1, size=(options.points, 2))
    vectors = networks_at(plane, points, torch.device("cpu"))
    found: dict[str, np.ndarray] = {}
    busy: dict[str, list[float]] = {}

    def ours(engine: str) -> np.ndarray:
        measurer = Measurer(model, layout, images, labels, torch.device("cpu"), engine=engine)
        losses = np.empty(options.points)
        for done, loss, _ in measurer.measure(vectors, range(options.points)):
            losses[done] = loss
        return losses

    def batched() -> np.ndarray:
        measurer = Measurer(model, layout, images, labels, torch.device("cpu"))
        eights = [range(len(points))[i : i + 8] for i in range(0, len(points), 8)]
        sums = torch.cat([measurer.batched_sums(vectors(eight)) for eight in eights])
        return sums[:, 0].numpy() / len(labels)

    def one_thread() -> list[float]:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        losses = plain(model, plane, layout, points, images, labels)
        torch.set_num_threads(threads)
        return losses

    work = {
        LOOP: lambda: plain(model, plane, layout, points, images, labels),
        f"{LOOP}, one thread": one_thread,
        "eight networks in one product (vmap)": batched,
        "pvensemble, PyTorch": lambda: ours("torch"),
        "pvensemble, compiled engine": lambda: ours("native"),
    }

    def timed(name: str):
        def call() -> None:
            start = time.process_time()
            found[name] = np.array(work[name]())
            busy.setdefault(name, []).append(time.process_time() - start)

        return call

    times = alternate({name: timed(name) for name in work}, options.repeats)
    busy = {name: values[1:] for name, values in busy.items()}
    title = f"preset {options.preset}, {len(labels):,} images, {options.points} points"
    print(f"{machine()}; torch {torch.__version__}\n")
    print(report(f"{title}: wall", times, LOOP))
    print(report(f"{title}: processor time of all cores", busy, LOOP))
    for name, values in times.items():
        whole = statistics.median(values) / options.points * SIZE**2
        off = np.abs(found[name] / found[LOOP] - 1).max()
        size = f"{SIZE} x {SIZE} points in {whole:.0f} s"
        print(f"- {name}: {size}; losses within {off:.1e} of the loop's")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
