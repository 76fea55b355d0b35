"""What is kept of a data set: a JSON file beside the report, from which the report is made."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np

from reproduce_hamid import paper
from reproduce_hamid.findings import Finding
from reproduce_hamid.runs import Study, at_or_before


def result(study: Study, found: list[Finding], made: dict, seeds: dict | None) -> dict:
    """Return everything that the report and comparisons between data sets need."""
    layer = study.layers[paper.SIMILARITY_LAYER]
    return {
        "data_set": study.data_set,
        "training": made,
        "times": {
            "p1_step": study.p1_step,
            "interval": list(study.interval),
            "similarity_step": study.similarity_step,
        },
        "clamps": study.clamps,
        "n_diverged": study.n_diverged,
        "findings": [asdict(f) for f in found],
        "runs": {
            name: _rounded(getattr(study, name))
            for name in ("learning_rate", "momentum", "p1", "p2", "p3", "deviation", "heat")
        }
        | {name: _rounded(getattr(study, name)) for name in ("final", "points", "matched_points")},
        "stress": study.stress,
        "test": None if study.test is None else _rounded(study.test),
        "layers": {
            name: {
                "n_pairs": found.n_pairs,
                "level": _rounded(found.level),
                "share": _rounded(
                    found.counts[at_or_before(found.steps, study.similarity_step)] / found.n_pairs
                ),
            }
            for name, found in study.layers.items()
        },
        "counts": {"steps": layer.steps.tolist(), "values": layer.counts.tolist()},
        "seeds": seeds,
    }


def _rounded(values: np.ndarray) -> list:
    return (
        [[float(f"{v:.7g}") for v in row] for row in values]
        if values.ndim == 2
        else [float(f"{v:.7g}") for v in values]
    )


def save(kept: dict, folder: Path) -> Path:
    """Write ``hamid-NAME.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"hamid-{kept['data_set']}.json"
    path.write_text(json.dumps(kept, allow_nan=True) + "\n")
    return path


def load_all(folder: Path) -> dict[str, dict]:
    """Read what is there, in the order of ``paper.DATA_SETS``."""
    paths = {name: folder / f"hamid-{name}.json" for name in paper.DATA_SETS}
    return {name: json.loads(p.read_text()) for name, p in paths.items() if p.is_file()}
