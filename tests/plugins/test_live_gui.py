"""ParaView's window follows a training that goes on, through the filters that are shown."""

from __future__ import annotations

import subprocess
import time

import numpy as np
import pytest
from ensembles import make_ensemble
from paraview_process import require_paraview, started
from pvserver_process import pvserver

from pvensemble.launcher.display import virtual_screen
from pvensemble.store import EnsembleWriter

pytestmark = [pytest.mark.paraview, pytest.mark.gui]

SCRIPT = """
import pathlib
from paraview import servermanager, simple

log = pathlib.Path({log!r})
if {server!r}:
    host, port = {server!r}.split(":")
    simple.Connect(host, int(port))

def follow(label, live):
    reader = simple.EnsembleReader(FileName={path!r}, LiveUpdate=live)
    measures = simple.PerformanceMeasures(Input=reader)
    simple.Show(measures, view)
    def write(*_):
        data = servermanager.Fetch(measures)
        last = data.GetCellData().GetArray("last_step").GetValue(0)
        with log.open("a") as file:
            file.write(f"{{label}} {{last}}\\n")
    return measures.SMProxy.AddObserver("UpdateDataEvent", write)

view = simple.GetActiveViewOrCreate("RenderView")
tags = [follow("live", 1), follow("still", 0)]
simple.Render(view)
with log.open("a") as file:
    file.write("ready\\n")
"""


def wait_for(log, line, process, seconds=60):
    """Return the lines of the log once it has one."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        lines = log.read_text().splitlines() if log.exists() else []
        if line in lines:
            return lines
        time.sleep(0.2)
    pytest.fail(f"no line {line!r} in {lines}; ParaView said: {process.returncode}")


@pytest.fixture(params=["built-in", "server"])
def server(request, tmp_path):
    """Address of a pvserver, or nothing."""
    require_paraview("paraview")
    if request.param == "built-in":
        yield ""
        return
    with virtual_screen((640, 480)) as screen, pvserver(tmp_path, extra=screen) as address:
        yield address


def test_shown_filters_follow_the_training(tmp_path, server):
    program = require_paraview("paraview")
    truth = make_ensemble(tmp_path / "live.pvens", n_lr=2, n_momentum=2, finish=False)
    log, script = tmp_path / "log.txt", tmp_path / "script.py"
    script.write_text(SCRIPT.format(log=str(log), path=str(truth.path), server=server))
    command = [program, "--dr", f"--script={script}"]
    with started(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        wait_for(log, "ready", process)
        with EnsembleWriter.open(truth.path) as writer:
            group = writer.open_group("g000")
            metrics = {"validation_accuracy": (np.array([110]), np.full((1, 4), 0.5))}
            group.commit(110, {("conv1", "weight"): np.zeros((4, 4, 1, 3, 3), "f4")}, metrics)
            group.close()
        after = wait_for(log, "live 110", process)
        time.sleep(1.5)
        assert "still 110" not in after + log.read_text().splitlines()
