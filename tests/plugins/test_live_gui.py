"""ParaView's window follows a training that goes on, through the filters that are shown."""

from __future__ import annotations

import subprocess
import time
from contextlib import ExitStack

import numpy as np
import pytest
from ensembles import LAYERS, make_ensemble, tensor
from paraview_process import require_paraview, started
from pvserver_process import pvserver

from pvensemble.launcher.display import virtual_screen
from pvensemble.schema import WEIGHT
from pvensemble.store import Ensemble, EnsembleWriter
from pvensemble.store.log import send_request
from pvensemble.store.steering import stop_request

pytestmark = [pytest.mark.paraview, pytest.mark.gui]

SCRIPT = """
import pathlib
from paraview import servermanager, simple

log = pathlib.Path({log!r})
if {server!r}:
    host, port = {server!r}.split(":")
    simple.Connect(host, int(port))

def write(*what):
    with log.open("a") as file:
        print(*what, file=file)

def follow(label, source, measured, view):
    simple.Show(source, view)
    def tell(*_):
        write(label, measured(servermanager.Fetch(source)))
    return source.SMProxy.AddObserver("UpdateDataEvent", tell)

def last_step(data):
    return data.GetCellData().GetArray("last_step").GetValue(0)

view = simple.GetActiveViewOrCreate("RenderView")
sheet = simple.CreateView("SpreadSheetView")
simple.AssignViewToLayout(view=sheet, layout=simple.GetLayout(view))
live, still = (simple.EnsembleReader(FileName={path!r}, LiveUpdate=on) for on in (1, 0))
live.Layers = ["conv1"]
paths = simple.WeightTrajectory(Input=live)
tags = [
    follow("live", simple.PerformanceMeasures(Input=live), last_step, view),
    follow("still", simple.PerformanceMeasures(Input=still), last_step, view),
    follow("points", paths, lambda data: data.GetNumberOfPoints(), view),
    follow("rows", simple.TrainingControl(Input=live), lambda t: t.GetNumberOfRows(), sheet),
]
simple.Render(view)
simple.Render(sheet)
write("ready")
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


@pytest.fixture(
    params=["built-in", pytest.param("server", marks=pytest.mark.slow), "two processes"]
)
def server(request, tmp_path):
    """Address of a pvserver, or nothing."""
    require_paraview("paraview")
    if request.param == "built-in":
        yield ""
        return
    n_ranks = 2 if request.param == "two processes" else 1
    with ExitStack() as stack:
        screen = stack.enter_context(virtual_screen((640, 480)))
        yield stack.enter_context(pvserver(tmp_path, n_ranks=n_ranks, extra=screen))


def test_shown_filters_follow_the_training(tmp_path, server):
    program = require_paraview("paraview")
    truth = make_ensemble(tmp_path / "live.pvens", n_lr=2, n_momentum=2, finish=False)
    log, script = tmp_path / "log.txt", tmp_path / "script.py"
    script.write_text(SCRIPT.format(log=str(log), path=str(truth.path), server=server))
    command = [program, "--dr", f"--script={script}"]
    with started(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        wait_for(log, "ready", process)
        for step in (110, 120):
            commit(truth.path, step)
            wait_for(log, f"live {step}", process)
            wait_for(log, f"points {4 * (3 + (step - 100) // 10)}", process)
        wait_for(log, "rows 1", process)
        send_request(Ensemble.open(truth.path), stop_request([2], "seen enough"))
        wait_for(log, "rows 2", process)
        time.sleep(1.5)
        after = log.read_text().splitlines()
    assert not {"still 110", "still 120"} & {*after}


def commit(path, step):
    """Record a further step."""
    with EnsembleWriter.open(path) as writer:
        group = writer.open_group("g000")
        metrics = {"validation_accuracy": (np.array([step]), np.full((1, 4), 0.5))}
        weights = tensor(LAYERS[0], WEIGHT, step, np.arange(4))
        group.commit(step, {("conv1", WEIGHT): weights}, metrics)
        group.close()
