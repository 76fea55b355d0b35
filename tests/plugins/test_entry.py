"""Loading the plugin file by hand, as Tools > Manage Plugins does, without the launcher."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from paraview_process import run_in_paraview

pytestmark = pytest.mark.paraview

PLUGIN = Path(__file__).parents[2] / "pvplugins" / "pvensemble_plugin.py"

LOAD = """
import inspect
inspect.getargspec = getattr(inspect, "getargspec", inspect.getfullargspec)
for name in arguments["hidden"]:
    sys.modules[name] = None
path_before = list(sys.path)
from paraview import simple
import traceback
with messages() as caught:
    try:
        simple.LoadPlugin(arguments["plugin"], ns=globals())
    except RuntimeError as error:
        result["error"] = str(error)
result["text"] = caught.text
result["new on path"] = [p for p in sys.path if p not in path_before]
result["loaded"] = "EnsembleReader" in globals()
if result["loaded"]:
    import pvensemble
    result["package"] = pvensemble.__file__
    reader = EnsembleReader(FileName=arguments["path"])
    RunGroups(Input=PerformanceMeasures(Input=reader)).UpdatePipeline()
    result["cells"] = simple.GetActiveSource().GetDataInformation().GetNumberOfCells()
"""


@pytest.fixture
def plain(tmp_path):
    """Load a plugin file in a ParaView that knows nothing of the package."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PV_", "PYTHON"))}

    def load(plugin, path="", hidden=()):
        # An isolated working directory: pvpython puts it on its path.
        arguments = {"plugin": str(plugin), "path": str(path), "hidden": list(hidden)}
        return run_in_paraview(LOAD, tmp_path, env=env, cwd=tmp_path, **arguments)

    return load


def test_file_of_a_checkout_loads_and_works(plain, truth):
    found = plain(PLUGIN, truth.path)
    assert found["loaded"], found
    assert Path(found["package"]) == PLUGIN.parents[1] / "pvensemble" / "__init__.py"
    assert found["cells"] == 25
    assert not [p for p in found["new on path"] if p.startswith(str(PLUGIN.parents[1]))]


def test_missing_package_is_explained(plain, tmp_path):
    alone = tmp_path / "alone" / "pvplugins"
    shutil.copytree(PLUGIN.parent, alone)
    found = plain(alone / PLUGIN.name)
    assert not found["loaded"]
    assert "needs the Python package 'pvensemble'" in found["text"] + found["stdout"]
    assert "pvensemble paraview" in found["text"] + found["stdout"]


def test_missing_dependency_is_named(plain):
    found = plain(PLUGIN, hidden=["h5py"])
    assert not found["loaded"]
    assert "cannot load: import of h5py halted" in found["text"] + found["stdout"]
    assert "pvensemble doctor" in found["text"] + found["stdout"]
