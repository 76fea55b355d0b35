"""What a request costs a training: from the last step before it to the first step after it.

A training of the ``digits`` preset is asked again and again to change its recording. For each
request is told how long the runs stood still, and of that: until the executor had ended and the
states were kept, until the groups were changed and had acknowledged, and until runs went on.

    python benchmarks/steering.py
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))


def main() -> None:
    """Train with and without worker processes; print what a request costs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=7)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--workers", type=int, nargs="*", default=[0, 2])
    args = parser.parse_args()
    from harness import machine

    print(f"machine: {machine()}, load {' '.join(f'{x:.1f}' for x in os.getloadavg())}")
    for workers in args.workers:
        parts = _steered(args.requests, args.steps, workers)
        print(f"{workers} workers, {len(parts)} requests, seconds: median (least to most)")
        for name, values in zip(("kept", "changed", "going on", "in all"), zip(*parts)):
            median = statistics.median(values)
            print(f"  {name:<9} {median:6.2f} ({min(values):.2f} to {max(values):.2f})")


def _steered(n_requests: int, steps: int, workers: int) -> list[tuple[float, ...]]:
    """Return for each request the seconds of its parts and in all."""
    from pvensemble.store import Ensemble
    from pvensemble.store.log import send_request
    from pvensemble.store.steering import record_request
    from pvensemble.train import training
    from pvensemble.train.config import load_config
    from pvensemble.train.trainer import train

    marks: list[tuple[str, float]] = []

    class Marked(training.Training):
        def _prepare(self):
            marks.append(("held", time.monotonic()))
            super()._prepare()
            marks.append(("changed", time.monotonic()))

        def _watch(self, control):
            if control.stop and marks[-1][0] != "stop":
                marks.append(("stop", time.monotonic()))
            elif control.done and marks[-1][0] == "changed":
                marks.append(("on", time.monotonic()))
            super()._watch(control)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "e.pvens"
        asked = {"n": 0, "since": time.monotonic()}

        def ask() -> bool:
            on = [moment for name, moment in marks if name == "on"]
            if len(on) > asked["n"] and time.monotonic() - on[-1] > 0.5:
                asked["n"] = len(on)
                if len(on) <= n_requests:
                    send_request(Ensemble.open(path), record_request(every=20 + len(on)))
            return len(on) > n_requests

        config = load_config("digits", [f"steps={steps}"])
        from pvensemble.train import trainer

        trainer.Training = Marked
        train(config, path, workers=workers, stop=ask)
    found = []
    for i, (name, moment) in enumerate(marks):
        after = dict(marks[i + 1 : i + 4])
        if name == "stop" and "on" in after:
            held, changed, on = after["held"], after["changed"], after["on"]
            found.append((held - moment, changed - held, on - changed, on - moment))
    return found


if __name__ == "__main__":
    main()
