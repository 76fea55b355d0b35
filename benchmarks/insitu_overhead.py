"""What pipelines in the training process cost, at triggers of every 1, 10 and 100 steps.

The same runs of the preset ``mnist`` train without in situ and with one pipeline each, in turn,
every training in a process of its own. Reported are the wall and CPU time of the whole training
(trainer, workers and the process that draws), and what is disturbed least by other programs: the
CPU time that the trainer and the process that draws spend on each firing, and as a share of the
training without in situ. The first firing, which imports and builds, is left out. ``in it`` is the
share of the wall time that the trainer spends on pipelines; its workers go on meanwhile.

    python benchmarks/insitu_overhead.py --data DIR       (DIR/MNIST/raw)
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

RATES = "session.0.space.learning_rate={low=0.006, high=0.016, num=6}"
MOMENTA = "session.0.space.momentum=[0.729, 0.81, 0.9]"
CASES = ["none", *(f"{name}:every={n}" for name in ("extracts", "images") for n in (1, 10, 100))]


def main() -> None:
    """Train in turn, print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="directory of the data sets")
    parser.add_argument("--preset", default="mnist")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--cases", nargs="+", default=CASES)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measure(args, args.one)))
        return
    from harness import machine

    print(f"machine: {machine()}, load {' '.join(f'{x:.1f}' for x in os.getloadavg())}")
    print(f"{args.preset}: 18 runs of {args.steps} steps")
    found: dict[str, list[dict]] = {case: [] for case in args.cases}
    for _ in range(args.repeats):
        for case in args.cases:
            found[case].append(apart(args, case))
    base = statistics.median(f["cpu"] for f in found["none"])
    print(
        f"{'':<20}{'wall s':>8}{'CPU s':>8}{'firings':>9}{'ms trainer':>12}{'ms drawing':>12}"
        f"{'share of CPU':>14}{'in it':>9}"
    )
    for case, values in found.items():
        middle = {key: statistics.median(v[key] for v in values) for key in values[0]}
        firings = max(middle["firings"], 1)
        cpu = middle["trainer_cpu"] + middle["drawing_cpu"]
        print(
            f"{case:<20}{middle['wall']:8.1f}{middle['cpu']:8.1f}{middle['firings']:9.0f}"
            f"{1e3 * middle['trainer_cpu'] / firings:12.1f}"
            f"{1e3 * middle['drawing_cpu'] / firings:12.1f}"
            f"{100 * cpu / base:12.2f} %{100 * middle['trainer_wall'] / middle['wall']:7.2f} %"
        )


def apart(args: argparse.Namespace, case: str) -> dict:
    """Measure one case in a process of its own: ParaView can be initialized once."""
    command = [sys.executable, __file__, "--one", case, "--steps", str(args.steps)]
    command += ["--preset", args.preset, *(["--data", args.data] if args.data else [])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{case}: {done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def measure(args: argparse.Namespace, case: str) -> dict:
    """Train once; return seconds, and how often the pipeline was executed."""
    from pvensemble.train.config import load_config
    from pvensemble.train.trainer import train

    config = load_config(args.preset, [f"steps={args.steps}", RATES, MOMENTA])
    observer = None if case == "none" else _timed(case)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "e.pvens"
        begin, cpu = time.perf_counter(), _cpu()
        train(config, path, data_dir=args.data, workers=2, observer=observer)
        spent = {"wall": time.perf_counter() - begin, "cpu": _cpu() - cpu}
    return {
        **spent,
        "trainer_wall": sum(t[0] for t in observer.times) if observer else 0,
        "trainer_cpu": sum(t[1] for t in observer.times) if observer else 0,
        "drawing_cpu": observer.drawing_cpu if observer else 0,
        "firings": observer.executed - 1 if observer else 0,
    }


def _timed(case: str):
    """Return an observer that counts what it does, but for its first firing."""
    from pvensemble.insitu.observer import InSitu
    from pvensemble.insitu.pipeline import parse

    class Timed(InSitu):
        executed = 0
        drawing_cpu = 0.0

        def stop(self, *arguments) -> None:
            begin, before = (time.perf_counter(), time.process_time()), self.executed
            super().stop(*arguments)
            if before:
                self.times.append((time.perf_counter() - begin[0], time.process_time() - begin[1]))

        def end(self) -> None:
            if self._drawing:
                close = self._drawing._connection.close
                self._drawing._connection.close = lambda: (self._note_drawing(), close())
            super().end()

        def _note_drawing(self) -> None:
            self.drawing_cpu = _cpu_of(self._drawing._process.pid) - self.first_drawn

        def _hear(self, drawn) -> None:
            if drawn and not self.first_drawn:
                self.first_drawn = _cpu_of(self._drawing._process.pid)
            super()._hear(drawn)

    observer = Timed(parse([case]), lambda text: print(text, file=sys.stderr))
    observer.times, observer.first_drawn = [], 0.0
    where = observer._drawing or observer._bridge
    execute = where.execute

    def counted(*arguments):
        observer.executed += 1
        return execute(*arguments)

    where.execute = counted
    return observer


def _cpu_of(process: int) -> float:
    """Return CPU seconds of another process."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _cpu() -> float:
    """Return CPU seconds of this process and of those that have ended."""
    own, children = (
        resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


if __name__ == "__main__":
    main()
