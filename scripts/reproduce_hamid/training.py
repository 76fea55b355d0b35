"""Train what is missing, with ``pvensemble train``."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from pvensemble.schema import RUNNING, WAITING
from pvensemble.store import Ensemble
from reproduce_hamid import paper

CORNERS = tuple(zip(paper.CYAN, paper.RED))
"""The lowest and the highest learning rate, and momentum."""
BEYOND = tuple(round(paper.RED[0] * 1.25**k, 6) for k in range(8))
"""Learning rates from the red corner on, each a quarter above the one before."""


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


def grid_settings(rates: Sequence[float], momenta: Sequence[float], seeds: int) -> list[str]:
    """Return the settings of a small grid with other initial weights, without tensors but conv2."""
    spaces = {"learning_rate": rates, "momentum": momenta, "seed": range(1, seeds + 1)}
    chosen = [f"session.space.{k}=[{','.join(map(str, v))}]" for k, v in spaces.items()]
    return [*chosen, f"record.layers={paper.SIMILARITY_LAYER}", "record.kinds=correlation"]
