"""The findings on one data set, one function each, with the rule that judges it.

A finding *holds*, holds *partly* or *does not hold*; ``said`` states ours in a sentence.
"""

from __future__ import annotations

import numpy as np
from reproduction.finding import Finding, Statistic, bootstrap, judge, spearman
from scipy.stats import rankdata

from reproduce_hamid import paper
from reproduce_hamid.runs import Study, at_or_before
from reproduce_hamid.statistics import (
    area_under_curve,
    compactness,
    explained,
    interior_peak,
    outlyingness,
    prediction_errors,
    smoothness,
    unmonotonic,
)

CHOSEN = 10 / 121
"""Share of the runs that stand for a brush at the high or low end of an axis."""


def extremes(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the runs with the highest and the lowest values: 10 of 121, 3 of 36."""
    order = np.argsort(values, kind="stable")
    n = max(1, round(CHOSEN * len(values)))
    return order[::-1][:n], order[:n]


def measures_agree(study: Study) -> Finding:
    """Finding 1."""
    pairs = (("P1", "P2"), ("P1", "P3"), ("P2", "P3"))
    columns = {"P1": study.p1, "P2": study.p2, "P3": study.p3}
    found = [
        bootstrap(f"rank correlation of {a} and {b}", spearman, columns[a], columns[b])
        for a, b in pairs
    ]
    high, low = extremes(study.p1)
    right = [
        np.mean(np.concatenate([c[high] > np.median(c), c[low] < np.median(c)]))
        for c in (study.p2, study.p3)
    ]
    agreement = Statistic(
        f"share of the {len(high)} highest and {len(low)} lowest on P1 that are on the same side "
        "of the median on P2 and P3",
        float(np.mean(right)),
    )
    return Finding(
        "1",
        "holds when the three rank correlations are above 0.5 with certainty (95 %) and 90 % of "
        "the selected runs are on the same side; partly when all correlations are above 0",
        (*found, agreement),
        judge(
            all(s.low > 0.5 for s in found) and agreement.value >= 0.9,
            all(s.low > 0 for s in found),
        ),
        "rank correlations "
        + ", ".join(f"{s.value:+.2f} ({a}-{b})" for s, (a, b) in zip(found, pairs)),
    )


def single_axes(study: Study) -> Finding:
    """Finding 2."""
    learning, momentum, both = _explained(study, study.p1)
    high, low = extremes(study.p1)
    sides = [
        Statistic(
            f"chance that one of the {len(high)} highest on P1 has a higher {name} than one of the "
            f"{len(low)} lowest",
            area_under_curve(p[high], p[low]),
        )
        for name, p in (("learning rate", study.learning_rate), ("momentum", study.momentum))
    ]
    most = max(learning.value, momentum.value)
    return Finding(
        "2",
        "holds when neither axis explains more than half of the variance of P1; partly when "
        "neither explains more than 80 %",
        (learning, momentum, both, *sides),
        judge(most <= 0.5, most <= 0.8),
        f"the learning rate explains {learning.value:.0%} of the variance of P1, the momentum "
        f"{momentum.value:.0%}, both together in lr/(1-m) {both.value:.0%}",
    )


def _explained(study: Study, y: np.ndarray) -> list[Statistic]:
    """Variance of ``y`` explained by learning rate, momentum, and the effective step."""
    axes = {
        "learning rate": rankdata(study.learning_rate),
        "momentum": rankdata(study.momentum),
        "lr / (1 - momentum)": study.effective,
    }
    return [
        bootstrap(f"variance explained by {name}", explained, prediction_errors(x, y), y)
        for name, x in axes.items()
    ]


def diagonal_stripe(study: Study) -> Finding:
    """Finding 3."""
    y = study.heat
    errors = {
        "lr": prediction_errors(rankdata(study.learning_rate), y),
        "m": prediction_errors(rankdata(study.momentum), y),
        "both": prediction_errors(study.effective, y),
    }

    def gain(lr: np.ndarray, m: np.ndarray, both: np.ndarray, y: np.ndarray) -> float:
        return explained(both, y) - max(explained(lr, y), explained(m, y))

    ahead = bootstrap(
        "variance of P1 and P2 explained by lr / (1 - momentum) beyond the better single axis",
        gain,
        *errors.values(),
        y,
    )
    trend = bootstrap("rank correlation with lr / (1 - momentum)", spearman, y, study.effective)
    stripe = interior_peak("stripe: best against the better end, along it", study.effective, y)
    inside = stripe.low > 0
    place = "inside its range: a stripe" if inside else "at the end of its range"
    if not inside and stripe.value > 0:
        place = "inside its range, but not with certainty"
    return Finding(
        "3",
        "holds when lr / (1 - momentum) explains more than either axis with certainty, and the "
        "best values lie inside its range (a stripe, not an end); partly when only the first",
        (ahead, *_explained(study, y), trend, stripe),
        judge(ahead.low > 0 and inside, ahead.low > 0),
        f"lr/(1-m) explains {ahead.value:+.0%} more of the heat map than the better axis; the best "
        f"runs lie {place}",
    )


def no_monotonic_trend(study: Study) -> Finding:
    """Finding 4."""
    found = [
        unmonotonic(f"variance of {name} that the best monotone map leaves", study.grid(y))
        for name, y in (("P1 and P2", study.heat), ("P1", study.p1), ("P2", study.p2))
    ]
    heat = found[0]
    return Finding(
        "4",
        "holds when a map monotone in both parameters leaves over 5 % of the variance of P1 and "
        "P2, and more than noise would (p < 0.05); partly when more than noise would",
        tuple(found),
        judge(heat.value > 0.05 and heat.p < 0.05, heat.p < 0.05),
        f"a map that is monotone in both parameters leaves {heat.value:.1%} of the variance",
    )


def judged_early(study: Study) -> Finding:
    """Finding 5."""
    final = study.final if study.test is None else study.test
    early = bootstrap("rank correlation of P1 and final accuracy", spearman, study.p1, final)
    high, low = extremes(study.p1)
    best = set(extremes(final)[0])
    kept = Statistic(
        f"of the {len(high)} best at step {study.p1_step}, among the {len(high)} best at the end "
        f"(by chance {len(high) ** 2 / len(final):.1f})",
        len(best & set(high)),
    )
    later = np.flatnonzero(study.steps >= study.p1_step)
    agree = Statistic(
        "least rank correlation with final accuracy from then on",
        min(spearman(study.accuracy[:, t], final) for t in later),
    )
    rates = [area_under_curve(study.accuracy[high, t], study.accuracy[low, t]) for t in later]
    losses = [area_under_curve(study.loss[low, t], study.loss[high, t]) for t in later]
    above = Statistic(
        "least chance over all later steps that a high run beats a low one", min(rates)
    )
    below = Statistic("the same for the loss", min(losses))
    return Finding(
        "5",
        "holds when early and final accuracy correlate above 0.5 with certainty and a high run "
        "beats a low one with a chance of 0.9 at every later step; partly when either",
        (early, agree, kept, above, below),
        judge(early.low > 0.5 and above.value >= 0.9, early.low > 0.5 or above.value >= 0.9),
        f"accuracy at step {study.p1_step} and at the end correlate {early.value:+.2f}; "
        f"{kept.value:.0f} of the {len(high)} best stay among them",
    )


def embedding_pattern(study: Study) -> Finding:
    """Finding 6."""
    cyan = study.corner(False, False)
    cluster = compactness(
        "mean distance among the cyan corner, relative to all", study.points, cyan
    )
    mixed, *more = told_by_neighbours(study.points, study.matched_points, study.parameters)
    far = outlyingness(study.points)
    green = [
        Statistic(f"mean percentile of isolation of the corner {name}", float(far[corner].mean()))
        for name, corner in (
            ("low learning rate, high momentum", study.corner(False, True)),
            ("high learning rate, low momentum", study.corner(True, False)),
        )
    ]
    outliers = max(g.value for g in green) > 75
    clustered = cluster.p < 0.05
    return Finding(
        "6",
        "holds when the cyan corner is closer together than random runs (p < 0.05), a green "
        "corner is isolated (75th percentile) and neighbours tell less than half of the "
        "hyper-parameters; partly when the first and one of the others",
        (cluster, *green, mixed, Statistic("stress of the embedding", study.stress), *more),
        judge(
            clustered and outliers and mixed.value < 0.5,
            clustered and (outliers or mixed.value < 0.5),
        ),
        f"the cyan corner {'is' if clustered else 'is not'} a cluster, green runs "
        f"{'are' if outliers else 'are no'} outliers, and colours are "
        f"{'mixed' if mixed.value < 0.5 else 'smooth'}: neighbours tell {mixed.value:.0%} of the "
        f"hyper-parameters, but {more[-1].value:.0%} of lr/(1-m)",
    )


def told_by_neighbours(
    points: np.ndarray, matched: np.ndarray, parameters: np.ndarray
) -> tuple[Statistic, ...]:
    """Return how smooth colours are in the paper's embedding, then what may explain that.

    Where only lr / (1 - momentum) matters, runs of different colours are alike, and colours mix
    although the runs are in order.
    """
    effective = parameters[:, :1] / (1 - parameters[:, 1:])
    named = {
        "hyper-parameters told by the 5 neighbours in the embedding": (points, parameters),
        "the same when filters are matched, not reordered by clusters": (matched, parameters),
        "lr / (1 - momentum) told by the 5 neighbours": (points, effective),
    }
    return tuple(smoothness(name, *given) for name, given in named.items())


def picked_runs(study: Study) -> Finding:
    """Finding 7, the two heat maps."""
    layer = study.layers[paper.SIMILARITY_LAYER]
    cyan, red = study.nearest(paper.CYAN), study.nearest(paper.RED)
    at = at_or_before(layer.steps, study.similarity_step)
    level, count = layer.level, layer.counts[at]
    rank = bootstrap(
        "rank correlation of mean |r| and lr / (1 - momentum)", spearman, level, study.effective
    )
    found = (
        Statistic("mean |r| of the cyan run", float(level[cyan])),
        Statistic("mean |r| of the red run", float(level[red])),
        Statistic(f"pairs above {paper.THRESHOLD} of the cyan run", int(count[cyan])),
        Statistic(f"pairs above {paper.THRESHOLD} of the red run", int(count[red])),
        rank,
    )
    both = bool(level[cyan] > level[red]), bool(count[cyan] > count[red])
    return Finding(
        "7a",
        "holds when the cyan run has the higher mean |r| and the higher count; partly when one",
        found,
        judge(all(both), any(both)),
        f"{int(count[cyan])} of {layer.n_pairs:,} pairs above {paper.THRESHOLD} in the cyan run, "
        f"{int(count[red])} in the red; mean |r| {level[cyan]:.3f} and {level[red]:.3f}",
    )


def percentiles(counts: np.ndarray) -> np.ndarray:
    """Percentile (0 to 100) of each run's count at each step, (n_steps, n_runs), ties shared."""
    n = max(counts.shape[1] - 1, 1)
    return 100 * np.array([(rankdata(row) - 1) / n for row in counts])


def counts_over_time(study: Study, key: str = "7b") -> Finding:
    """Finding 7, the graph; on CIFAR-10 finding 9, its last part."""
    layer = study.layers[paper.SIMILARITY_LAYER]
    place = percentiles(layer.counts)
    cyan, red = (place[:, study.corner(high, high)].mean(axis=1) for high in (False, True))
    crossing = first_lasting(cyan > red)
    initial = int(layer.steps[crossing]) if crossing is not None else None
    crossing_step = -1 if initial is None else initial
    after = layer.steps > (study.p1_step if initial is None else max(initial, study.p1_step))
    after = after if after.any() else layer.steps == layer.steps[-1]
    early, late = thirds(layer.steps)
    unmixing = _unmixing(study, layer.counts, early, late)
    found = (
        Statistic("step from which cyan is above red (-1: never)", crossing_step),
        Statistic(
            "mean percentile of the count afterwards, cyan corner", float(cyan[after].mean())
        ),
        Statistic("the same, red corner", float(red[after].mean())),
        Statistic("percentile of the cyan corner at the end", float(cyan[-1])),
        Statistic("percentile of the red corner at the end", float(red[-1])),
        bootstrap(
            "rank correlation of the count at the end and lr / (1 - momentum)",
            spearman,
            layer.counts[-1],
            study.effective,
        ),
        unmixing,
    )
    ends = initial is not None and cyan[after].mean() > 75 and red[after].mean() < 25
    clearer = unmixing.low > 0
    rule = (
        "holds when cyan stays above red after some step, with mean percentiles above 75 and below "
        "25 from then on"
    )
    if key == "7b":
        rule += ", and neighbours in the count tell more of the hyper-parameters in the last third "
        rule += "of the steps than in the first, with certainty; partly when one of both"
        verdict = judge(ends and clearer, ends or clearer)
    else:
        rule += "; partly when cyan stays above red"
        verdict = judge(ends, initial is not None)
    since = (
        "cyan never stays above red"
        if initial is None
        else f"cyan is above red from step {initial}"
    )
    return Finding(
        key,
        rule,
        found,
        verdict,
        f"{since}, in the percentile {cyan[after].mean():.0f} against {red[after].mean():.0f}; "
        f"neighbours in the count tell {unmixing.value:+.0%} more of the hyper-parameters late",
    )


def first_lasting(true: np.ndarray) -> int | None:
    """Return the first position from which on all are true; None when the last is not."""
    if not true[-1]:
        return None
    wrong = np.flatnonzero(~true)
    return int(wrong[-1]) + 1 if len(wrong) else 0


def thirds(steps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return which steps lie in the first (without step 0) and in the last third."""
    return (steps > 0) & (steps <= steps[-1] / 3), steps > steps[-1] * 2 / 3


def _unmixing(study: Study, counts: np.ndarray, early: np.ndarray, late: np.ndarray) -> Statistic:
    """Return how much more neighbours in the count tell in the last than in the first third."""
    ranks = np.column_stack([rankdata(p) for p in study.parameters.T])
    errors = np.array(
        [np.column_stack([prediction_errors(c, r) for r in ranks.T]) for c in counts]
    ).transpose(1, 0, 2)

    def change(errors: np.ndarray, ranks: np.ndarray) -> float:
        centred = ((ranks - ranks.mean(axis=0)) ** 2).sum(axis=0)
        told = (1 - (errors**2).sum(axis=0) / centred).mean(axis=1)
        return float(told[late].mean() - told[early].mean())

    name = "hyper-parameters told by neighbours in the count, last third minus first third"
    return bootstrap(name, change, errors, ranks)


def stability_sign(study: Study) -> Finding:
    """Finding 8, the sign; the other part compares data sets."""
    found = [
        bootstrap(f"rank correlation of {name} and P3", spearman, values, study.p3)
        for name, values in (("P1", study.p1), ("P2", study.p2), ("final accuracy", study.final))
    ]
    against = [s.high < 0 for s in found[:2]]
    return Finding(
        "8a",
        "holds when P1 and P2 both correlate negatively with P3 (accurate runs are the less stable "
        "ones) with certainty; partly when one does",
        tuple(found),
        judge(all(against), any(against)),
        f"P1 and P3 correlate {found[0].value:+.2f}, P2 and P3 {found[1].value:+.2f}",
    )


def findings(study: Study) -> list[Finding]:
    """All findings on one data set; of one that the paper did not use, what it says of either.

    Findings 8b, 9a and 9b compare data sets.
    """
    shared = (measures_agree, single_axes, diagonal_stripe, no_monotonic_trend, judged_early)
    found = [finding(study) for finding in shared]
    if paper.DATA_SETS[study.data_set].preset == "cifar10":
        return [*found, stability_sign(study), counts_over_time(study, "9c")]
    found += [embedding_pattern(study), picked_runs(study), counts_over_time(study, "7b")]
    return found if study.data_set == "mnist" else [*found, stability_sign(study)]
