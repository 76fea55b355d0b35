"""One pvpython process answers the questions of all tests of the scene."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from synthetic_ensemble import write_ensemble

from pvensemble.launcher import command
from pvensemble.launcher.display import display
from pvensemble.launcher.scenes import scene_file

HERE = Path(__file__).parent


def _run_in_paraview(script: Path, *arguments, timeout: float = 120) -> None:
    """Run a script in pvpython with the plugin, on a virtual screen where there is none."""
    if shutil.which("pvpython") is None or (
        sys.platform.startswith("linux") and shutil.which("Xvfb") is None
    ):
        pytest.skip("ParaView or Xvfb is not installed")
    argv, env, _ = command("pvpython", [str(script), *map(str, arguments)])
    with display(env) as shown:
        done = subprocess.run(
            argv,
            env=shown,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said[-4000:]
    assert "ERR|" not in said, said[-4000:]
    assert "Traceback" not in said, said[-4000:]


@pytest.fixture(scope="session")
def run_in_paraview():
    """The function that runs a script in pvpython and fails when that reports an error."""
    return _run_in_paraview


@pytest.fixture(scope="session")
def answers(tmp_path_factory) -> dict:
    """What ``in_paraview.py`` found with 11 x 11 runs, two of them diverged."""
    folder = tmp_path_factory.mktemp("views")
    ensemble = write_ensemble(folder / "grid.pvens", 11, diverged=2, batch_sizes=(32, 64, 128))
    file = folder / "answers.json"
    _run_in_paraview(HERE / "in_paraview.py", ensemble, scene_file("performance"), file)
    return json.loads(file.read_text())
