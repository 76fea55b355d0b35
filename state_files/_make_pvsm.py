"""Make ``*.pvsm`` from the scenes: ``python state_files/_make_pvsm.py``.

The state names its ensemble ``ensemble.pvens``, without a folder; ParaView finds it in the folder
it was started in, or asks (File > Load State, "Search files under specified directory").
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from pvensemble.launcher import command  # noqa: E402
from pvensemble.launcher.display import display  # noqa: E402
from pvensemble.launcher.environment import package_folder  # noqa: E402
from pvensemble.schema import ACTIVATION, CORRELATION, WEIGHT  # noqa: E402
from pvensemble.store import EnsembleWriter, HyperParameter, LayerInfo, RunInfo  # noqa: E402

STEPS = np.arange(0, 101, 10)
LAYERS, N_FILTERS = ("conv1", "conv2"), 6


def write_small_ensemble(path: Path) -> None:
    """Write nine runs over two hyper-parameters, with made-up curves and tensors."""
    grid = [(rate, momentum) for rate in (0.01, 0.1, 1.0) for momentum in (0.0, 0.5, 0.9)]
    runs = [
        RunInfo(f"run{i}", {"learning_rate": rate, "momentum": momentum}, i, run_index=i)
        for i, (rate, momentum) in enumerate(grid)
    ]
    parameters = [
        HyperParameter("learning_rate", "float", "log"),
        HyperParameter("momentum", "float"),
    ]
    speed = np.linspace(0.5, 3.0, len(runs))
    accuracy = 1 - 0.9 * np.exp(-STEPS[:, None] / 50 * speed)
    with EnsembleWriter.create(path, name="ensemble", hyper_parameters=parameters) as writer:
        kinds = (CORRELATION, ACTIVATION, WEIGHT)
        layers = [LayerInfo(name, "Conv2d", (N_FILTERS, 1, 3, 3), kinds) for name in LAYERS]
        group = writer.create_group(runs, layers)
        rng = np.random.default_rng(0)
        for step in STEPS.tolist():
            group.commit(step, {k: v for name in LAYERS for k, v in tensors(rng, len(runs), name)})
        loss = 2.3 * (1 - accuracy)
        metrics = {"validation_accuracy": (STEPS, accuracy), "validation_loss": (STEPS, loss)}
        norms = np.sqrt(1 + STEPS[:, None] * speed)
        for name in LAYERS:
            metrics[f"weight_norm:{name}.weight"] = (STEPS, norms)
            metrics[f"gradient_norm:{name}.weight"] = (STEPS, 1 / norms)
        group.commit(int(STEPS[-1]), {}, metrics)
        group.set_states(range(len(runs)), "COMPLETE", step=int(STEPS[-1]))
        writer.finish()


def tensors(rng: np.random.Generator, n_runs: int, layer: str) -> list[tuple]:
    """Return activations of filters on two images, their correlations, and kernels."""
    activation = rng.standard_normal((n_runs, N_FILTERS, 2, 4, 4)).astype(np.float32)
    correlation = [np.corrcoef(values.reshape(N_FILTERS, -1)) for values in activation]
    stack = np.array(correlation, np.float32)
    weight = rng.standard_normal((n_runs, N_FILTERS, 1, 3, 3)).astype(np.float32)
    named = {CORRELATION: stack, ACTIVATION: activation, WEIGHT: weight}
    return [((layer, kind), values) for kind, values in named.items()]


def make(scene: Path, state: Path) -> None:
    """Build a scene in ParaView and save its state."""
    with tempfile.TemporaryDirectory() as folder:
        ensemble = Path(folder) / "ensemble.pvens"
        write_small_ensemble(ensemble)
        script = package_folder() / "views" / "save_state.py"
        argv, env, _ = command("pvpython", [str(script), str(ensemble), str(scene), str(state)])
        with display(env) as shown:
            subprocess.run(argv, env=shown, stdin=subprocess.DEVNULL, check=True, timeout=300)


if __name__ == "__main__":
    for file in sorted(HERE.glob("[a-z]*.py")):
        make(file, file.with_suffix(".pvsm"))
