"""The plugin with several processes: client and server, and MPI."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time

import pytest
from paraview_process import require_paraview, run_in_paraview, started

from pvensemble.launcher import environment
from pvensemble.launcher.find import paraview_version

pytestmark = [pytest.mark.paraview, pytest.mark.slow]

CLIENT = """
import inspect
inspect.getargspec = getattr(inspect, "getargspec", inspect.getfullargspec)
from paraview import simple
simple.Connect("localhost", arguments["port"])
simple.LoadPlugin(arguments["plugin"], remote=True, ns=globals())
reader = EnsembleReader(FileName=arguments["path"])
measures = PerformanceMeasures(Input=reader)
groups = RunGroups(Input=measures, Groups="good : top 3 P1")
groups.UpdatePipeline()
result["times"] = list(reader.TimestepValues)
result["cells"] = groups.GetDataInformation().GetNumberOfCells()
result["best"] = groups.CellData["P1"].GetRange()[1]
with messages() as caught:
    measures.IntervalStart = 1000
    groups.UpdatePipeline()
result["error"] = caught.text
"""

SYMMETRIC = """
from paraview import simple
from vtkmodules.vtkParallelCore import vtkMultiProcessController
rank = vtkMultiProcessController.GetGlobalController().GetLocalProcessId()
reader = simple.EnsembleReader(FileName={path!r})
groups = simple.RunGroups(Input=simple.PerformanceMeasures(Input=reader))
plots = [simple.ParallelCoordinates(Input=groups), simple.PerformanceHeatMap(Input=groups),
         simple.LossAccuracyGraph(Input=groups)]
for plot in plots:
    plot.UpdatePipeline()
data = groups.GetClientSideObject().GetOutputDataObject(0)
print(f"rank {{rank}} holds {{data.GetNumberOfCells()}} runs", flush=True)
"""


def test_runs_on_a_server(truth, tmp_path, repository):
    program = require_paraview("pvserver")
    if paraview_version(require_paraview()) >= (6, 0):
        pytest.xfail("ParaView 6.1 does not load a Python plugin on a server by LoadPlugin")
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    command = [program, f"--server-port={port}"]
    with started(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as server:
        line = ""
        end = time.monotonic() + 60
        while "Accepting" not in line and time.monotonic() < end:
            line = server.stdout.readline()
        found = run_in_paraview(
            CLIENT,
            tmp_path,
            port=port,
            path=str(truth.path),
            plugin=str(repository / "pvplugins" / "pvensemble_plugin.py"),
        )
    assert found["times"] == [0.0, 50.0, 100.0]
    assert found["cells"] == 25
    assert found["best"] == pytest.approx(0.96, abs=0.01)
    assert "Performance Measures: interval [1000, 100]" in found["error"]


def test_with_mpi_the_first_process_holds_all_runs(truth, tmp_path):
    program = require_paraview("pvbatch")
    if shutil.which("mpirun") is None:
        pytest.skip("needs mpirun")
    script = tmp_path / "script.py"
    script.write_text(SYMMETRIC.format(path=str(truth.path)))
    env = {**environment(), "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    command = ["mpirun", "--oversubscribe", "-np", "2", program, "--sym", script]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with started(command, env=env, **options) as process:
        output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    assert "rank 0 holds 25 runs" in output
    assert "rank 1 holds 0 runs" in output
    assert "ERR" not in output, output
