"""Train what is missing, with ``pvensemble train``."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

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
