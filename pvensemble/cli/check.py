"""``pvensemble check``: every file against its hash."""

from __future__ import annotations

import argparse
import sys

HELP = "compare every file of an ensemble with the hashes in its indexes"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("ensemble", metavar="X.pvens")
    parser.add_argument("--json", action="store_true", help="for programs")


def run(args: argparse.Namespace) -> int:
    """Print what was found; 0 when nothing recorded is missing or wrong, else 2."""
    import json
    from dataclasses import asdict

    from pvensemble.store.check import check_ensemble

    report = check_ensemble(args.ensemble)
    problems = report.problems
    if args.json:
        content = {
            "ok": not problems,
            "files": report.n_files,
            "bytes": report.n_bytes,
            "findings": [asdict(f) for f in report.findings],
        }
        print(json.dumps(content, indent=1))
        return 2 if problems else 0
    for finding in report.findings:
        stream = sys.stderr if finding in problems else sys.stdout
        print(f"{finding.level}: {finding.path}: {finding.text}", file=stream)
    if problems:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        print(
            f"pvensemble: {args.ensemble}: {count}; {report.n_files} files are as they were "
            "written. Copy the named files again from where the ensemble came from",
            file=sys.stderr,
        )
        return 2
    print(f"{args.ensemble}: {report.n_files} files, {report.n_bytes} bytes, all as written")
    return 0
