"""``pvensemble reduce``: merge filters of trained networks, and see what that costs."""

from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path

from pvensemble.cli._merges import add_output, show

INTERRUPTED = 130
HELP = "merge similar filters of trained networks and measure accuracy and loss before and after"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("ensemble", metavar="X.pvens", help="made by `pvensemble train`")
    parser.add_argument(
        "--threshold",
        metavar="R",
        type=float,
        required=True,
        help="correlation that every two filters of a group have at least, e.g. 0.9",
    )
    parser.add_argument(
        "--runs", metavar="0-4,9", default="", help="default: all that came to an end"
    )
    parser.add_argument("--layers", metavar="L,…", default="", help="default: all convolutions")
    parser.add_argument("--step", metavar="S", type=int, help="default: the last one stored")
    parser.add_argument(
        "--split", choices=("test", "validation"), default="test", help="images to measure on"
    )
    parser.add_argument("--images", metavar="N", type=int, help="measure on the first N (all)")
    parser.add_argument("--data", metavar="DIR", help="directory of the data files")
    parser.add_argument("--config", metavar="FILE", help="needed for a model of your own")
    parser.add_argument(
        "--export", metavar="DIR", help="write both networks of each run as PyTorch checkpoints"
    )
    add_output(parser)


def run(args: argparse.Namespace) -> int:
    """Print or write a table, a row for each run and layer; 130 when interrupted, with a part."""
    from pvensemble.cli._output import open_ensemble
    from pvensemble.cli._progress import ProgressDisplay
    from pvensemble.cli._signals import stop_on_signals
    from pvensemble.errors import ConfigError
    from pvensemble.numerics.runs import parse_runs

    if importlib.util.find_spec("torch") is None:
        raise ConfigError("merging filters needs PyTorch: pip install 'pvensemble[train]'")
    from pvensemble.train.progress import Progress
    from pvensemble.train.reduce_stored import reduce_stored, usable_runs

    ensemble = open_ensemble(args.ensemble)
    chosen = parse_runs(args.runs, ensemble.n_runs).tolist() or usable_runs(ensemble)
    networks = reduce_stored(
        args.ensemble,
        args.threshold,
        runs=chosen,
        layers=tuple(filter(None, args.layers.split(","))),
        step=args.step,
        split=args.split,
        n_images=args.images,
        config=args.config,
        data_dir=args.data,
    )
    directory = _directory(args.export)
    events, n_done = [], 0
    display = ProgressDisplay(sys.stderr, line=lambda p: f"{p.step} of {p.total} networks")
    with stop_on_signals() as stop:
        try:
            for reduced in networks:
                events += reduced.layers
                if directory is not None:
                    _export(directory, reduced)
                n_done += 1
                display(Progress(n_done, len(chosen)))
                if stop.is_set():
                    break
        finally:
            display.close()
    show(events, ensemble.run_table()["run_id"], args.csv)
    return 0 if n_done == len(chosen) else INTERRUPTED


def _directory(name: str | None) -> Path | None:
    """Return the directory for checkpoints, made where its parent is."""
    from pvensemble.errors import StoreError

    if name is None:
        return None
    path = Path(name)
    try:
        path.mkdir(exist_ok=True)
    except OSError as error:
        raise StoreError(f"--export {name}: cannot be made: {error.strerror}") from error
    return path


def _export(directory: Path, reduced) -> None:
    """Write the network before and after."""
    from pvensemble.cli.export import write_state

    for when, state in (("before", reduced.before), ("after", reduced.after)):
        write_state(state, directory / f"run{reduced.run:04d}-step{reduced.step}-{when}.pt")
