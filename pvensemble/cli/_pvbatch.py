"""Runs inside pvbatch for ``pvensemble pvbatch -- train …``: this command line, in that Python.

The launcher says in the environment where torch lies and which Python belongs to it
(:mod:`pvensemble.launcher.training`).
"""

from __future__ import annotations

import os
import sys


def main() -> int:
    """Make torch importable and run the command line."""
    from pvensemble.launcher.training import PATH_VARIABLE, PYTHON_VARIABLE, mismatch

    problem = mismatch(os.environ, sys.version_info)
    if problem:
        print(f"pvensemble: {problem}", file=sys.stderr)
        return 2
    # As in an environment of its own, before what the system has.
    packages = [i for i, path in enumerate(sys.path) if path.endswith("-packages")]
    sys.path.insert(min(packages, default=len(sys.path)), os.environ[PATH_VARIABLE])
    sys.executable = os.environ[PYTHON_VARIABLE]  # pvbatch cannot start worker processes
    from paraview import simple  # noqa: F401  without it pvbatch never ends under mpiexec

    from pvensemble.cli import main as run

    return run(sys.argv[1:])


if __name__ == "__main__":
    status = main()
    if status:  # else the end of the script is better: sys.exit would leave MPI unfinished
        sys.exit(status)
