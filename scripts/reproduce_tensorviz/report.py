"""The report: Markdown and the numbers behind it; see ``template.md``."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from string import Template

from reproduction.finding import Finding, Statistic
from reproduction.markdown import (
    head,
    states,
    statistic_text,
    table_row,
    training_time,
    verdict_cell,
    versions,
)

from reproduce_tensorviz import paper

TEMPLATE = Path(__file__).with_name("template.md")
PICTURES = "../pictures"
FIGURES = {
    "Figure 2 of the poster: weights of the first layer at the steps below (an untouched run, seed "
    "1). Height and colour are the weight; red is positive.": (
        "figure-2-0",
        "figure-2-1",
        "figure-2-2",
    ),
    "Figure 3 of the poster: norms of weights and gradients of all layers over ten epochs, with "
    "fitted power laws; path of the first two weights of conv1.": ("figure-3",),
    "Figure 4 of the poster: activations of the filters of both layers and how they correlate.": (
        "figure-4",
    ),
    "Figure 5 of the poster: filters of the first layer in the colours of their groups, before any "
    "were merged and at the end (threshold 0.8, seed 1).": ("figure-5-first", "figure-5-last"),
}


def save(found: list[Finding], rule: list[Statistic], made: dict, folder: Path) -> Path:
    """Write ``tensorviz.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "tensorviz.json"
    kept = {
        "findings": [asdict(f) for f in found],
        "update_rule": [asdict(s) for s in rule],
        "training": made,
    }
    path.write_text(json.dumps(kept) + "\n")
    return path


def write(folder: Path) -> Path:
    """Write ``tensorviz.md`` from ``tensorviz.json`` and the pictures that are there."""
    kept = json.loads((folder / "tensorviz.json").read_text())
    found = [
        Finding(**{**f, "statistics": tuple(Statistic(**s) for s in f["statistics"])})
        for f in kept["findings"]
    ]
    rule = [Statistic(**s) for s in kept["update_rule"]]
    path = folder / "tensorviz.md"
    path.write_text(
        Template(TEMPLATE.read_text()).substitute(
            summary=summary(found),
            set_up=set_up(kept["training"]),
            findings=findings_table(found),
            update_rule=update_rule(rule),
            figures=figures(folder),
            rules="\n".join(f"- **{f.key}** {f.rule}." for f in found),
        )
    )
    return path


def summary(found: list[Finding]) -> str:
    """Return the table of claims, ours, and verdicts."""
    lines = head("", "The poster", "Ours", "")
    for f in found:
        lines.append(table_row(f.key, paper.CLAIMS[f.key], f.said, verdict_cell(f.verdict)))
    return "\n".join(lines)


def set_up(training: dict[str, dict]) -> str:
    """Return what was trained."""
    lines = head("", *training)
    rows = {
        "runs": lambda k: f"{k['n_runs']} ({states(k['states'])})",
        "steps": lambda k: f"{k['last_step']:,}",
        "evaluated, recorded": lambda k: f"every {k['evaluate_every']}, {k['record_every']} steps",
        "training time": training_time,
        "versions": lambda k: versions(k["versions"]),
    }
    for label, cell in rows.items():
        lines.append(table_row(label, *(cell(k) for k in training.values())))
    return "\n".join(lines)


def findings_table(found: list[Finding]) -> str:
    """Return the statistics of all observations."""
    heading = "Statistics [of runs: smallest, largest; of fits and means: 95 % interval]"
    lines = head("", heading, "Verdict")
    for f in found:
        numbers = "<br>".join(statistic_text(s) for s in f.statistics)
        lines.append(table_row(f.key, numbers, verdict_cell(f.verdict)))
    return "\n".join(lines)


def update_rule(rule: list[Statistic]) -> str:
    """Return how exactly recorded weights follow from recorded gradients."""
    numbers = "\n".join(f"- {s.name}: {s.value:.1e}" for s in rule)
    return (
        "The poster's equation (1), W(t+1) = W(t) - eta dE/dW, for weights and gradients that were "
        f"recorded at every one of the first steps:\n\n{numbers}"
    )


def figures(folder: Path) -> str:
    """Return the pictures that are there, with captions."""
    parts = []
    for caption, names in FIGURES.items():
        files = [f"{PICTURES}/tensorviz-{name}.png" for name in names]
        there = [file for file in files if (folder / file).is_file()]
        if there:
            parts.append("\n".join(f"![{file.rpartition('/')[2]}]({file})" for file in there))
            parts.append(f"*{caption}*")
    return "## Figures\n\n" + "\n\n".join(parts) if parts else ""
