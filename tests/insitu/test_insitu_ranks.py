"""Several MPI ranks train one ensemble and run pipelines together."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from insitu_cases import train
from test_insitu_train import FAILING, rows, script
from training_cases import everything

from pvensemble.store import Ensemble
from pvensemble.store.table import cell_text

pytestmark = [
    pytest.mark.paraview,
    pytest.mark.skipif(shutil.which("mpiexec") is None, reason="needs mpiexec"),
]
PVBATCH = ("pvbatch", "--sym", "--", "train")
ENV = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}

PROBE = """
import json
from paraview import catalyst, simple as pv
from vtkmodules.vtkParallelCore import vtkMultiProcessController

DRAWS = False
options = catalyst.Options()
runs = pv.TrivialProducer(registrationName="runs")
tensors = pv.TrivialProducer(registrationName="tensors")
reader = pv.EnsembleReader(FileName="/gone/other.pvens", Layers=["conv2"])
similarity = pv.RunSimilarity(Input=reader, Layer="conv2")
rank = vtkMultiProcessController.GetGlobalController().GetLocalProcessId()

def output(source, time):
    source.UpdatePipeline(time)
    return source.GetClientSideObject().GetOutputDataObject(0)

def catalyst_execute(info):
    table, blocks = output(runs, info.time), output(tensors, info.time)
    pairs = output(similarity, info.time)
    array = pairs.GetCellData().GetArray("similarity")
    found = {
        "step": info.timestep,
        "n_runs": table.GetNumberOfCells(),
        "held": [
            blocks.GetMetaData(i).Get(blocks.NAME()).split("/")[0]
            for i in range(blocks.GetNumberOfBlocks())
            if blocks.GetBlock(i) and blocks.GetBlock(i).GetCellData().HasArray("correlation")
        ],
        "similarity": [array.GetValue(i) for i in range(pairs.GetNumberOfCells())] if array else [],
    }
    with open(f"rank{rank}.jsonl", "a") as file:
        file.write(json.dumps(found) + "\\n")
"""
ONE_FAILS = """
from paraview import catalyst, simple as pv
from vtkmodules.vtkParallelCore import vtkMultiProcessController

DRAWS = False
options = catalyst.Options()
controller = vtkMultiProcessController.GetGlobalController()

def catalyst_execute(info):
    if info.timestep == 10 and controller.GetLocalProcessId() == 1:
        raise ValueError("planted")
    if info.timestep == 10 and WAIT:
        controller.Barrier()
"""


def train_on(
    n: int, folder: Path, *arguments: object, program: tuple = PVBATCH, timeout: float = 150
):
    before = ("mpiexec", "--oversubscribe", "-n", str(n))
    arguments = ("--workers", 0, *arguments)
    return train(folder, *arguments, program=program, before=before, env=ENV, timeout=timeout)


def seen(folder: Path, rank: int) -> list[dict]:
    return [json.loads(line) for line in (folder / f"rank{rank}.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> Path:
    """Folder of a training on one rank with the same script."""
    folder = tmp_path_factory.mktemp("alone")
    name = script(folder, "probe.py", PROBE)
    done = train(folder, "--insitu", f"{name}:every=5,tensors=yes", program=PVBATCH)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("n", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_ranks_run_pipelines_together_and_share_what_they_hold(tmp_path, alone, n):
    name = script(tmp_path, "probe.py", PROBE)
    off = script(tmp_path, "one_fails.py", "WAIT = False" + ONE_FAILS)
    plots = "extracts:every=5,plots=ParallelCoordinates"  # all ranks have to update a plot
    script(tmp_path, "failing.py", FAILING)  # in the process that draws
    arguments = [f"{name}:every=5,tensors=yes", plots, off, "failing.py:every=5"]
    done = train_on(n, tmp_path, *(f"--insitu={text}" for text in arguments))
    assert done.returncode == 0, done.stderr
    assert sorted(line for line in done.stderr.splitlines() if "in situ" in line) == [
        "in situ pipeline 'failing' failed at step 10 and is switched off: ValueError: planted in "
        "two lines (failing.py, line 6)",
        "in situ pipeline 'one_fails' failed at step 10 and is switched off: rank 1: ValueError: "
        "planted (one_fails.py, line 11)",
    ]
    ensemble = Ensemble.open(tmp_path / "e.pvens")
    there = seen(alone, 0)
    ranks = [seen(tmp_path, rank) for rank in range(n)]
    for at, expected in zip(zip(*ranks), there):
        assert {found["step"] for found in at} == {expected["step"]}
        assert [found["n_runs"] for found in at] == [4] + [0] * (n - 1)
        held = [{*found["held"]} for found in at]
        assert all(held)
        assert sorted(name for names in held for name in names) == [g.name for g in ensemble.groups]
        np.testing.assert_allclose(at[0]["similarity"], expected["similarity"], atol=1e-6)
    assert [found["step"] for found in ranks[0]] == [0, 5, 10, 15, 20]
    assert len(there) == 5
    folder = tmp_path / "e.insitu" / "extracts"
    for row in rows(folder / "data.csv"):
        assert (folder / row["FILE_ParallelCoordinates"]).stat().st_size > 0
        table = rows(folder / row["FILE_table"])
        loss = ensemble.curve("train_loss").values[:, int(row["timestep"])]
        assert [r["train_loss"] for r in table] == [cell_text(v) for v in loss]
    both = everything(tmp_path / "e.pvens"), everything(alone / "e.pvens")
    for key in ("table run_id", "table state", "values train_loss", "values validation_accuracy"):
        np.testing.assert_array_equal(*(stored[key] for stored in both))


@pytest.mark.slow
def test_a_rank_that_fails_alone_in_the_midst_of_a_pipeline_ends_the_job(tmp_path):
    name = script(tmp_path, "one_fails.py", "WAIT = True" + ONE_FAILS)
    done = train_on(2, tmp_path, "--insitu", name)
    assert done.returncode == 2, done.stderr
    assert (
        "[rank 1] pvensemble: a pipeline failed on rank 1 alone, and the other ranks wait for it: "
        "ValueError: planted" in done.stderr
    )
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_plain_python_under_mpiexec(tmp_path):
    done = train_on(2, tmp_path, "--insitu", "extracts", program=("train",))
    assert done.returncode == 0, done.stderr
    table = rows(tmp_path / "e.insitu" / "extracts" / "runs_000020.csv")
    assert {row["state"] for row in table} == {"COMPLETE"}
    assert len(table) == 4
