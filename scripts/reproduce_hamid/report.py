"""The report: one Markdown document of all data sets that were studied; see ``template.md``."""

from __future__ import annotations

from pathlib import Path
from string import Template

import numpy as np
from reproduction.finding import Finding, Statistic
from reproduction.markdown import (
    head,
    number,
    states,
    statistic_text,
    table_row,
    training_time,
    verdict_cell,
    versions,
)

from reproduce_hamid import paper
from reproduce_hamid.comparison import comparisons
from reproduce_hamid.findings import extremes

FILE = "hamid.md"
TEMPLATE = Path(__file__).with_name("template.md")
PICTURES = "../pictures"
NOT_TRAINED = "*Not trained.*"
CAPTIONS = {
    "figure-1": "Figure 1 of the paper. Green and red: the {n_chosen} runs with the highest and "
    "the lowest P1 (step {p1_step}; axis {P1_range}); P2 and the standard deviation behind P3 over "
    "steps {start} to {end} (axes {P2_range}, {P3_range}). Heat map: mean of P1 and P2, each "
    "clamped to its range. Right: accuracy and loss of the chosen runs.",
    "figure-2": "Figure 2 of the paper. Embedding (MDS) of the runs by the similarity of their "
    "filter correlations in conv2 at step {step}, cyan: both parameters low, red: both high; "
    "filter correlations of the red and of the cyan run; pairs of filters with a correlation above "
    "{threshold} over the training.",
}


def write(results: dict[str, dict], folder: Path) -> Path:
    """Write ``hamid.md`` into a folder."""
    path = folder / FILE
    path.write_text(document(results, folder))
    return path


def document(results: dict[str, dict], folder: Path) -> str:
    """Return the report."""
    found = {name: all_findings(name, results) for name in results}
    sections = (data_set_section(n, k, found[n], folder) for n, k in results.items())
    return Template(TEMPLATE.read_text()).substitute(
        summary=summary(found),
        set_up=set_up(results),
        notes=notes(results),
        data_sets="\n\n".join(sections),
        other_seeds=other_seeds(results) or NOT_TRAINED,
        beyond=beyond(results) or NOT_TRAINED,
        rules=rules(found),
    )


def all_findings(name: str, results: dict[str, dict]) -> list[Finding]:
    """Return a data set's findings, with those that compare it with MNIST, in order."""
    own = [
        Finding(**{**f, "statistics": tuple(Statistic(**s) for s in f["statistics"])})
        for f in results[name]["findings"]
    ]
    return sorted(own + comparisons(results).get(name, []), key=lambda f: f.key)


def summary(found: dict[str, list[Finding]]) -> str:
    """Return the table of verdicts, findings by data sets."""
    titles = [paper.DATA_SETS[name].title for name in found]
    lines = head("", "The paper's finding", *titles)
    verdicts = {name: {f.key: f.verdict for f in fs} for name, fs in found.items()}
    for key, claim in paper.CLAIMS.items():
        cells = [verdict_cell(verdicts[name].get(key)) for name in found]
        if any(cells):
            lines.append(table_row(key, claim, *cells))
    return "\n".join(lines)


def set_up(results: dict[str, dict]) -> str:
    """Return what was trained."""
    lines = head("", *(paper.DATA_SETS[n].title for n in results))
    rows = {
        "grid": lambda n, k: grid_size(k["runs"]),
        "runs": lambda n, k: f"{k['training']['n_runs']} ({states(k['training']['states'])})",
        "steps, ours / the paper's": lambda n, k: (
            f"{k['training']['last_step']:,} / "
            + (f"{paper.DATA_SETS[n].steps:,}" if paper.DATA_SETS[n].in_paper else "not used")
        ),
        "evaluated, recorded": lambda n, k: (
            f"every {k['training']['evaluate_every']}, {k['training']['record_every']} steps"
        ),
        "P1 at step": lambda n, k: k["times"]["p1_step"],
        "P2, P3 over steps": lambda n, k: "{} to {}".format(*k["times"]["interval"]),
        "embedding of conv2 at step": lambda n, k: k["times"]["similarity_step"],
        "diverged": lambda n, k: k["n_diverged"],
        "training time": lambda n, k: training_time(k["training"]),
        "versions": lambda n, k: versions(k["training"]["versions"]),
    }
    for label, cell in rows.items():
        lines.append(table_row(label, *(cell(n, k) for n, k in results.items())))
    return "\n".join(lines)


def notes(results: dict[str, dict]) -> str:
    """Return how near the set-up is to the paper's, and what was left out."""
    parts = [ranges_note(results["mnist"])] if "mnist" in results else []
    for name, kept in results.items():
        if kept["training"]["last_step"] < paper.DATA_SETS[name].steps:
            parts.append(shortened_note(name, kept))
    return "\n\n".join(parts)


def grid_size(runs: dict) -> str:
    """Return how many values of either hyper-parameter there are."""
    rates, momenta = (len(set(runs[name])) for name in ("learning_rate", "momentum"))
    whole = "" if (rates, momenta) == (11, 11) else ", of the paper's 11 x 11"
    return f"{rates} learning rates x {momenta} momenta{whole}"


def ranges_note(mnist: dict) -> str:
    """Return how our measures on MNIST lie in the ranges that the paper displays."""
    parts = []
    columns = {"P1": "p1", "P2": "p2", "P3": "deviation"}
    for name, (low, high) in paper.CLAMPS.items():
        values = np.array(mnist["runs"][columns[name]])
        label = "standard deviation" if name == "P3" else name
        parts.append(f"{label} {values.min():.3g} to {values.max():.3g}, shown {low:g} to {high:g}")
    return (
        "How close this is to what the paper did, the ranges tell that it shows for MNIST. Ours: "
        + "; ".join(parts)
        + "."
    )


def shortened_note(name: str, kept: dict) -> str:
    """Return what it means that a training is shorter than the paper's."""
    steps, whole = kept["training"]["last_step"], paper.DATA_SETS[name].steps
    runs = kept["training"]["n_runs"]
    return (
        f"**{paper.DATA_SETS[name].title}: {runs} of 121 runs and {steps:,} of {whole:,} steps**, "
        "which is what fitted the machine. What the paper says of later steps is not tested."
    )


def data_set_section(name: str, kept: dict, found: list[Finding], folder: Path) -> str:
    """Return the findings and figures of a data set."""
    title = paper.DATA_SETS[name].title
    lines = [f"## {title}", "", *head("", "What came out", "Statistics [95 % interval]", "Verdict")]
    for f in found:
        numbers = "<br>".join(statistic_text(s) for s in f.statistics)
        lines.append(table_row(f.key, f.said, numbers, verdict_cell(f.verdict)))
    for figure, caption in CAPTIONS.items():
        picture = f"hamid-{name}-{figure}.png"
        if (folder / PICTURES / picture).is_file():
            lines += ["", f"![{title}, {figure.replace('-', ' ')}]({PICTURES}/{picture})", ""]
            lines.append(f"*{caption.format(**caption_values(kept))}*")
    return "\n".join(lines)


def caption_values(kept: dict) -> dict:
    """Return the numbers that captions name."""
    clamps = {n: tuple(f"{v:.3g}" for v in ends) for n, ends in kept["clamps"].items()}
    return {
        "p1_step": kept["times"]["p1_step"],
        "start": kept["times"]["interval"][0],
        "end": kept["times"]["interval"][1],
        "step": kept["times"]["similarity_step"],
        "threshold": paper.THRESHOLD,
        "n_chosen": len(extremes(np.array(kept["runs"]["p1"]))[0]),
        **{f"{n}_range": " to ".join(ends) for n, ends in clamps.items()},
    }


def other_seeds(results: dict[str, dict]) -> str:
    """Return how much other initial weights change the corners of the grid."""
    known = {n: k["seeds"]["corners"] for n, k in results.items() if k.get("seeds")}
    if not known:
        return ""
    columns = ("P1", "P2", "deviation", "pairs", "level")
    heads = ("P1", "P2", "standard deviation", f"pairs above {paper.THRESHOLD}", "mean |r|")
    lines = head("", "corner", "runs", *heads)
    for name, corners in known.items():
        for corner, values in corners.items():
            cells = [mean_and_deviation(values[c]) for c in columns]
            title = paper.DATA_SETS[name].title
            lines.append(table_row(title, corner, len(values["P1"]), *cells))
    for name, corners in known.items():
        cyan, red = np.array(corners["cyan"]["pairs"]), np.array(corners["red"]["pairs"])
        more = (cyan[:, None] > red[None]).mean()
        noise = seed_noise(corners)
        span = np.ptp(results[name]["runs"]["p1"])
        lines += [
            "",
            f"{paper.DATA_SETS[name].title}: cyan has more highly correlated pairs than red in "
            f"{more:.0%} of all pairs of seeds. Other weights move P1 by {100 * noise:.1f} "
            "percentage points (standard deviation), "
            f"{noise / span:.0%} of its range over the grid.",
        ]
    return "\n".join(lines)


def mean_and_deviation(values: list[float]) -> str:
    """Return mean and sample standard deviation."""
    spread = np.std(values, ddof=1) if len(values) > 1 else 0.0
    return f"{number(float(np.mean(values)))} ± {number(float(spread))}"


def beyond(results: dict[str, dict]) -> str:
    """Return where the best effective step lies."""
    known = {n: k["seeds"]["beyond"] for n, k in results.items() if k.get("seeds")}
    if not known:
        return ""
    lines = head("", "lr/(1-m)", "P1", "P2", "standard deviation")
    for name, columns in known.items():
        for effective, p1, p2, deviation in zip(*(columns[c] for c in columns)):
            measured = (f"{p1:.3f}", f"{p2:.3f}", f"{deviation:.2f}")
            if deviation < 0:
                measured = ("diverged",) * 3
            lines.append(table_row(paper.DATA_SETS[name].title, f"{effective:.3g}", *measured))
    for name, columns in known.items():
        lines += ["", peak_text(paper.DATA_SETS[name].title, columns, results[name]["seeds"])]
    return "\n".join(lines)


def peak_text(title: str, columns: dict, seeds: dict) -> str:
    """Return where P1 is best beyond the grid, and whether that is more than noise."""
    p1 = np.array(columns["P1"])
    best = int(np.argmax(p1))
    gain, noise = 100 * (p1[best] - p1[0]), 100 * seed_noise(seeds["corners"])
    place = f"{title}: P1 is best at lr/(1-m) = {columns['effective'][best]:.3g}"
    if best == 0:
        return f"{place}, the red corner itself."
    return (
        f"{place}, {gain:.1f} percentage points above the red corner, where other weights move it "
        f"by {noise:.1f} (standard deviation): "
        + ("a plateau" if gain < 2 * noise else "the stripe lies outside the grid")
        + f". At {columns['effective'][-1]:.3g} it is {p1[-1]:.3f}."
    )


def seed_noise(corners: dict) -> float:
    """Return the standard deviation of P1 over seeds, mean of the corners."""
    values = [corner["P1"] for corner in corners.values()]
    return float(np.mean([np.std(v, ddof=1) for v in values])) if len(values[0]) > 1 else 0.0


def rules(found: dict[str, list[Finding]]) -> str:
    """Return how each finding is judged."""
    known = {f.key: f.rule for fs in found.values() for f in fs}
    return "\n".join(f"- **{key}** {known[key]}." for key in paper.CLAIMS if key in known)
