"""``pvensemble train``: train the runs of a configuration and record them as an ensemble."""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pvensemble import schema
from pvensemble.cli._ranks import (
    MISTAKE,
    Messages,
    add_join,
    find_ranks,
    grace_advice,
    guarded,
    share_text,
    started_by,
)
from pvensemble.cli._signals import stop_on_signals
from pvensemble.errors import ConfigError

if TYPE_CHECKING:
    from pvensemble.cli._progress import ProgressDisplay
    from pvensemble.train.config import TrainConfig
    from pvensemble.train.ranks import Ranks
    from pvensemble.train.training import TrainResult

HELP = "train an ensemble of networks and record how they develop"
INTERRUPTED = 130


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
        choices=("bridge", "catalyst2"),
        default="bridge",
        help="catalyst2: by Kitware's Catalyst 2, where it is installed",
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
        _describe(config, specs, repeated, path, args, ranks)
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


def _describe(
    config: TrainConfig, specs: list, repeated: int, path: Path, args, ranks: Ranks
) -> None:
    """Print what will be trained and how large the recording will be."""
    from pvensemble.cli._progress import size
    from pvensemble.train.recording import recording_size
    from pvensemble.train.search import group_runs

    groups = "in " + _count(len(group_runs(specs)), "group")
    if ranks.shared:
        groups = f"over {ranks.size:,} {ranks.several}"
    print(f"{config.name}: {_count(len(specs), 'run')} of {_steps(specs)} {groups}")
    if repeated:
        print(f"  {_count(repeated, 'run')} repeated in the search space; each is trained once")
    for session in config.sessions:
        n_runs = sum(spec.session == session.name for spec in specs)
        axes = ", ".join(d.key for d in session.space) or "one run"
        runs = _count(n_runs, "run")
        print(f"  session {session.name}: {runs}, {session.method} over {axes}")
    n_merging = sum(spec.settings.reduce.threshold is not None for spec in specs)
    if n_merging:
        print(f"  filters that do the same are merged in {_count(n_merging, 'run')}")
    recording = recording_size(config, specs, args.data)
    least = "at least " if ranks.shared else ""  # groups are cut once it is known what they cost
    print(
        f"  recording: {size(recording.bytes_total)} in {least}{recording.n_files:,} files, "
        f"{recording.n_steps:,} recorded steps of {size(recording.bytes_per_step)} -> {path}"
    )
    free = shutil.disk_usage(path.absolute().parent).free
    if recording.bytes_total > free:
        print(f"  warning: only {size(free)} are free there; steps that do not fit are skipped")
    if ranks.shared and grace_advice(os.environ):
        print(f"  {grace_advice(os.environ)}")
    sys.stdout.flush()


def _count(n: int, noun: str) -> str:
    """Return a number with its noun."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def _steps(specs: list) -> str:
    """Return how many steps the runs have, or the range."""
    steps = sorted({spec.settings.steps for spec in specs})
    most = _count(steps[-1], "step")
    return most if len(steps) == 1 else f"{steps[0]:,} to {most}"


def _train(
    config: TrainConfig, path: Path, args: argparse.Namespace, ranks: Ranks, pipelines: list
) -> int:
    """Train under a display and signal handlers."""
    from pvensemble.cli._progress import ProgressDisplay
    from pvensemble.train.trainer import train

    first = ranks.rank == 0
    display = ProgressDisplay(sys.stderr) if first else Messages(sys.stderr, ranks.rank)
    observer = _observer(pipelines, args.insitu_backend, display)
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
        _conclude(result, path, resume_command(args, ranks))
    return INTERRUPTED if result.interrupted else 0


def _conclude(result: TrainResult, path: Path, resume: str) -> None:
    """Print how the training ended."""
    from pvensemble.cli._progress import states_text

    if result.interrupted:
        print(
            f"interrupted; everything recorded is safe in {path}\ngo on with: {resume}",
            file=sys.stderr,
        )
        return
    if schema.FAILED in result.states:
        print(f"try again with: {resume}", file=sys.stderr)
    print(f"{path}: {states_text(result.states)}")
    if result.n_merged:
        print(f"{_count(result.n_merged, 'filter')} merged; see: pvensemble merges {path}")


def _observer(pipelines: list, backend: str, display: ProgressDisplay | Messages):
    """Return who runs pipelines while training goes on; None when there are none."""
    if not pipelines:
        return None
    from pvensemble.insitu.observer import InSitu

    return InSitu(pipelines, display.say, backend)


def failure_lines(failures: Sequence[tuple[str, str]], most: int = 3) -> list[str]:
    """Return what a summary says of runs that failed, given as (run_id, reason)."""
    shown = [f"{run_id}: {reason}" for run_id, reason in failures[:most]]
    if len(failures) < 2:
        return [f"1 run failed: {text}" for text in shown]
    lines = [f"{len(failures):,} runs failed:", *(f"  {text}" for text in shown)]
    if len(failures) > most:
        lines.append(f"  … and {len(failures) - most} more; runs.csv has all reasons")
    return lines


def resume_command(args: argparse.Namespace, ranks: Ranks) -> str:
    """Return the command that continues this training."""
    words = ["mpiexec", "-n", str(ranks.size)] if ranks.shared and not args.join else []
    words += ["pvensemble", "train", args.config]
    words += ["-o", args.output] if args.output else []
    words += ["--data", args.data] if args.data else []
    for pipeline in args.insitu:
        words += ["--insitu", pipeline]
    if args.insitu_backend != "bridge":
        words += ["--insitu-backend", args.insitu_backend]
    for override in args.set:
        words += ["--set", override]
    words += ["--device", args.device] if args.device != "auto" else []
    words += ["--workers", str(args.workers)] if args.workers is not None else []
    return shlex.join([*words, *(["--join", str(args.join)] if args.join else ["--resume"])])
