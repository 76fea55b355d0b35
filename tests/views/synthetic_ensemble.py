"""Ensembles without training: curves and tensors that depend on the hyper-parameters."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pvensemble.schema import (
    ACTIVATION,
    COMPLETE,
    CORRELATION,
    DIVERGED,
    FILTER_GROUP,
    GRADIENT,
    GRAM,
    WEIGHT,
)
from pvensemble.store import EnsembleWriter, HyperParameter, LayerInfo, RunInfo, SessionInfo

STEPS = np.arange(0, 201, 10)
RECORDED = tuple(range(0, 201, 50))
N_IMAGES, SIDE_OF_MAP = 4, 6
N_BATCHES, BATCH = 4, 8


def simulated(learning_rate: np.ndarray, momentum: np.ndarray, seed: int = 0):
    """Accuracy and loss (n_steps, n_runs): best where the effective rate is about 0.3."""
    rng = np.random.default_rng(seed)
    rate = learning_rate / (1 - momentum)
    quality = np.exp(-((np.log10(rate) + 0.5) ** 2) / 0.9)
    t = STEPS[:, None] / STEPS[-1]
    accuracy = 0.1 + 0.87 * quality * (1 - np.exp(-6 * t * (0.3 + quality)))
    accuracy += 0.02 * rng.standard_normal(accuracy.shape) * (1 + 3 * (rate > 1))
    loss = 2.3 * (1 - quality * (1 - np.exp(-5 * t))) + 0.03 * rng.random(accuracy.shape)
    return np.clip(accuracy, 0, 1), loss


def strength(learning_rate: np.ndarray, momentum: np.ndarray, step: int) -> np.ndarray:
    """How much filters of a cluster have in common, (n_runs,): less at high rates, and later."""
    rate = np.log10(learning_rate / (1 - momentum))
    slow = (rate.max() - rate) / max(np.ptp(rate), 1e-9)
    return 0.95 - (0.55 - 0.45 * slow) * step / STEPS[-1]


def correlations(share: np.ndarray, n_filters: int, seed: int = 1) -> np.ndarray:
    """Correlation matrices (n_runs, n_filters, n_filters) of filters in clusters.

    The sizes of the clusters and the order of the filters differ from run to run.
    """
    rng = np.random.default_rng(seed)
    n_runs = len(share)
    cluster = np.sort(rng.integers(0, 5, (n_runs, n_filters)) ** 2 // 4, axis=1)
    cluster = rng.permuted(cluster, axis=1)
    sign = rng.choice([-1.0, 1.0], (n_runs, n_filters))
    loading = sign * np.sqrt(share[:, None] * rng.uniform(0.8, 1.0, (n_runs, n_filters)))
    same = cluster[:, :, None] == cluster[:, None, :]
    matrix = np.where(same, loading[:, :, None] * loading[:, None, :], 0.0)
    matrix[:, np.arange(n_filters), np.arange(n_filters)] = 1.0
    return matrix.astype(np.float32)


def activations(n_runs: int, n_filters: int, step: int) -> np.ndarray:
    """Feature maps (n_runs, n_filters, images, h, w): waves, another direction for each filter."""
    y, x = np.mgrid[:SIDE_OF_MAP, :SIDE_OF_MAP] / SIDE_OF_MAP
    angle = np.linspace(0, np.pi, n_filters)[None, :, None, None, None]
    image = np.arange(N_IMAGES)[None, None, :, None, None]
    run = np.arange(n_runs)[:, None, None, None, None]
    wave = np.sin(6 * (x * np.cos(angle) + y * np.sin(angle)) + image + run + step / 50)
    return wave.astype(np.float32)


def grams(share: np.ndarray, seed: int = 2) -> np.ndarray:
    """Gram matrices (n_runs, batches, b, b) of unit norm, the more alike the more is shared."""
    rng = np.random.default_rng(seed)
    common = rng.standard_normal((1, N_BATCHES, BATCH, BATCH))
    own = rng.standard_normal((len(share), N_BATCHES, BATCH, BATCH))
    gram = share[:, None, None, None] * common + own
    gram += gram.swapaxes(-1, -2)
    gram /= np.sqrt((gram**2).sum(axis=(1, 2, 3), keepdims=True))
    return gram.astype(np.float32)


def write_ensemble(
    path: Path,
    side: int | tuple[int, int] = 11,
    *,
    diverged: int = 0,
    batch_sizes: tuple[int, ...] = (),
    layers: tuple[dict[str, int], ...] = ({},),
    kinds: tuple[str, ...] = (CORRELATION,),
    recorded: tuple[int, ...] = RECORDED,
    linear: dict[str, int] | None = None,
) -> Path:
    """Write an ensemble of side x side runs (learning rate, momentum).

    Parameters
    ----------
    side : int or (int, int)
        Numbers of learning rates and of momenta.
    diverged : int
        The last so many runs stop at a third of the training with an infinite loss.
    batch_sizes : tuple of int
        The runs have these in turn as a third hyper-parameter.
    layers : tuple of dict of str to int
        Number of filters by name of layer, for each group; run i is in group ``i % n_groups``. No
        tensors where it is empty.
    kinds : tuple of str
        What is recorded: ``correlation``, ``activation``, ``gram``, ``weight``, ``gradient``,
        ``filter_group``. With weights come the curves of their norms.
    recorded : tuple of int
        Steps at which it is recorded.
    linear : dict of str to int
        Units by name of further layers, of which nothing but weights and gradients is recorded.
    """
    n_rates, n_momenta = (side, side) if isinstance(side, int) else side
    rates = np.geomspace(0.001, 1.0, n_rates) if n_rates > 1 else np.array([0.1])
    momenta = np.linspace(0.0, 0.95, n_momenta) if n_momenta > 1 else np.array([0.9])
    grid = [(float(r), float(m)) for r in rates for m in momenta]
    n = len(grid)
    learning_rate, momentum = np.array(grid).T
    accuracy, loss = simulated(learning_rate, momentum)
    if diverged:
        accuracy[len(STEPS) // 3 :, n - diverged :] = np.nan
        loss[len(STEPS) // 3 :, n - diverged :] = np.inf
    runs = [
        RunInfo(f"run{i:04d}", {"learning_rate": r, "momentum": m}, i, "grid", i)
        for i, (r, m) in enumerate(grid)
    ]
    parameters = [
        HyperParameter("learning_rate", "float", "log"),
        HyperParameter("momentum", "float", "linear"),
    ]
    if batch_sizes:
        parameters.append(HyperParameter("batch_size", "int", "log"))
        for i, run in enumerate(runs):
            run.params["batch_size"] = batch_sizes[i % len(batch_sizes)]
    states = [DIVERGED if i >= n - diverged else COMPLETE for i in range(n)]
    with EnsembleWriter.create(
        path,
        name="synthetic",
        sessions=[SessionInfo("grid", "#1f77b4")],
        hyper_parameters=parameters,
    ) as writer:
        for k, sizes in enumerate(layers):
            here = np.arange(k, n, len(layers))
            info = [LayerInfo(name, "Conv2d", (f, 1, 3, 3), kinds) for name, f in sizes.items()]
            flat = {name: n for name, n in (linear or {}).items() if sizes}
            of_flat = (WEIGHT, GRADIENT)
            info += [LayerInfo(name, "Linear", (n, 9), of_flat) for name, n in flat.items()]
            group = writer.create_group([runs[i] for i in here], info)
            for step in recorded if sizes else ():
                share = strength(learning_rate, momentum, step)[here]
                alive = np.array([states[i] == COMPLETE for i in here]) | (step < STEPS[-1] // 3)
                content = tensors(sizes, kinds, share, alive, step)
                for name, n_units in flat.items():
                    for kind, later in ((WEIGHT, 0), (GRADIENT, 1)):
                        values = weights(len(here), n_units, step + later)
                        content[name, kind] = values.reshape(len(here), n_units, 9)
                group.commit(int(step), content, {})
            curves = {"validation_accuracy": accuracy, "validation_loss": loss}
            metrics = {name: (STEPS, values[:, here]) for name, values in curves.items()}
            if WEIGHT in kinds:
                metrics.update(norms(sizes, strength(learning_rate, momentum, STEPS[-1])[here]))
            group.commit(int(STEPS[-1]), {}, metrics)
            for position, i in enumerate(here):
                bad = states[i] == DIVERGED
                last = int(STEPS[len(STEPS) // 3] if bad else STEPS[-1])
                reason = "loss is inf" if bad else ""
                group.set_states([position], states[i], step=last, reason=reason)
        writer.finish()
    return path


def tensors(sizes: dict, kinds: tuple, share: np.ndarray, alive: np.ndarray, step: int) -> dict:
    """What is recorded at a step; the filters of runs that are not alive are dead."""
    found = {}
    for name, n_filters in sizes.items():
        of_kind = {
            CORRELATION: correlations(share, n_filters, seed=step),
            ACTIVATION: activations(len(share), n_filters, step),
            GRAM: grams(share),
        }
        n_runs = len(share)
        of_kind[WEIGHT] = weights(n_runs, n_filters, step)
        of_kind[GRADIENT] = weights(n_runs, n_filters, step + 1) - of_kind[WEIGHT]
        of_kind[FILTER_GROUP] = merged(n_runs, n_filters, step)
        of_kind[CORRELATION][~alive] = np.eye(n_filters)
        of_kind[ACTIVATION][~alive] = 0
        of_kind[GRAM][~alive] = 0
        found.update({(name, kind): of_kind[kind] for kind in kinds})
    return found


def weights(n_runs: int, n_filters: int, step: int) -> np.ndarray:
    """Kernels (n_runs, n_filters, 1, 3, 3) that grow and turn, other ones for each run."""
    rng = np.random.default_rng(3)
    first, second = rng.standard_normal((2, n_runs, n_filters, 1, 3, 3))
    angle = step / STEPS[-1]
    return ((1 + angle) * (np.cos(angle) * first + np.sin(angle) * second)).astype(np.float32)


def merged(n_runs: int, n_filters: int, step: int) -> np.ndarray:
    """Who stands for each filter: in odd runs the last third becomes the first filter at half."""
    standing = np.tile(np.arange(n_filters, dtype=np.float32), (n_runs, 1))
    if step > STEPS[-1] / 2:
        standing[1::2, n_filters - n_filters // 3 :] = 0
    return standing


def norms(sizes: dict, share: np.ndarray) -> dict:
    """Curves of norms (n_steps, n_runs) of each layer: a power law of the step."""
    grown = 5 + np.sqrt(STEPS)[:, None] * share
    falling = np.exp(-STEPS / 100)[:, None] * (0.1 + share)
    curves = {f"weight_norm:{name}.weight": (STEPS, grown) for name in sizes}
    return curves | {f"gradient_norm:{name}.weight": (STEPS, falling) for name in sizes}
