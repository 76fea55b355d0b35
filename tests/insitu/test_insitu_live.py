"""A ParaView that waits for a connection sees the training while it goes on, and can pause it."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from insitu_cases import train
from test_insitu_ranks import train_on

from pvensemble.launcher import environment, find_paraview
from pvensemble.launcher.display import virtual_screen
from pvensemble.store import Ensemble

WATCHER = '''
"""What Catalyst > Connect, Extract and Pause do in the window."""
import json, sys, time
from pathlib import Path
from paraview import live, servermanager, simple as pv

port, report = int(sys.argv[1]), Path(sys.argv[2])
report.with_suffix(".waits").touch()
link = live.ConnectToCatalyst("localhost", port)
found = {}

def wait(condition, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        live.ProcessServerNotifications()
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise TimeoutError(condition.__name__)

def sources():
    manager = link.GetInsituProxyManager()
    iterator = servermanager.vtkSMProxyIterator()
    iterator.SetSessionProxyManager(manager)
    iterator.SetModeToOneGroup()
    iterator.Begin("sources")
    names = []
    while not iterator.IsAtEnd():
        names.append(iterator.GetKey())
        iterator.Next()
    return names if "runs" in names else None

found["sources"] = wait(sources)
runs = live.ExtractCatalystData(link, "runs")
tensors = live.ExtractCatalystData(link, "tensors")

def volumes():
    tensors.UpdatePipeline()
    data = tensors.GetClientSideObject().GetOutputDataObject(0)
    if data is None or not data.IsA("vtkMultiBlockDataSet"):
        return None
    here = [k for k in range(data.GetNumberOfBlocks()) if data.GetBlock(k)]
    return sorted({data.GetMetaData(k).Get(data.NAME()).split("/")[0] for k in here})

def last_step():
    runs.UpdatePipeline()
    data = servermanager.Fetch(runs)
    array = data.GetCellData().GetArray("last_step") if data.IsA("vtkPolyData") else None
    return [array.GetValue(i) for i in range(array.GetNumberOfTuples())] if array else None

def moved(before):
    def step():
        now = last_step()
        return now if now and now != before else None
    return step

first = wait(moved(None))
found["groups"] = wait(volumes)
found["steps"] = [first, wait(moved(first))]
measures = pv.PerformanceMeasures(Input=runs, P1Step=5)
similarity = pv.RunSimilarity(Input=measures, Tensors=tensors, Layer="conv2")
found["cells"] = [servermanager.Fetch(f).GetNumberOfCells() for f in (measures, similarity)]
live.PauseCatalyst(link)

def idle(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        live.ProcessServerNotifications()
        time.sleep(0.02)

idle(5)
found["paused"] = [max(last_step())]
idle(4)
found["paused"].append(max(last_step()))
live.PauseCatalyst(link, False)
found["after"] = wait(moved(last_step()))
report.write_text(json.dumps(found))
try:
    idle(120)  # the training goes on and ends
except Exception:
    pass
'''

PAUSER = """
import sys, time
from pathlib import Path
from paraview import live

report = Path(sys.argv[2])
link = live.ConnectToCatalyst("localhost", int(sys.argv[1]))
report.with_suffix(".waits").touch()
while True:
    live.ProcessServerNotifications()
    if not report.exists() and link.GetInsituProxyManager().GetProxy("sources", "runs"):
        live.PauseCatalyst(link)
        report.touch()
    time.sleep(0.02)
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return probe.getsockname()[1]


@contextmanager
def watching(folder: Path, script: str) -> Iterator[tuple[int, subprocess.Popen]]:
    """Let a script wait in pvpython; yield its port and process."""
    port, report = free_port(), folder / "report.json"
    (folder / "watch.py").write_text(script)
    command = [find_paraview("pvpython"), folder / "watch.py", port, report]
    with virtual_screen((800, 600)) as screen, (folder / "watch.log").open("w") as sink:
        watcher = subprocess.Popen(
            [str(word) for word in command],
            env={**environment(), **screen},
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
        )
        try:
            wait_for(report.with_suffix(".waits"))
            time.sleep(1)
            yield port, watcher
        finally:
            watcher.kill()
            watcher.wait()


@pytest.mark.paraview
@pytest.mark.slow
@pytest.mark.parametrize("n_ranks", [1, 2])
def test_a_waiting_paraview_sees_and_pauses_the_training(tmp_path, n_ranks):
    report = tmp_path / "report.json"
    with watching(tmp_path, WATCHER) as (port, _):
        arguments = ("--set", "steps=1500", "--insitu", f"live:every=5,port={port}")
        if n_ranks == 1:
            done = train(tmp_path, *arguments, timeout=300)
        else:
            done = train_on(n_ranks, tmp_path, *arguments, timeout=300)
    assert done.returncode == 0, done.stderr
    assert report.exists(), (tmp_path / "watch.log").read_text()
    found = json.loads(report.read_text())
    assert found["sources"] == ["runs", "tensors"]
    ensemble = Ensemble.open(tmp_path / "e.pvens")
    assert found["groups"] == sorted(group.name for group in ensemble.groups)
    assert found["cells"] == [4, 16]
    first, second = found["steps"]
    assert len(first) == len(second) == 4
    assert max(first) < max(second)
    assert found["paused"][0] == found["paused"][1] < 1500
    assert max(found["after"]) > max(second)
    assert int(ensemble.curve("train_loss").steps[-1]) == 1500
    assert f"connected to the ParaView at localhost:{port}" in done.stderr
    assert done.stderr.count("connected to") == 1


@pytest.mark.paraview
@pytest.mark.slow
def test_a_window_that_is_killed_while_it_pauses_a_training_ends_nothing(tmp_path):
    with watching(tmp_path, PAUSER) as (port, watcher), ThreadPoolExecutor() as pool:
        arguments = ("--set", "steps=1000", "--insitu", f"live:every=5,port={port}")
        training = pool.submit(train, tmp_path, *arguments, timeout=300)
        wait_for(tmp_path / "report.json")
        time.sleep(2)
        watcher.kill()
        done = training.result()
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stderr.splitlines() if "in situ" in line]
    assert [line.partition(": ")[2] for line in said] == [
        f"connected to the ParaView at localhost:{port}",
        f"the ParaView at localhost:{port} has gone; the training goes on and looks again at the "
        "next steps",
    ]


@pytest.mark.paraview
def test_it_is_said_once_when_no_paraview_waits(tmp_path):
    port = free_port()
    done = train(tmp_path, "--insitu", f"live:every=5,port={port}")
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stderr.splitlines() if "in situ" in line] == [
        "in situ pipeline 'live' at step 0: no ParaView of this version waits at "
        f"localhost:{port} (Catalyst > Connect); the training goes on and looks again at the "
        "next steps"
    ]


def wait_for(file: Path, seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not file.exists():
        assert time.monotonic() < end, f"{file.name} did not come"
        time.sleep(0.1)
