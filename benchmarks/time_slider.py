"""Moving the time slider by one recorded step until every view of scene `topology` shows it.

    pvensemble pvpython benchmarks/time_slider.py             # 121 and 1,000 runs
    pvensemble pvpython benchmarks/time_slider.py --profile   # and where the time goes

One layer of 50 filters at 21 recorded steps. The aim is 150 ms at 121 runs and 1 s at 1,000. The
alternative is drawing all views of the shown tab unchanged, which nothing can be faster than. The
slider moves to and fro between neighbouring steps, as when somebody looks for the step at which
something happens; every step is read anew each time. Filters keep what they made at a step; for a
step that was not shown before they are told to forget it.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "benchmarks"), str(ROOT / "tests" / "views"), str(ROOT)]

from harness import alternate, machine, report, seconds  # noqa: E402
from paraview import simple  # noqa: E402
from synthetic_ensemble import STEPS, write_ensemble  # noqa: E402

from pvensemble.views.scenes import Scene, load_scene  # noqa: E402

GRIDS = {121: (11, 11), 1000: (25, 40)}
N_FILTERS = 50
WARM_UP = 8
"""Calls of each variant that are not timed, in which each step is shown once."""
PLOTS = ("similarity_plot", "correlation_graph", "correlation_first", "correlation_last")


def to_and_fro() -> Iterator[float]:
    """Endless recorded steps, each beside the one before."""
    steps = [float(step) for step in STEPS]
    return itertools.cycle(steps[5:] + steps[-2:5:-1])


def draw(views: list) -> None:
    """Draw views, and wait for them."""
    for view in views:
        simple.Render(view)


def variants(scene: Scene) -> tuple[dict, dict]:
    """Moving the slider with the tab that is shown, and with both; drawing alone.

    Moving it to steps that were not shown before stands apart: it makes the filters forget.
    """
    shown = simple.GetViewsInLayout(next(iter(scene.layouts.values())))
    every = list(scene.views.values())
    steps, clock = to_and_fro(), simple.GetTimeKeeper()

    def move(views: list) -> None:
        clock.Time = next(steps)
        draw(views)

    def move_anew() -> None:
        for plot in PLOTS:
            scene.sources[plot].GetClientSideObject().Modified()
        move(shown)

    return {
        "draw unchanged": lambda: draw(shown),
        "one step": lambda: move(shown),
        "one step, both tabs": lambda: move(every),
    }, {"one step, not shown before": move_anew}


def with_processor_time(work: dict[str, Callable]) -> tuple[dict[str, Callable], dict[str, list]]:
    """Return functions that note the processor seconds of each call, and these."""
    spent: dict[str, list[float]] = {name: [] for name in work}

    def noting(name: str) -> Callable:
        def call() -> None:
            start = time.process_time()
            work[name]()
            spent[name].append(time.process_time() - start)

        return call

    return {name: noting(name) for name in work}, spent


def profile(scene: Scene, repeats: int) -> str:
    """Return a Markdown table: median milliseconds of updating each filter, and of each view."""
    sources = list(scene.sources.items())
    times: dict[str, list[float]] = {}
    steps, clock = to_and_fro(), simple.GetTimeKeeper()
    for _ in range(repeats):
        step = next(steps)
        for name, source in sources:
            spent = seconds(lambda s=source, t=step: s.UpdatePipeline(t))
            times.setdefault(f"update {name}", []).append(spent)
        clock.Time = step
        for name, view in scene.views.items():
            times.setdefault(f"draw {name}", []).append(seconds(lambda v=view: simple.Render(v)))
    lines = ["| | median ms |", "|---|---|"]
    middle = repeats // 2
    lines += [f"| {name} | {1e3 * sorted(spent)[middle]:.3g} |" for name, spent in times.items()]
    return "\n".join(lines) + "\n"


def measure(path: Path, title: str, options: argparse.Namespace) -> None:
    """Print the tables of an ensemble."""
    scene = load_scene(ROOT / "state_files" / "topology.py").build(str(path))
    shown_before, anew = variants(scene)
    work, spent = with_processor_time({**shown_before, **anew})
    times = alternate({name: work[name] for name in shown_before}, options.repeats, WARM_UP)
    times |= alternate({name: work[name] for name in anew}, options.repeats, WARM_UP)
    print(report(title, times, "draw unchanged"))
    for name, every in spent.items():
        middle = statistics.median(every[WARM_UP:])
        print(f"{name}: {1e3 * middle:.3g} ms of processor time (all threads)")
    print(flush=True)
    if options.profile:
        print(profile(scene, options.repeats), flush=True)


def main() -> int:
    """Measure and print Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, nargs="+", default=list(GRIDS), choices=list(GRIDS))
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--profile", action="store_true", help="also time each filter and view")
    options = parser.parse_args()
    print(machine() + "\n")
    for n_runs in options.runs:
        with tempfile.TemporaryDirectory() as folder:
            path = write_ensemble(
                Path(folder) / "grid.pvens",
                GRIDS[n_runs],
                layers=({"conv": N_FILTERS},),
                recorded=tuple(STEPS.tolist()),
            )
            measure(path, f"{n_runs} runs", options)
    return 0


if __name__ == "__main__":
    main()
    # Not as usual: ParaView 5.11 closes several windows in an order that X refuses (GLXBadContext).
    sys.stdout.flush()
    os._exit(0)
