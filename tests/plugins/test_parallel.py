"""The plugin with several processes: client and server, and several ranks of MPI."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from parallel_samples import MEMBERS, N_RUNS, WIDTHS, make_parallel
from paraview_process import require_paraview, run_in_paraview, started
from pvserver_process import OF_RANKS, pvserver

from pvensemble.launcher import environment

pytestmark = pytest.mark.paraview

HERE = Path(__file__).parent
CASES = {
    "matrix": ("FilterCorrelation", True, {"Layer": "conv1", "Runs": "0,1,6,8"}),
    "matrix in the layer's order": ("FilterCorrelation", False, {"Order": "original"}),
    "maps": ("ActivationMaps", True, {"Layer": "conv2", "Runs": "7"}),
    "boxes": ("WeightBoxes", True, {"Layer": "conv1", "Runs": "4,5,7"}),
    "difference": ("WeightBoxes", True, {"Runs": "2,8", "Difference": 1, "Detail": "image"}),
    "images": ("WeightImages", True, {"Runs": "1,7"}),
    "groups": ("FilterGroups", True, {"Layer": "conv1", "Runs": "0,4,5,8"}),
    "pairs": ("RunSimilarity", True, {"Layer": "conv1"}),
    "pairs by CKA": ("RunSimilarity", False, {"Measure": "cka", "Runs": "1-7"}),
    "pairs matched": ("RunSimilarity", True, {"Measure": "matched"}),
    "layout": ("EnsembleSimilarityPlot", True, {}),
    "layout by CKA": ("EnsembleSimilarityPlot", True, {"Measure": "cka", "Method": "pca"}),
    "counts": ("FilterCorrelationGraph", True, {"Layer": "conv1"}),
    "counts for any threshold": ("FilterCorrelationGraph", True, {"Threshold": 0.4321}),
    "paths": ("WeightTrajectory", True, {"Runs": "0-6"}),
    "two weights": ("WeightTrajectory", True, {"Projection": "two weights", "Weights": [1, 7]}),
    "units": ("WeightTrajectory", True, {"Projection": "hidden units", "Runs": "6"}),
    "diagnostics": ("TrainingDiagnostics", True, {"Layer": "conv1"}),
    "norms": ("NormGraph", False, {}),
    "heat map": ("PerformanceHeatMap", False, {}),
    "lines": ("ParallelCoordinates", False, {}),
    "density": ("ParallelCoordinates", False, {"DensityAbove": 3}),
    "curves": ("LossAccuracyGraph", False, {}),
}
"""Proxy, whether the tensors are connected, and properties."""

CLIENT = """
import inspect
inspect.getargspec = getattr(inspect, "getargspec", inspect.getfullargspec)
from paraview import simple
host, port = arguments["address"].split(":")
simple.Connect(host, int(port))
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

SEVERAL = """
import inspect, shutil
inspect.getargspec = getattr(inspect, "getargspec", inspect.getfullargspec)
from paraview import servermanager, simple
from vtkmodules.util.numpy_support import vtk_to_numpy
host, port = arguments["address"].split(":")
simple.Connect(host, int(port))
simple.LoadPlugin(arguments["plugin"], remote=True, ns=globals())
reader = EnsembleReader(FileName=arguments["path"])
reader.UpdatePipelineInformation()
reader.Layers = ["conv1", "conv2"]
tensors = simple.OutputPort(reader, 1)
pairs = RunSimilarity(Input=reader, Tensors=tensors, Layer="conv1")
counts = FilterCorrelationGraph(Input=reader, Tensors=tensors, Layer="conv1")

def array(source, name):
    source.UpdatePipeline(30)
    return vtk_to_numpy(servermanager.Fetch(source).GetCellData().GetArray(name)).tolist()

result["before"] = [array(pairs, "similarity"), array(counts, "high_correlations")]
result["cells"] = tensors.GetDataInformation().GetNumberOfCells()
shutil.copytree(arguments["longer"] + ".d", arguments["path"] + ".d", dirs_exist_ok=True)
result["unasked"] = array(counts, "high_correlations")
reader.InvokeCommand("Refresh")
reader.UpdatePipelineInformation()
result["after"] = [array(pairs, "similarity"), array(counts, "high_correlations")]
result["times"] = list(reader.TimestepValues)
view = simple.CreateRenderView()
view.ViewSize = [200, 150]
boxes = WeightBoxes(Input=reader, Tensors=tensors, Detail="image")
for sources in ([simple.OutputPort(boxes, 2), simple.OutputPort(boxes, 1), tensors], [pairs]):
    simple.HideAll(view)
    for source in sources:
        simple.Show(source, view)
    simple.ResetCamera(view)
    for time in (0, 30, 10):
        view.ViewTime = time
        simple.Render(view)
simple.SelectSurfaceCells(Rectangle=[0, 0, 200, 150], View=view)
nodes = pairs.GetSelectionInput(0).Input
result["picked"] = [int(i) for node in nodes for i in node.IDs]
result["image"] = simple.OutputPort(boxes, 2).GetDataInformation().GetNumberOfCells()
with messages() as caught:
    pairs.Threshold = 7
    pairs.UpdatePipeline(10)
result["error"] = caught.text
"""


def mpi(n_ranks: int) -> dict:
    """Return the command that starts several ranks, and its environment; skip without MPI."""
    if shutil.which("mpirun") is None:
        pytest.skip("needs mpirun")
    command = ["mpirun", "--oversubscribe", "-np", str(n_ranks)]
    return {"command": command, "env": {**environment(), **OF_RANKS}}


def run_script(name: str, n_ranks: int, *, is_symmetric: bool = True, **arguments) -> str:
    """Run a script of this folder in pvbatch of some ranks, and return what it printed."""
    command, env = [require_paraview("pvbatch")], environment()
    if n_ranks > 1:
        ranks = mpi(n_ranks)
        env = ranks["env"]
        command = [*ranks["command"], *command, *["--sym"] * is_symmetric]
    command += [HERE / name, json.dumps({k: str(v) for k, v in arguments.items()})]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with started(command, env=env, **options) as process:
        output, _ = process.communicate(timeout=200)
    assert process.returncode == 0, output
    return output


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory):
    return make_parallel(tmp_path_factory.mktemp("parallel") / "small.pvens")


@pytest.fixture(scope="module")
def alone(ensemble, tmp_path_factory):
    """What one process makes of every case."""
    return outputs(ensemble, tmp_path_factory.mktemp("alone"), 1)


def outputs(ensemble, folder, n_ranks: int, **options) -> list[dict]:
    """Return the arrays of every case, of each rank that runs the script."""
    cases = folder / "cases.json"
    cases.write_text(json.dumps(CASES))
    arguments = {"path": ensemble, "cases": cases, "folder": folder}
    said = run_script("parallel_script.py", n_ranks, **arguments, **options)
    assert "ERR" not in said, said
    return [dict(np.load(file)) for file in sorted(folder.glob("rank*.npz"))]


def assert_same(found: dict, expected: dict) -> None:
    """Compare the arrays of all cases."""
    assert found.keys() == expected.keys()
    assert {name.split(" at ")[0] for name in found} == {"runs", *CASES}
    for name, values in expected.items():
        if values.dtype.kind == "f":
            np.testing.assert_allclose(found[name], values, rtol=1e-5, atol=1e-6, err_msg=name)
        else:
            np.testing.assert_array_equal(found[name], values, err_msg=name)


def held(folder: Path) -> list[dict]:
    """Return the volumes that each rank holds in the end, by name."""
    return [json.loads(file.read_text()) for file in sorted(folder.glob("rank*.json"))]


def test_two_ranks_give_what_one_gives(ensemble, alone, tmp_path):
    first, second = outputs(ensemble, tmp_path, 2)
    assert_same(first, alone[0])
    left = {name for name in second if "dimensions" not in name}
    assert not left  # views and selections find all cells in the first process
    shares = [held(tmp_path)[rank] for rank in range(2)]
    for k, members in enumerate(MEMBERS):
        volumes = [share.get(f"g00{k}/conv1.weight", {"runs": []}) for share in shares]
        half = -(-len(members) // 2)
        assert [v["runs"] for v in volumes] == [[*members[:half]], [*members[half:]]]
    assert shares[1]["g000/conv1.weight"]["extent"][4:] == [3, 5]  # above those of the first
    assert "g000/probe.image" in shares[0]
    assert "g000/probe.image" not in shares[1]


@pytest.mark.slow
def test_ranks_that_hold_their_own_runs_already(ensemble, alone, tmp_path):
    first, _ = outputs(ensemble, tmp_path, 2, own=True)
    assert_same(first, alone[0])
    for rank, share in enumerate(held(tmp_path)):
        here = [sorted(v["runs"]) for name, v in share.items() if name.endswith("/conv1.weight")]
        expected = [[run for run in runs if run % 2 != rank] for runs in MEMBERS]
        assert here == [runs for runs in expected if runs]


@pytest.mark.slow
@pytest.mark.parametrize(("n_ranks", "is_symmetric"), [(3, True), (2, False)])
def test_any_number_of_ranks_gives_what_one_gives(ensemble, alone, tmp_path, n_ranks, is_symmetric):
    found = outputs(ensemble, tmp_path, n_ranks, is_symmetric=is_symmetric)
    assert len(found) == (n_ranks if is_symmetric else 1)
    assert_same(found[0], alone[0])


def test_what_fails_in_one_rank_is_said_by_all_and_nothing_waits(ensemble, tmp_path):
    others = tmp_path / "others" / ensemble.name
    shutil.copytree(ensemble.with_suffix(".pvens.d"), others.with_suffix(".pvens.d"))
    shutil.copy(ensemble, others)
    damaged = others.with_suffix(".pvens.d") / "g000" / "conv1.correlation" / "s000020.vtkhdf"
    content = bytearray(damaged.read_bytes())
    content[-20] ^= 1
    damaged.write_bytes(content)
    run_script("parallel_errors.py", 2, whole=ensemble, others=others, folder=tmp_path)
    first, second = (json.loads((tmp_path / f"said{rank}.json").read_text()) for rank in range(2))
    for name, words in {
        "file damaged on one": f"on rank 1 of 2: {damaged}: its content is damaged",
        "option": "Threshold must lie between 0 and 1 (of |r|), got 7",
        "layer": "the tensors hold no correlation of layer 'conv7'",
        "bug on one": "ZeroDivisionError",
        "file missing on all": "not-there.pvens: there is no such ensemble",
        "file missing on one": "on rank 1 of 2: ",
    }.items():
        assert words in "".join(first[name]["errors"])
        assert words in "".join(second[name]["errors"])
        assert first[name]["cells"] == second[name]["cells"] == 0
        assert first[name]["shown"]
        assert not second[name]["shown"]  # once is enough
    for name in ("repaired", "repaired again", "repaired at last", "file chosen"):
        assert first[name] == {"errors": ["", ""], "cells": N_RUNS**2, "shown": False}
        assert second[name] == {"errors": ["", ""], "cells": 0, "shown": False}


@pytest.mark.slow
def test_a_server_of_two_ranks(ensemble, alone, tmp_path, repository):
    shorter = make_parallel(tmp_path / "shorter.pvens", last=20)
    with pvserver(tmp_path, n_ranks=2, config="") as address:
        found = run_in_paraview(
            SEVERAL,
            tmp_path,
            address=address,
            path=str(shorter),
            longer=str(ensemble),
            plugin=str(repository / "pvplugins" / "pvensemble_plugin.py"),
        )
    assert found["unasked"] == found["before"][1]
    assert found["times"] == [0.0, 10.0, 20.0, 30.0]
    assert found["before"] != found["after"]
    for values, name in zip(found["after"], ("pairs", "counts")):
        array = {"pairs": "similarity", "counts": "high_correlations"}[name]
        np.testing.assert_allclose(values, alone[0][f"{name} at 30 port 0 CellData {array}"])
    of_a_run = {w: 2 * (2 * 18 * w + w**2 + 50 * w + 32 + w) for w in WIDTHS}
    numbers = sum(len(runs) * of_a_run[w] for runs, w in zip(MEMBERS, WIDTHS))
    assert found["cells"] == numbers + 98 * len(MEMBERS)  # each once, in one of the processes
    assert found["image"] > 0
    assert set(found["picked"][::2]) == {0}  # process 0 has all
    assert sorted(found["picked"][1::2]) == list(range(N_RUNS**2))
    assert "Threshold must lie between 0 and 1" in found["error"]


@pytest.mark.slow
def test_the_plugin_can_be_loaded_on_a_server_by_hand(truth, tmp_path, repository):
    require_paraview("pvserver")
    with pvserver(tmp_path, config="") as address:
        found = run_in_paraview(
            CLIENT,
            tmp_path,
            address=address,
            path=str(truth.path),
            plugin=str(repository / "pvplugins" / "pvensemble_plugin.py"),
        )
    assert found["times"] == [0.0, 50.0, 100.0]
    assert found["cells"] == 25
    assert found["best"] == pytest.approx(0.96, abs=0.01)
    assert "Performance Measures: interval [1000, 100]" in found["error"]
