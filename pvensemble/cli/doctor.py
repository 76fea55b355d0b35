"""``pvensemble doctor``: what is there, what is missing, and the command that installs it."""

from __future__ import annotations

import argparse

HELP = "say what is present or missing, and how to install it"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--json", action="store_true", help="machine-readable report")
    parser.add_argument(
        "--paraview", metavar="DIR", default=None, help="installation of ParaView to examine"
    )


def run(args: argparse.Namespace) -> int:
    """Examine this machine; 0 when everything needed is there, else 2."""
    import json

    from pvensemble.launcher.examine import as_dict, examine

    checks = examine(args.paraview)
    report = as_dict(checks)
    if args.json:
        print(json.dumps(report, indent=1))
        return 0 if report["ok"] else 2
    for check in checks:
        mark = "ok" if check.ok else ("MISSING" if check.needed else "-")
        print(f"{mark:<8}{check.name:<26}{check.found}")
    fixes = [c for c in checks if c.fix and not c.ok]
    for check in fixes:
        print(f"\n{check.name}{'' if check.needed else ' (optional)'}:\n  {check.fix}", end="")
    print("\n" if fixes else "", end="")
    missing = [c.name for c in checks if c.needed and not c.ok]
    print(f"\nMissing: {', '.join(missing)}." if missing else "\nEverything needed is there.")
    return 0 if report["ok"] else 2
