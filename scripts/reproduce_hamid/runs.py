"""What the findings need of an ensemble: measures, curves, filter correlations of its runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pvensemble.numerics.embedding import embed
from pvensemble.numerics.filter_counts import FilterCounts
from pvensemble.numerics.lab_colors import lab_colors
from pvensemble.numerics.measures import normalized, stability
from pvensemble.numerics.performance import performance_table
from pvensemble.numerics.similarity import matched_similarity, run_vectors
from pvensemble.schema import CORRELATION, DIVERGED, LOSS_METRICS, TEST_ACCURACY
from pvensemble.store import Ensemble
from reproduce_hamid import paper


@dataclass(frozen=True)
class Layer:
    """Filter correlations of one layer.

    Attributes
    ----------
    steps : (n_steps,) int
    counts : (n_steps, n_runs) int
        Pairs of filters with a correlation above the threshold.
    level : (n_runs,) float
        Mean magnitude over all pairs at the step of the embedding.
    n_pairs : int
    """

    steps: np.ndarray
    counts: np.ndarray
    level: np.ndarray
    n_pairs: int


@dataclass(frozen=True)
class Study:
    """One ensemble, measured.

    Attributes
    ----------
    data_set : str
        Key in ``paper.DATA_SETS``.
    learning_rate, momentum : (n_runs,) float
    p1_step, interval, similarity_step
        Those of the paper; scaled when the training is shorter than they are.
    p1, p2, p3, deviation, heat, final : (n_runs,) float
        ``heat``: mean of P1 and P2, each clamped and normalized.
    test : (n_runs,) float or None
        Accuracy on the test split at the end.
    steps, accuracy, loss
        (n_steps,) and (n_runs, n_steps) twice: the curves that measures judge.
    clamps : dict
    layers : dict of str to Layer
    points : (n_runs, 2) float
        Embedding of the runs by the similarity of their filter correlations, the paper's.
    matched_points : (n_runs, 2) float
        The same by the similarity after optimal matching of the filters.
    stress : float
    colors : (n_runs, 3) int
        RGB by learning rate and momentum.
    n_diverged : int
    """

    data_set: str
    learning_rate: np.ndarray
    momentum: np.ndarray
    p1_step: int
    interval: tuple[int, int]
    similarity_step: int
    p1: np.ndarray
    p2: np.ndarray
    p3: np.ndarray
    deviation: np.ndarray
    heat: np.ndarray
    final: np.ndarray
    test: np.ndarray | None
    steps: np.ndarray
    accuracy: np.ndarray
    loss: np.ndarray
    clamps: dict
    layers: dict[str, Layer]
    points: np.ndarray
    matched_points: np.ndarray
    stress: float
    colors: np.ndarray
    n_diverged: int = 0

    @property
    def parameters(self) -> np.ndarray:
        """(n_runs, 2): learning rate and momentum."""
        return np.column_stack([self.learning_rate, self.momentum])

    @property
    def effective(self) -> np.ndarray:
        """(n_runs,): log of the effective step, learning rate / (1 - momentum)."""
        return np.log(self.learning_rate / (1 - self.momentum))

    def grid(self, values: np.ndarray) -> np.ndarray:
        """Return values over (learning rate, momentum), both ascending."""
        rates, row = np.unique(self.learning_rate, return_inverse=True)
        momenta, column = np.unique(self.momentum, return_inverse=True)
        table = np.full((len(rates), len(momenta)), np.nan)
        table[row, column] = values
        return table

    def corner(self, high_rate: bool, high_momentum: bool) -> np.ndarray:
        """Return the runs of a corner of the grid: the outer quarter of both axes (3 of 11)."""
        inside = np.ones(len(self.momentum), bool)
        for values, high in zip(self.parameters.T, (high_rate, high_momentum)):
            levels, rank = np.unique(values, return_inverse=True)
            size = max(1, round(len(levels) / 4))
            inside &= rank >= len(levels) - size if high else rank < size
        return np.flatnonzero(inside)

    def nearest(self, pair: tuple[float, float]) -> int:
        """Return the run whose learning rate and momentum are nearest to a pair."""
        distance = np.abs(np.log(self.learning_rate / pair[0])) + np.abs(self.momentum - pair[1])
        return int(np.argmin(distance))


def times(last_step: int) -> tuple[int, tuple[int, int], int]:
    """Return the step of P1, the interval of P2 and P3 and the step of the embedding.

    Those of the paper, the interval cut off at the end of the training; in one that is shorter than
    the step of the embedding, shares of it.
    """
    if last_step >= paper.SIMILARITY_STEP:
        interval = (paper.INTERVAL[0], min(paper.INTERVAL[1], last_step))
        return paper.P1_STEP, interval, paper.SIMILARITY_STEP
    share = last_step / paper.INTERVAL[1]
    low, high = (round(share * step) for step in paper.INTERVAL)
    return round(share * paper.P1_STEP), (low, high), round(share * paper.SIMILARITY_STEP)


def at_or_before(steps: np.ndarray, step: int) -> int:
    """Return the position of the last of ascending steps at or before one."""
    return max(int(np.searchsorted(steps, step, side="right")) - 1, 0)


def measure(data_set: str, path: Path) -> Study:
    """Read an ensemble and compute all that the findings need."""
    ensemble = Ensemble.open(path)
    table = ensemble.run_table()
    curve = ensemble.curve(ensemble.accuracy_metric)
    loss = next(m for m in LOSS_METRICS if m in ensemble.metric_names)
    p1_step, interval, similarity_step = times(int(curve.steps[-1]))
    diverged = table["state"] == DIVERGED
    measures = performance_table(
        curve.steps, curve.values, p1_step=p1_step, interval=interval, broken=diverged
    )
    clamps = paper.DATA_SETS[data_set].clamps or shown_ranges(measures, ~diverged)
    heat = (normalized(measures["P1"], clamps["P1"]) + normalized(measures["P2"], clamps["P2"])) / 2
    names = [n for n in ensemble.layers if n.startswith("conv")]
    layers, vectors, matched = {}, None, None
    for name in names:
        layers[name], stack = correlations(ensemble, name, similarity_step)
        if name == paper.SIMILARITY_LAYER:
            vectors = run_vectors(stack, threshold=paper.THRESHOLD)
            matched = embed(distances=1 - matched_similarity(stack), method="mds", seed=0)
    embedding = embed(vectors=vectors, method="mds", seed=0)
    test = None
    if TEST_ACCURACY in ensemble.metric_names:
        test = ensemble.curve(TEST_ACCURACY).values[:, -1]
    return Study(
        data_set=data_set,
        learning_rate=table["learning_rate"],
        momentum=table["momentum"],
        p1_step=p1_step,
        interval=interval,
        similarity_step=similarity_step,
        p1=measures["P1"],
        p2=measures["P2"],
        p3=stability(measures["P3_deviation"], broken=diverged),
        deviation=measures["P3_deviation"],
        heat=heat,
        final=measures["final"],
        test=test,
        steps=curve.steps,
        accuracy=curve.values,
        loss=ensemble.curve(loss).values,
        clamps=clamps,
        layers=layers,
        points=embedding.points,
        matched_points=matched.points,
        stress=embedding.stress,
        colors=lab_colors(table["learning_rate"], table["momentum"]),
        n_diverged=int(diverged.sum()),
    )


def shown_ranges(measures: dict, judged: np.ndarray) -> dict:
    """Return clamps that cut off as much as the paper's do in our runs on MNIST.

    P1: a tenth at either end; P2: nothing; the deviation behind P3: the lowest tenth.
    """
    shares = {"P1": ("P1", 10, 90), "P2": ("P2", 0, 100), "P3": ("P3_deviation", 10, 100)}
    clamps = {}
    for name, (column, *ends) in shares.items():
        low, high = np.percentile(measures[column][judged], ends)
        clamps[name] = (float(low), float(max(high, low + 1e-6)))
    return clamps


def correlations(ensemble: Ensemble, name: str, step: int) -> tuple[Layer, np.ndarray]:
    """Return a layer's counts and level, and its matrices (n_runs, F, F) at the given step."""
    # Attempts that failed and were tried again, in a group of their own, have no index.
    held = [(g, g.run_indices >= 0) for g in ensemble.groups if (g.run_indices >= 0).any()]
    order = np.argsort(np.concatenate([group.run_indices[here] for group, here in held]))
    recorded = [set(group.recorded_steps(name, CORRELATION)) for group, _ in held]
    steps = np.array(sorted(set.intersection(*recorded)))

    def matrices(at: int) -> np.ndarray:
        stacks = [group.filters(name, CORRELATION, at)[here] for group, here in held]
        return np.concatenate(stacks)[order]

    counts = FilterCounts()
    for at in steps.tolist():
        counts.add(at, matrices(at))
    stack = matrices(int(steps[at_or_before(steps, step)]))
    above = np.triu_indices(stack.shape[1], 1)
    level = np.abs(stack[:, above[0], above[1]]).mean(axis=1, dtype=np.float64)
    return Layer(steps, counts.count(paper.THRESHOLD), level, len(above[0])), stack
