"""``pvensemble surface``: the loss around a run's final network, as a surface."""

from __future__ import annotations

import argparse
import importlib.util
import sys

from pvensemble.cli._output import add_csv, write_text

HELP = "compute the loss over a plane of networks around a run's final one"
INTERRUPTED = 130


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("ensemble", metavar="X.pvens", help="made by `pvensemble train`")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--run", metavar="N", type=int, help="the surface is around this run")
    which.add_argument("--runs", metavar="A,B,C", help="the surface goes through these three runs")
    parser.add_argument(
        "--directions",
        choices=("random", "trajectory"),
        help="two random ones, normalized filter by filter (default), or the two principal "
        "components of the run's way, which needs record.networks = all",
    )
    parser.add_argument("--size", metavar="K", type=int, default=41, help="K x K points (41)")
    parser.add_argument("--span", metavar="S", type=float, default=1.0, help="half width (1.0)")
    parser.add_argument("--images", metavar="N", type=int, help="the first N (1,000, or all)")
    parser.add_argument("--split", choices=("validation", "train"), default="validation")
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="of random directions")
    parser.add_argument(
        "--biases", action="store_true", help="random directions move biases and batch norm, too"
    )
    parser.add_argument("--data", metavar="DIR", help="directory of the data files")
    parser.add_argument("--config", metavar="FILE", help="needed for a model of your own")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--name", metavar="NAME", help="of the surface (run12-random)")
    add_csv(parser)


def run(args: argparse.Namespace) -> int:
    """Compute, store and describe the surface; 130 when interrupted."""
    from pvensemble.cli._progress import ProgressDisplay
    from pvensemble.cli._signals import stop_on_signals
    from pvensemble.errors import ConfigError

    if importlib.util.find_spec("torch") is None:
        raise ConfigError("a loss surface needs PyTorch: pip install 'pvensemble[train]'")
    from pvensemble.train.loss_surface import loss_surface

    options = _options(args)
    display = ProgressDisplay(sys.stderr, line=progress_line)
    with stop_on_signals() as stop:
        try:
            surface = loss_surface(
                args.ensemble,
                options,
                config=args.config,
                data_dir=args.data,
                device=_device(args.device),
                on_progress=display,
                stop=stop.is_set,
            )
        finally:
            display.close()
    if args.csv is not None:
        write_text(_csv(surface), args.csv)
    if args.csv != "-":
        print(as_text(surface, args.ensemble), end="")
    if not surface.meta["complete"]:
        print("interrupted; the same command goes on with it", file=sys.stderr)
        return INTERRUPTED
    return 0


def _options(args: argparse.Namespace):
    """Return what is asked for."""
    from pvensemble.errors import ConfigError
    from pvensemble.train.surface_options import RANDOM, RUNS, SurfaceOptions

    runs = (args.run,)
    directions = args.directions or RANDOM
    if args.runs is not None:
        try:
            runs = tuple(int(text) for text in args.runs.split(","))
        except ValueError:
            raise ConfigError(
                f"--runs: got {args.runs!r}, allowed: three numbers: 3,7,12"
            ) from None
        if len(runs) != 3:
            raise ConfigError(f"--runs: got {args.runs!r}, allowed: three runs; --run for one")
        if args.directions:
            raise ConfigError("--directions: the plane through three runs needs none")
        directions = RUNS
    return SurfaceOptions(
        runs=runs,
        directions=directions,
        size=args.size,
        span=args.span,
        images=args.images,
        split=args.split,
        seed=args.seed,
        biases=args.biases,
        name=args.name,
    )


def _device(wanted: str) -> str:
    """Return the device of a name; CUDA where there is one."""
    import torch

    from pvensemble.errors import ConfigError

    there = torch.cuda.is_available()
    if wanted == "cuda" and not there:
        raise ConfigError("--device: got 'cuda', but torch can use no CUDA device here; use cpu")
    return "cuda" if there and wanted != "cpu" else "cpu"


def progress_line(progress) -> str:
    """Return how far the computation is, in one line."""
    from pvensemble.cli._progress import duration

    share = 100 * progress.done // max(progress.total, 1)
    left = "--" if progress.remaining is None else duration(progress.remaining)
    return (
        f"{share:3d} %  {progress.done:,}/{progress.total:,} networks  "
        f"{progress.per_second:,.1f}/s  {left} left"
    )


def _csv(surface) -> str:
    """Return the grid in long form."""
    import numpy as np

    from pvensemble.store.table import csv_text

    x, y = (a.ravel() for a in np.meshgrid(surface.x, surface.y))
    loss, accuracy = surface.loss.ravel(), surface.accuracy.ravel()
    return csv_text({"x": x, "y": y, "loss": loss, "accuracy": accuracy})


def as_text(surface, path: str) -> str:
    """Return what is to say about a surface."""
    from pvensemble.cli._tensors import lines_text

    return lines_text(f"{path}: loss surface {surface.name}", as_values(surface))


def as_values(surface) -> dict:
    """Return place, range and what the plane holds, by what they are called."""
    import numpy as np

    meta, known = surface.meta, surface.loss[~np.isnan(surface.loss)]
    finite = known[np.isfinite(known)]
    networks = zip(meta["steps"], surface.run_loss, surface.run_accuracy)
    return {
        "directions": _directions(meta),
        "points": f"{len(surface.x)} x {len(surface.y)}"
        + ("" if meta["complete"] else f", {surface.loss.size - known.size} not computed yet"),
        "images": f"the first {meta['images']:,} of the {meta['split']} split",
        "networks": "; ".join(f"step {s}: loss {a:.6g}, accuracy {b:.4f}" for s, a, b in networks),
        "loss": f"{finite.min():.6g} to {finite.max():.6g}" if len(finite) else "none is finite",
        "not finite": f"{len(known) - len(finite)} points" if len(finite) < len(known) else "",
        "trajectory": _trajectory(surface),
    }


def _directions(meta) -> str:
    if meta["directions"] == "trajectory":
        shares = " + ".join(f"{100 * share:.1f} %" for share in meta["explained"])
        return f"principal components of the trajectory, {shares} of its variance"
    if meta["directions"] == "runs":
        return "through three runs, distances are true"
    return f"random (seed {meta['seed']}), normalized filter by filter"


def _trajectory(surface) -> str:
    """Say how much of the trajectory the surface shows."""
    import numpy as np

    if not len(surface.path_step):
        return "none: only the last networks are stored (record.networks = all stores all)"
    extent = (np.ptp(surface.path_x), np.ptp(surface.path_y))
    text = f"{len(surface.path_step)} networks, {extent[0]:.3g} x {extent[1]:.3g} in the plane"
    text += f", at most {surface.path_distance.max():.3g} away from it"
    if surface.meta["directions"] == "random":
        text += "; random directions hold almost nothing of it, --directions trajectory shows it"
    return text
