"""A ParaView that only says how it was started."""

from __future__ import annotations

import json
import stat
import sys
from pathlib import Path

SCRIPT = """#!{python}
import json, os, sys
if "--version" in sys.argv[1:]:
    print("paraview version {version}")
    raise SystemExit(0)
wanted = ("PYTHONPATH", "PV_PLUGIN_CONFIG_FILE", "PV_MACRO_PATH", "PVENSEMBLE_FILE",
          "PVENSEMBLE_SCENE", "PVENSEMBLE_SERVER", "PYTHONNOUSERSITE",
          "PYTHONHOME", "VIRTUAL_ENV")
print(json.dumps({{"argv": sys.argv, "env": {{k: os.environ.get(k) for k in wanted}}}}))
raise SystemExit(7)
"""


def make_paraview(folder: Path, version: str = "5.11.0", inside: str = "bin") -> Path:
    """A folder with all four programs; each prints its arguments and ends with status 7."""
    programs = folder / inside
    programs.mkdir(parents=True, exist_ok=True)
    for name in ("paraview", "pvpython", "pvbatch", "pvserver"):
        path = programs / name
        path.write_text(SCRIPT.format(python=sys.executable, version=version))
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return folder


def said(stdout: str) -> dict:
    """What the fake program was started with."""
    return json.loads(stdout.strip().splitlines()[-1])
