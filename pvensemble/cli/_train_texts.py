"""What ``pvensemble train`` says before and after it trains."""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pvensemble import schema
from pvensemble.cli._ranks import grace_advice

if TYPE_CHECKING:
    from pvensemble.train.config import TrainConfig
    from pvensemble.train.ranks import Ranks
    from pvensemble.train.training import TrainResult


def describe(
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


def conclude(result: TrainResult, path: Path, resume: str) -> None:
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
    if args.insitu_backend:
        words += ["--insitu-backend", args.insitu_backend]
    for override in args.set:
        words += ["--set", override]
    words += ["--device", args.device] if args.device != "auto" else []
    words += ["--workers", str(args.workers)] if args.workers is not None else []
    return shlex.join([*words, *(["--join", str(args.join)] if args.join else ["--resume"])])
