"""The long form of the kill test, with a report; run by ``scripts/kill-test``."""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

from kill_harness import kill_at_every_call, kill_randomly

CONTROLS = 5


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/kill-test")
    parser.add_argument("n", nargs="?", type=int, default=100, help="random kills (default 100)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-calls", action="store_true", help="random kills only")
    args = parser.parse_args()
    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        for design, n in (("store", args.n - args.n // 2), ("background", args.n // 2)):
            outcomes = kill_randomly(design, directory, n, seed=args.seed)
            bad += report(f"{design}: killed at {n} random moments", dict(enumerate(outcomes)))
        if not args.no_calls and shutil.which("strace"):
            outcomes = kill_at_every_call("store", directory)
            bad += report(f"store: killed at each of {len(outcomes)} system calls", outcomes)
        elif not args.no_calls:
            print("not killed at system calls: strace is not installed")
        controls = kill_randomly(
            "unsafe", directory, CONTROLS, seed=args.seed, longest=0.3, per_ensemble=1
        )
        noticed = sum(bool(failures) for failures in controls)
        print(f"unsafe writer (negative control): noticed in {noticed} of {CONTROLS}")
        if noticed < CONTROLS - 1:
            print("the judge does not notice an unsafe writer: the results above mean nothing")
            bad += 1
    return 1 if bad else 0


def report(title: str, outcomes: dict) -> int:
    failed = {point: failures for point, failures in outcomes.items() if failures}
    print(f"{title}: {len(failed)} with failures")
    for point, failures in failed.items():
        print(f"  {point}: {'; '.join(failures)}")
    return len(failed)


if __name__ == "__main__":
    raise SystemExit(main())
