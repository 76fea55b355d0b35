"""``pvensemble train``: train the runs of a configuration and record them as an ensemble."""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pvensemble.cli._ranks import (
    MISTAKE,
    Messages,
    add_join,
    find_ranks,
    guarded,
    share_text,
    started_by,
)
from pvensemble.cli._signals import stop_on_signals
from pvensemble.cli._train_texts import conclude, describe, failure_lines, resume_command
from pvensemble.errors import ConfigError

if TYPE_CHECKING:
    from pvensemble.cli._progress import ProgressDisplay
    from pvensemble.train.config import TrainConfig
    from pvensemble.train.ranks import Ranks

HELP = "train an ensemble of networks and record how they develop"
INTERRUPTED = 130
BACKENDS = ("bridge", "catalyst2")
"""How pipelines are run; the first one by default."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``pvensemble train``."""
    from pvensemble.train.config.file import preset_names

    presets = ", ".join(preset_names())
    parser.add_argument("config", nargs="?", help=f"a TOML file or a preset (digits): {presets}")
    parser.add_argument("-o", "--output", metavar="X.pvens", help="the ensemble (NAME.pvens)")
    parser.add_argument("--data", metavar="DIR", help="directory of the data files")
    parser.add_argument(
        "--set",
        action="extend",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="change a setting, e.g. steps=100, record.every=50, session.space.momentum=0.5,0.9; "
        "several, or repeated",
    )
    parser.add_argument(
        "--reduce-filters",
        metavar="'r>=0.9'",
        help="merge filters whose outputs correlate by so much while training goes on",
    )
    parser.add_argument(
        "--every", type=int, metavar="N", help="merge filters every N steps (default: each epoch)"
    )
    parser.add_argument(
        "--insitu",
        action="append",
        default=[],
        metavar="PIPELINE[:key=value,...]",
        help="run a pipeline of ParaView in this process while it trains; repeatable; "
        "'--insitu list' tells which there are",
    )
    parser.add_argument(
        "--insitu-backend",
        choices=BACKENDS,
        help="catalyst2: run them by Kitware's Catalyst 2, where it is installed",
    )
    parser.add_argument("--dry-run", action="store_true", help="show what would be done, and end")
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on with a stopped training; runs that failed are tried again",
    )
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument(
        "--workers", type=int, metavar="N", help="processes on CPU (0: none but this one)"
    )
    add_join(parser)


def run(args: argparse.Namespace) -> int:
    """Train; return 0, or 130 when interrupted."""
    if "list" in args.insitu:
        from pvensemble.insitu.pipeline import described

        print(described())
        return 0
    rank, size = started_by(os.environ)
    try:
        if importlib.util.find_spec("torch") is None:
            raise ConfigError("training needs PyTorch: pip install 'pvensemble[train]'")
        ranks = find_ranks(args, size)
    except ConfigError:
        if rank > 0:  # the first one says it
            return MISTAKE
        raise
    return guarded(ranks, lambda: _run(args, ranks))


def _run(args: argparse.Namespace, ranks: Ranks) -> int:
    """Train as one of several processes, or alone."""
    from pvensemble.insitu.pipeline import parse

    with ranks.agreement():
        if args.insitu_backend and not args.insitu:
            raise ConfigError("--insitu-backend: goes with --insitu, which says what is run")
        pipelines = parse(args.insitu)
        config, path = _prepare(args, ranks)
    return 0 if args.dry_run else _train(config, path, args, ranks, pipelines)


def _prepare(args: argparse.Namespace, ranks: Ranks) -> tuple[TrainConfig, Path]:
    """Check the options and say what will be trained."""
    from pvensemble.train.config import load_config
    from pvensemble.train.preparation import check_training
    from pvensemble.train.search import sample_with_repeats

    _place_config(args)
    args.set += reduce_settings(args.reduce_filters, args.every)
    if args.workers is not None and args.workers < 0:
        raise ConfigError(f"--workers: got {args.workers}, allowed: 0 and more")
    config = load_config(args.config, args.set)
    path = output_path(args.output, config)
    specs, repeated = sample_with_repeats(config)
    if ranks.rank == 0:
        describe(config, specs, repeated, path, args, ranks)
    if args.dry_run:
        check_training(
            config,
            specs,
            path,
            data_dir=args.data,
            device=args.device,
            workers=args.workers,
            resume=args.resume,
        )
    elif args.resume and ranks.rank == 0 and not path.exists():
        print(f"  there is no {path} to resume; the training starts at step 0", flush=True)
    return config, path


def _place_config(args: argparse.Namespace) -> None:
    """Let ``train --set a=1 b=2 CONFIG`` mean what it looks like; digits when none is given."""
    if args.config is None and args.set and "=" not in args.set[-1]:
        args.config = args.set.pop()
    args.config = args.config or "digits"


def reduce_settings(condition: str | None, every: int | None) -> list[str]:
    """Return ``--reduce-filters`` and ``--every`` as settings of the configuration."""
    if condition is None:
        if every is not None:
            raise ConfigError("--every: goes with --reduce-filters; recording has record.every")
        return []
    found = re.fullmatch(r"\s*(?:r\s*>=\s*)?([0-9.]+)\s*", condition)
    try:
        threshold = float(found[1]) if found else None
    except ValueError:
        threshold = None
    if threshold is None:
        raise ConfigError(f"--reduce-filters: got {condition!r}, allowed: 'r>=0.9'")
    return [f"reduce.threshold={threshold}"] + [f"reduce.every={every}"] * (every is not None)


def output_path(output: str | None, config: TrainConfig) -> Path:
    """Return the path of the ensemble, checked before anything is computed."""
    path = Path(output or f"{config.name}.pvens")
    if path.suffix != ".pvens":
        raise ConfigError(f"--output: got {str(path)!r}, allowed: a name that ends in .pvens")
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"--output: no directory {path.absolute().parent}")
    return path


def _train(
    config: TrainConfig, path: Path, args: argparse.Namespace, ranks: Ranks, pipelines: list
) -> int:
    """Train under a display and signal handlers."""
    from pvensemble.cli._progress import ProgressDisplay
    from pvensemble.train.trainer import train

    first = ranks.rank == 0
    display = ProgressDisplay(sys.stderr) if first else Messages(sys.stderr, ranks.rank)
    observer = _observer(pipelines, args.insitu_backend or BACKENDS[0], display)
    with stop_on_signals() as stop:
        if observer is not None:
            observer.ends_when(stop.is_set)
        try:
            result = train(
                config,
                path,
                data_dir=args.data,
                device=args.device,
                workers=args.workers,
                resume=args.resume,
                on_progress=display,
                stop=stop.is_set,
                observer=observer,
                ranks=ranks,
            )
        finally:
            display.close()
    for line in failure_lines(result.failures):
        print(line, file=sys.stderr)
    if ranks.shared:
        print(share_text(ranks, result), flush=True)
    if first:
        conclude(result, path, resume_command(args, ranks))
    return INTERRUPTED if result.interrupted else 0


def _observer(pipelines: list, backend: str, display: ProgressDisplay | Messages):
    """Return who runs pipelines while training goes on; None when there are none."""
    if not pipelines:
        return None
    from pvensemble.insitu.observer import InSitu

    return InSitu(pipelines, display.say, backend)
