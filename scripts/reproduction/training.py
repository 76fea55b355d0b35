"""Train what is missing, with ``pvensemble train``."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pvensemble.schema import RUNNING, WAITING
from pvensemble.store import Ensemble


class ReproductionError(Exception):
    """What the user can mend; the message says how."""


def is_complete(path: Path) -> bool:
    """Whether an ensemble is there and none of its runs has to train on."""
    if not path.is_file():
        return False
    states = Ensemble.open(path).run_table()["state"]
    return len(states) > 0 and not set(states) & {RUNNING, WAITING}


def train(preset: str, path: Path, data: Path, settings: Sequence[str]) -> None:
    """Train an ensemble; an incomplete one goes on, a complete one is kept.

    Raises
    ------
    ReproductionError
        When the training fails or is interrupted.
    """
    if is_complete(path):
        return
    command = [sys.executable, "-m", "pvensemble", "train", preset, "-o", str(path)]
    command += ["--data", str(data)]
    command += ["--set", *settings] if settings else []
    command += ["--resume"] if path.exists() else []
    status = subprocess.run(command, check=False).returncode
    if status:
        raise ReproductionError(f"training {path.name} ended with status {status}")


def describe(path: Path) -> dict:
    """Return how an ensemble was made: runs, steps, what was recorded, versions."""
    ensemble = Ensemble.open(path)
    summary = ensemble.summary()
    evaluated = ensemble.curve(ensemble.accuracy_metric).steps
    (group,) = ensemble.groups
    recorded = ensemble.recorded_steps
    files = sorted(p.stat().st_mtime for p in group.path.rglob("s??????.*") if p.is_file())
    return {
        "n_runs": summary["n_runs"],
        "states": summary["states"],
        "last_step": int(evaluated[-1]),
        "evaluate_every": int(np.median(np.diff(evaluated))),
        "record_every": int(np.median(np.diff(recorded))) if len(recorded) > 1 else 0,
        "versions": summary["versions"],
        "minutes": round((files[-1] - files[0]) / 60) if files else None,
        "n_cores": os.cpu_count(),
    }
