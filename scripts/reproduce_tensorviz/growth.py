"""The observations on norms, gradients and signs (figures 2 and 3, left)."""

from __future__ import annotations

import numpy as np
from reproduction.finding import Finding, Statistic, judge, spearman, spread

from pvensemble.numerics.norms import fit_power_law, quantity_of
from reproduce_tensorviz import paper
from reproduce_tensorviz.study import PARAMETERS, Dynamics

LAYERS = tuple(PARAMETERS)


def square_root_growth(study: Dynamics) -> Finding:
    """Observation 2."""
    found, right, near = [], [], []
    for layer in LAYERS:
        norms = study.weight_norm[layer][study.is_plain]
        for quantity in ("growth", "quadrature"):
            fit = fit_power_law(study.steps, quantity_of(norms, quantity))
            contains = (fit.low <= paper.EXPONENT) & (fit.high >= paper.EXPONENT)
            right.append(contains)
            near.append(np.abs(fit.exponent - paper.EXPONENT) <= 0.15)
            found.append(
                Statistic(
                    f"exponent of the {WORDS[quantity]} of {layer}, median run",
                    *(float(np.nanmedian(x)) for x in (fit.exponent, fit.low, fit.high)),
                )
            )
    share, close = float(np.mean(right)), float(np.mean(near))
    found.append(Statistic("share of the fits whose interval holds 1/2", share))
    return Finding(
        "2",
        "holds when the 95 % interval of the exponent holds 1/2 in 90 % of all fits (runs, layers, "
        "and both ways to read growth: norm minus first norm, and the root of the difference of "
        "the squares); partly when half of the exponents lie between 0.35 and 0.65",
        tuple(found),
        judge(share >= 0.9, close >= 0.5),
        "exponents "
        + ", ".join(
            f"{s.value:.2f} ({s.name.split(' of ')[2].split(',')[0]})" for s in found[:-1:2]
        )
        + " of the growth",
    )


WORDS = {"growth": "norm minus its first", "quadrature": "root of the difference of squares"}


def random_gradients(study: Dynamics) -> Finding:
    """Observation 3: gradient norms without memory, apart from a slow trend."""
    found, inside, trends = [], [], []
    for layer in LAYERS:
        norms = study.gradient_norm[layer][study.is_plain]
        memory = np.array([lag_one(detrended(np.log(run))) for run in norms])
        bound = 1.96 / np.sqrt(norms.shape[1])
        inside.append(np.abs(memory) <= bound)
        trends.append([spearman(study.steps.astype(float), run) for run in norms])
        found.append(
            Statistic(
                f"correlation of log gradient norms of {layer} of neighbouring recorded steps, "
                f"trend removed (white noise: within {bound:.2f}), median run",
                float(np.median(memory)),
            )
        )
    found.append(
        Statistic("rank correlation of gradient norms with time, median", float(np.median(trends)))
    )
    share = float(np.mean(inside))
    found.append(Statistic("share of runs and layers that look like white noise", share))
    return Finding(
        "3",
        "holds when 90 % of the series of gradient norms are white noise around a smooth trend, "
        "partly when half of them are",
        tuple(found),
        judge(share >= 0.9, share >= 0.5),
        f"{share:.0%} of the series have no memory from one recorded step to the next, beside a "
        "trend",
    )


def detrended(values: np.ndarray, degree: int = 3) -> np.ndarray:
    """Return values (n,) less their least-squares polynomial."""
    x = np.linspace(-1, 1, len(values))
    return values - np.polynomial.Polynomial.fit(x, values, degree)(x)


def lag_one(values: np.ndarray) -> float:
    """Return the autocorrelation at lag 1; 0 for a constant."""
    centred = values - values.mean()
    total = centred @ centred
    return float(centred[1:] @ centred[:-1] / total) if total > 0 else 0.0


def darker_colours(study: Dynamics) -> Finding:
    """Observation 4."""
    found, grows, kept = [], [], []
    for layer, weights in study.weights.items():
        runs = weights[study.is_plain]
        size = np.abs(runs).mean(axis=2)
        growth = size[:, -1] / size[:, 0]
        same = (np.sign(runs[:, -1]) == np.sign(runs[:, 0])).mean(axis=1)
        flips = (np.diff(np.sign(runs), axis=1) != 0).sum(axis=1).mean(axis=1)
        grows.append([spearman(study.steps.astype(float), run) for run in size])
        kept.append(same)
        found += [
            Statistic(f"mean magnitude of weights of {layer}, last over first", *spread(growth)),
            Statistic(f"share of weights of {layer} with the sign they began with", *spread(same)),
            Statistic(f"changes of sign a weight of {layer}", *spread(flips)),
        ]
    darker = np.min(grows) > 0.9
    stays = float(np.mean(kept))
    return Finding(
        "4",
        "holds when mean magnitudes rise all the time (rank correlation with time above 0.9 in all "
        "runs) and 80 % of the weights end with the sign they began with; partly when one of both",
        tuple(found),
        judge(darker and stays >= 0.8, darker or stays >= 0.8),
        f"{stays:.0%} of the weights end with the sign they began with; magnitudes "
        + ("rise" if darker else "do not always rise"),
    )
