"""Changing the step of P1 until everything that depends on it has followed.

    python benchmarks/measure_change.py                      # the pipeline alone
    pvensemble pvpython benchmarks/measure_change.py --scene # all views of the scene `performance`

The pipeline is Reader, Measures, Groups (two groups by expressions); the aim is 300 ms for all
views at 121 runs. The alternative is opening the ensemble anew, which is what a change would cost
if nothing were kept; with views it is drawing all of them unchanged. The ensemble has four metrics:
two at each of 1,000 steps, two at every tenth.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "benchmarks"), str(ROOT / "tests"), str(ROOT)]

import numpy as np  # noqa: E402
from ensembles import make_ensemble  # noqa: E402
from harness import alternate, machine, report  # noqa: E402

from pvensemble.filters._base import run  # noqa: E402
from pvensemble.filters.measures import PerformanceMeasures  # noqa: E402
from pvensemble.filters.reader import EnsembleReader  # noqa: E402
from pvensemble.filters.run_groups import RunGroups  # noqa: E402
from pvensemble.store import EnsembleWriter  # noqa: E402

GROUPS = "low = #d62728 : bottom 10 combined\nhigh = #2ca02c : top 10 combined"
GRIDS = {121: (11, 11), 1000: (25, 40)}
STEPS = itertools.cycle(range(100, 1000, 10))


def write(folder: Path, n_runs: int) -> Path:
    """Write a synthetic ensemble with training metrics at each step."""
    n_lr, n_momentum = GRIDS[n_runs]
    truth = make_ensemble(
        folder / f"runs{n_runs}.pvens",
        n_lr=n_lr,
        n_momentum=n_momentum,
        steps=range(0, 1001, 10),
        recorded_steps=(0, 500, 1000),
    )
    every = np.arange(1, 1001)
    values = np.random.default_rng(0).random((1000, n_runs))
    with EnsembleWriter.open(truth.path) as writer:
        group = writer.open_group("g000")
        group.commit(1000, {}, dict.fromkeys(("train_loss", "train_accuracy"), (every, values)))
        group.close()
    return truth.path


def pipeline(path: Path) -> dict:
    """Variants of the pipeline without views."""

    def build():
        reader, measures, groups = EnsembleReader(), PerformanceMeasures(), RunGroups()
        reader.SetFileName(str(path))
        measures.SetInputConnection(reader.GetOutputPort(0))
        groups.SetInputConnection(measures.GetOutputPort(0))
        groups.SetGroups(GROUPS)
        run(groups)
        return measures, groups

    measures, groups = build()

    def change():
        measures.SetP1Step(next(STEPS))
        groups.Update()

    return {"open anew": build, "change P1": change}


def scene(path: Path) -> dict:
    """Variants of the scene: the views of the tab that is shown, or all (the window draws neither
    spreadsheet nor ParaView's own parallel coordinates before their tab is opened)."""
    from paraview import simple

    from pvensemble.views.scenes import load_scene

    built = load_scene(ROOT / "state_files" / "performance.py").build(str(path))

    shown = simple.GetViewsInLayout(next(iter(built.layouts.values())))

    def draw(views=shown):
        for view in views:
            simple.Render(view)

    def change(views=shown):
        built.sources["measures"].P1Step = next(STEPS)
        draw(views)

    every = list(built.views.values())
    draw(every)
    return {
        "draw unchanged": draw,
        "change P1": change,
        "change P1, both tabs": lambda: change(every),
    }


def main() -> int:
    """Measure and print Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--scene", action="store_true", help="all views of the scene, in pvpython")
    parser.add_argument("--runs", type=int, nargs="+", default=list(GRIDS), choices=list(GRIDS))
    parser.add_argument("--repeats", type=int, default=15)
    options = parser.parse_args()
    print(machine() + "\n")
    for n_runs in options.runs:
        with tempfile.TemporaryDirectory() as folder:
            path = write(Path(folder), n_runs)
            variants = (scene if options.scene else pipeline)(path)
            times = alternate(variants, options.repeats)
            what = "scene" if options.scene else "pipeline"
            print(report(f"{n_runs} runs, {what}", times, next(iter(variants))), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
