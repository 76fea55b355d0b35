"""Training Control and its macro in a real ParaView, beside a training in another process."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ensembles import make_ensemble
from paraview_process import require_paraview, run_in_paraview, started

import pvensemble
from pvensemble.store import Acknowledgement, Ensemble, EnsembleWriter
from pvensemble.store.steering import steering_directory, stop_request, write_request

pytestmark = pytest.mark.paraview

TOML = """
name = "window"
steps = 100000
[data]
source = "digits"
[model]
name = "mlp"
[train]
engine = "torch"
[evaluate]
every = 100
size = 50
[record]
every = 100
layers = "all"
kinds = "weight"
probe = 16
[[session]]
name = "grid"
[session.space]
learning_rate = [0.01, 0.02]
momentum = [0.5, 0.9]
"""
MACRO = Path(pvensemble.__file__).parent / "views" / "macros" / "stop_selected_runs.py"

BODY = """
import runpy, time
from paraview import servermanager, simple
from pvensemble.errors import SceneError
from pvensemble.views.pipeline import find
from pvensemble.views.selection import select_cells

reader = simple.OpenDataFile(arguments["path"])
groups = simple.RunGroups(Input=reader)
groups.UpdatePipeline()
try:
    runpy.run_path(arguments["macro"])
except SceneError as error:
    result["nothing"] = str(error)
select_cells(groups, [1, 3])
with messages() as caught:
    runpy.run_path(arguments["macro"])
result["said"] = caught.text
(control,) = find("TrainingControl")

def rows():
    table = servermanager.Fetch(control)
    columns = [table.GetColumnByName(n) for n in ("event", "request", "text")]
    return [[c.GetValue(i) for c in columns] for i in range(table.GetNumberOfRows())]

def wait(number):
    end = time.monotonic() + 30
    while time.monotonic() < end:
        control.SMProxy.InvokeCommand("Refresh")
        control.UpdatePipeline()
        if any(e in ("accepted", "refused") and r == number for e, r, _ in rows()):
            return
        time.sleep(0.2)
    raise AssertionError(rows())

wait(1)
control.RecordEvery = 10
control.SMProxy.InvokeCommand("ChangeRecording")
wait(2)
control.RunsToAdd = "learning_rate=0.05"
control.SMProxy.InvokeCommand("AddRuns")
wait(3)
control.RunsToStop = "7"
with messages() as caught:
    control.SMProxy.InvokeCommand("StopRuns")
result["complaint"] = caught.text
control.UpdatePipeline()
result["rows"] = rows()
"""


def wait_for(condition, process):
    end = time.monotonic() + 120
    while not condition():
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What ParaView found, and the ensemble after the training was interrupted."""
    folder = tmp_path_factory.mktemp("control")
    (folder / "window.toml").write_text(TOML)
    path = folder / "e.pvens"
    command = [sys.executable, "-m", "pvensemble", "train", str(folder / "window.toml")]
    process = subprocess.Popen(
        [*command, "-o", str(path), "--workers", "1"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(lambda: path.exists() and len(Ensemble.open(path).recorded_steps) > 1, process)
        result = run_in_paraview(BODY, folder, path=str(path), macro=str(MACRO))
        wait_for(lambda: any(s % 100 for s in Ensemble.open(path).recorded_steps), process)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    finally:
        process.kill()
        process.wait()
    return {**result, "ensemble": Ensemble.open(path)}


def test_the_macro_stops_the_runs_that_are_selected(found):
    assert "no run is selected" in found["nothing"]
    assert "request 1: stop runs 1, 3" in found["said"]
    states = found["ensemble"].run_table()["state"]
    assert [states[i] for i in (1, 3)] == ["PRUNED"] * 2
    assert "PRUNED" not in {states[i] for i in (0, 2)}


def test_the_training_records_and_adds_what_the_panel_asks_for(found):
    ensemble = found["ensemble"]
    (change,) = [a for a in ensemble.groups[0].index.acknowledged if a.request == 2]
    later = [s for s in ensemble.groups[0].recorded_steps() if s >= change.step]
    assert later
    assert all(s % 10 == 0 for s in later)
    assert any(s % 100 for s in later)
    assert list(ensemble.run_table()["session"]) == ["grid"] * 4 + ["added 3"]


def test_the_table_is_the_log(found):
    rows = found["rows"]
    asked = [text.partition(" (by")[0] for event, _, text in rows if event == "request"]
    assert asked == ["stop runs 1, 3", "record every 10 steps", "add learning_rate=0.05"]
    assert {n for event, n, _ in rows if event == "accepted"} == {1, 2, 3}
    assert sum(event == "stopped" for event, _, _ in rows) >= 1


def test_what_cannot_be_sent_is_told(found):
    assert "there is no run 7; there are runs 0 to 4" in found["complaint"]
    event, number, text = found["rows"][-1]
    assert (event, number) == ("not sent", 0)
    assert "there is no run 7" in text


WINDOW = """
import pathlib
from paraview import servermanager, simple

log = pathlib.Path({log!r})
reader = simple.OpenDataFile({path!r})
control = simple.TrainingControl(Input=reader)
view = simple.CreateView("SpreadSheetView")
simple.AssignViewToLayout(view)
simple.Show(control, view)

def write(*_):
    table = servermanager.Fetch(control)
    texts = [table.GetColumnByName("text").GetValue(i) for i in range(table.GetNumberOfRows())]
    log.write_text("\\n".join(texts))

tag = control.SMProxy.AddObserver("UpdateDataEvent", write)
simple.Render(view)
write()
"""


@pytest.mark.gui
def test_the_shown_table_follows_the_log(tmp_path):
    program = require_paraview("paraview")
    path = make_ensemble(tmp_path / "live.pvens", n_lr=2, n_momentum=2, finish=False).path
    log, script = tmp_path / "log.txt", tmp_path / "script.py"
    script.write_text(WINDOW.format(log=str(log), path=str(path)))
    command = [program, "--dr", f"--script={script}"]
    with started(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        wait_for(log.exists, process)
        assert "stop run 2" not in log.read_text()
        directory = steering_directory(path.with_name(path.name + ".d"))
        request = write_request(directory, stop_request([2]))
        wait_for(lambda: f"stop run 2 (by {request.by})" in log.read_text(), process)
        with EnsembleWriter.open(path) as writer, writer.open_group("g000") as group:
            group.acknowledge(Acknowledgement(request.number, "accepted", "run 2 it was", 2e9))
        wait_for(lambda: log.read_text().endswith("run 2 it was"), process)
