"""Small trainings for the tests of the executors."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from small_network import NETWORK

from pvensemble.store import Ensemble
from pvensemble.train.config import load_config

TOML = f"""
name = "tiny"
steps = 12
seed = 3
{NETWORK}weight_decay = 5e-4
bias_lr_multiplier = 2.0

[evaluate]
every = 4
size = 50

[record]
every = 6
probe = 24

[[session]]
name = "grid"
[session.space]
learning_rate = [0.01, 0.05]
momentum = [0.5, 0.9]
"""


def tiny_config(directory: Path, *overrides: str, toml: str = TOML):
    """Return the configuration of four runs of twelve steps."""
    file = directory / "tiny.toml"
    file.write_text(toml)
    return load_config(file, overrides)


def run_python(program: str, timeout: float = 120) -> subprocess.CompletedProcess:
    """Run a program that may import what the tests import, in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def everything(path: Path) -> dict[str, np.ndarray]:
    """Return all that an ensemble holds of its runs, by name; runs are identified by run_id."""
    ensemble = Ensemble.open(path)
    table = ensemble.run_table()
    order = np.argsort(table["run_id"])
    found = {f"table {k}": np.asarray(table[k])[order] for k in ("run_id", "state", "last_step")}
    for metric in ensemble.metric_names:
        curve = ensemble.curve(metric)
        found[f"steps {metric}"] = curve.steps
        found[f"values {metric}"] = curve.values[order]
    for group in ensemble.groups:
        ids = [run.run_id for run in group.runs]
        for layer in group.layers:
            for kind in layer.kinds:
                for step in group.recorded_steps(layer.name, kind):
                    stack = group.filters(layer.name, kind, step)
                    for i, run_id in enumerate(ids):
                        found[f"tensor {layer.name} {kind} {step} {run_id}"] = np.array(stack[i])
    return found


def differences(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> list[str]:
    """Return the names under which two ensembles differ in any bit."""
    names = sorted({*a, *b})
    return [
        n
        for n in names
        if n not in a
        or n not in b
        or not np.array_equal(a[n], b[n], **({"equal_nan": True} if a[n].dtype.kind == "f" else {}))
    ]
