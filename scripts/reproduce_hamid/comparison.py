"""The findings that compare CIFAR-10 with MNIST, from the results of both."""

from __future__ import annotations

import numpy as np
from reproduction import finding
from reproduction.finding import Finding, Statistic, bootstrap, judge, spearman

from reproduce_hamid import paper
from reproduce_hamid.findings import told_by_neighbours
from reproduce_hamid.statistics import smoothness, torus_p


def common_runs(other: dict, mnist: dict) -> np.ndarray:
    """Return the runs of MNIST with the hyper-parameters of the other data set's, in its order."""
    pairs = [
        [f"{r:.5g} {m:.5g}" for r, m in zip(k["runs"]["learning_rate"], k["runs"]["momentum"])]
        for k in (other, mnist)
    ]
    place = {pair: run for run, pair in enumerate(pairs[1])}
    return np.array([place[pair] for pair in pairs[0]])


def grid(kept: dict, values: np.ndarray) -> np.ndarray:
    """Return values of a result over (learning rate, momentum)."""
    rates, row = np.unique(kept["runs"]["learning_rate"], return_inverse=True)
    momenta, column = np.unique(kept["runs"]["momentum"], return_inverse=True)
    table = np.full((len(rates), len(momenta)), np.nan)
    table[row, column] = values
    return table


def similar_maps(other: dict, mnist: dict) -> Finding:
    """Finding 8, the pattern: rank correlation over the cells of the heat map."""
    ours = np.array(other["runs"]["heat"])
    theirs = np.array(mnist["runs"]["heat"])[common_runs(other, mnist)]
    found = bootstrap("rank correlation with the heat map of MNIST", spearman, ours, theirs)
    p = torus_p(grid(other, ours), grid(other, theirs))
    tested = Statistic(found.name, found.value, found.low, found.high, p)
    return Finding(
        "8b",
        "holds when the heat map correlates with that of MNIST above 0.7 with certainty and more "
        "than when one is shifted or mirrored (p < 0.05); partly when above 0 with certainty",
        (tested,),
        judge(found.low > 0.7 and p < 0.05, found.low > 0),
        f"the heat map correlates {found.value:+.2f} with that of MNIST",
    )


def smoother_embedding(other: dict, mnist: dict) -> Finding:
    """Finding 9, the embedding."""
    runs = common_runs(other, mnist)
    points, matched = (np.array(other["runs"][n]) for n in ("points", "matched_points"))
    parameters = np.column_stack([other["runs"][n] for n in ("learning_rate", "momentum")])
    told, *more = told_by_neighbours(points, matched, parameters)
    there = smoothness(
        "hyper-parameters told on MNIST, of the same runs",
        np.array(mnist["runs"]["points"])[runs],
        parameters,
    )
    smooth = told.value > 0.5 and told.p < 0.05
    return Finding(
        "9a",
        "holds when neighbours in the embedding tell more than half of the hyper-parameters "
        "(p < 0.05) and more than on MNIST; partly when one of both",
        (told, there, Statistic("stress of the embedding", other["stress"]), *more),
        judge(smooth and told.value > there.value, smooth or told.value > there.value),
        f"neighbours tell {told.value:.0%} of the hyper-parameters ({there.value:.0%} on MNIST), "
        f"and {more[-1].value:.0%} of lr/(1-m)",
    )


def lower_correlations(other: dict, mnist: dict) -> Finding:
    """Finding 9, the level, in the layer that both have and the paper shows."""
    layer = paper.SIMILARITY_LAYER
    here, runs = other["layers"][layer], common_runs(other, mnist)
    there = {n: np.array(mnist["layers"][layer][n])[runs] for n in ("level", "share")}
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
    rng = np.random.default_rng(finding.SEED)
    drawn = [
        np.median(rng.choice(here, len(here))) - np.median(rng.choice(there, len(there)))
        for _ in range(finding.N_RESAMPLES)
    ]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Statistic(name, float(np.median(here) - np.median(there)), float(low), float(high))


def comparisons(results: dict[str, dict]) -> dict[str, list[Finding]]:
    """Compare every other data set with MNIST, where that is there."""
    if "mnist" not in results:
        return {}
    mnist, found = results["mnist"], {}
    for name, kept in results.items():
        if name == "mnist":
            continue
        found[name] = [similar_maps(kept, mnist), lower_correlations(kept, mnist)]
        if paper.DATA_SETS[name].preset == "cifar10":
            found[name].append(smoother_embedding(kept, mnist))
    return found
