"""The findings that compare CIFAR-10 with MNIST, from the results of both."""

from __future__ import annotations

import numpy as np

from reproduce_hamid import paper
from reproduce_hamid.findings import Finding, judge
from reproduce_hamid.statistics import N_RESAMPLES, SEED, Statistic, bootstrap, spearman, torus_p


def grid(kept: dict, values: list) -> np.ndarray:
    """Return values of a result over (learning rate, momentum)."""
    rates, row = np.unique(kept["runs"]["learning_rate"], return_inverse=True)
    momenta, column = np.unique(kept["runs"]["momentum"], return_inverse=True)
    table = np.full((len(rates), len(momenta)), np.nan)
    table[row, column] = values
    return table


def similar_maps(other: dict, mnist: dict) -> Finding:
    """Finding 8, the pattern: rank correlation over the cells of the heat map."""
    a, b = grid(other, other["runs"]["heat"]), grid(mnist, mnist["runs"]["heat"])
    found = bootstrap("rank correlation of the two heat maps", spearman, a.ravel(), b.ravel())
    tested = Statistic(found.name, found.value, found.low, found.high, torus_p(a, b))
    return Finding(
        "8b",
        "holds when the two heat maps correlate above 0.7 with certainty and more than when one is "
        "shifted or mirrored (p < 0.05); partly when above 0 with certainty",
        (tested,),
        judge(found.low > 0.7 and tested.p < 0.05, found.low > 0),
        f"the two heat maps correlate {found.value:+.2f}",
    )


def lower_correlations(other: dict, mnist: dict) -> Finding:
    """Finding 9, the level, in the layer that both have and the paper shows."""
    layer = paper.SIMILARITY_LAYER
    here, there = other["layers"][layer], mnist["layers"][layer]
    level = _difference("mean |r| of conv2, difference of medians", here["level"], there["level"])
    share = _difference(
        f"share of pairs above {paper.THRESHOLD} in conv2, difference of medians",
        here["share"],
        there["share"],
    )
    lower = level.high < 0, share.high < 0
    return Finding(
        "9b",
        "holds when mean |r| and the share of high correlations are both lower with certainty; "
        "partly when one is",
        (level, share),
        judge(all(lower), any(lower)),
        f"median mean |r| {np.median(here['level']):.3f} against {np.median(there['level']):.3f} "
        f"on MNIST, share of high correlations {np.median(here['share']):.1%} against "
        f"{np.median(there['share']):.1%}",
    )


def _difference(name: str, here: list, there: list) -> Statistic:
    """Return the difference of the medians of two independent samples with its bootstrap."""
    here, there = np.asarray(here), np.asarray(there)
    rng = np.random.default_rng(SEED)
    drawn = [
        np.median(rng.choice(here, len(here))) - np.median(rng.choice(there, len(there)))
        for _ in range(N_RESAMPLES)
    ]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Statistic(name, float(np.median(here) - np.median(there)), float(low), float(high))


def comparisons(results: dict[str, dict]) -> dict[str, list[Finding]]:
    """Compare every other data set with MNIST, where that is there."""
    if "mnist" not in results:
        return {}
    mnist = results["mnist"]
    others = {name: kept for name, kept in results.items() if name != "mnist"}
    same = {n: k for n, k in others.items() if len(k["runs"]["heat"]) == len(mnist["runs"]["heat"])}
    return {n: [similar_maps(k, mnist), lower_correlations(k, mnist)] for n, k in same.items()}
