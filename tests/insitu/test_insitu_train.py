"""``pvensemble train --insitu``: ParaView in a plain Python process that trains."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
from insitu_cases import STEPS, train
from training_cases import differences, everything

from pvensemble.store import Ensemble
from pvensemble.store.table import cell_text

pytestmark = pytest.mark.paraview

PROBE = '''
"""Notes what it is given."""
import json
from pathlib import Path
from paraview import catalyst, simple as pv
from pvensemble.insitu.settings import settings
from pvensemble.vtkdata.blueprint import as_runs, as_tensors

OPTIONS = {"word": ("none", "any word")}
DRAWS = False
options = catalyst.Options()
runs = pv.TrivialProducer(registrationName="runs")
tensors = pv.TrivialProducer(registrationName="tensors")
reader = pv.EnsembleReader(registrationName="reader", FileName="/gone/other.pvens")

def catalyst_execute(info):
    found = {"step": info.timestep, "word": settings()["word"], "last": settings().last_step}
    runs.UpdatePipeline(info.time)
    tensors.UpdatePipeline(info.time)
    reader.UpdatePipeline(info.time)
    data = as_runs(runs.GetClientSideObject().GetOutputDataObject(0))
    accuracy = data.GetCellData().GetArray("validation_accuracy")
    found["accuracy"] = [accuracy.GetValue(i) for i in range(data.GetNumberOfCells())]
    blocks = as_tensors(tensors.GetClientSideObject().GetOutputDataObject(0))
    found["blocks"] = {
        blocks.GetMetaData(i).Get(blocks.NAME()):
            int(blocks.GetBlock(i).GetFieldData().GetArray("step").GetValue(0))
        for i in range(blocks.GetNumberOfBlocks())
    }
    own = reader.GetClientSideObject().GetOutputDataObject(0).GetCellData()
    found["own"] = [own.GetArray("validation_accuracy").GetValue(i) for i in range(4)]
    found["times"] = list(reader.TimestepValues) if len(reader.TimestepValues) else []
    with (Path.cwd() / "seen.jsonl").open("a") as file:
        file.write(json.dumps(found) + "\\n")

def catalyst_finalize():
    (Path.cwd() / "finalized").touch()
'''
BOXES = """
from paraview import catalyst, simple as pv
options = catalyst.Options()
boxes = pv.WeightBoxes(Input=pv.EnsembleReader(FileName="any.pvens"), Layer="conv9")
def catalyst_execute(info):
    boxes.UpdatePipeline(info.time)
"""
FAILING = """
from paraview import catalyst
options = catalyst.Options()
def catalyst_execute(info):
    if info.timestep == 10:
        raise ValueError("planted\\n  in two lines")
"""


def script(folder: Path, name: str, text: str) -> str:
    (folder / name).write_text(text)
    return name


def seen(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "seen.jsonl").read_text().splitlines()]


def rows(file: Path) -> list[dict]:
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_extracts_hold_what_the_store_holds(tmp_path, plain):
    done = train(tmp_path, "--insitu", "extracts:plots=LossAccuracyGraph")
    assert done.returncode == 0, done.stderr
    assert "in situ" not in done.stderr
    check_extracts(tmp_path)
    assert differences(everything(tmp_path / "e.pvens"), plain) == []


def check_extracts(path: Path) -> None:
    """Compare the extracts of a training at ``path / "e.pvens"`` with what it stored."""
    folder = path / "e.insitu" / "extracts"
    ensemble = Ensemble.open(path / "e.pvens")
    assert [int(row["timestep"]) for row in rows(folder / "data.csv")] == [0, 10, 20]
    for row in rows(folder / "data.csv"):
        step = int(row["timestep"])
        table = rows(folder / row["FILE_table"])
        assert [r["run_id"] for r in table] == ensemble.run_table()["run_id"].tolist()
        for metric in ("train_loss", "validation_accuracy", "weight_norm:conv1.weight"):
            curve = ensemble.curve(metric)
            expected = curve.values[:, list(curve.steps).index(step)]
            assert [r[metric] for r in table] == [cell_text(v) for v in expected]
        assert {r["state"] for r in table} == {"COMPLETE" if step == 20 else "RUNNING"}
        for name in ("FILE_runs", "FILE_LossAccuracyGraph"):
            assert cells(folder / row[name]) > 0


def cells(file: Path) -> int:
    from vtkmodules.vtkIOXML import vtkXMLPolyDataReader

    reader = vtkXMLPolyDataReader()
    reader.SetFileName(str(file))
    reader.Update()
    return reader.GetOutput().GetNumberOfCells()


def test_a_script_sees_both_channels_and_its_readers_show_the_training(tmp_path, plain):
    name = script(tmp_path, "probe.py", PROBE)
    done = train(tmp_path, "--insitu", f"{name}:every=4,tensors=yes,word=a,b", "--workers", 2)
    assert done.returncode == 0, done.stderr
    assert "in situ" not in done.stderr
    ensemble = Ensemble.open(tmp_path / "e.pvens")
    accuracy = ensemble.curve("validation_accuracy")
    found = seen(tmp_path)
    assert [f["step"] for f in found] == [0, 4, 8, 12, 16, 20]
    for f in found:
        at = max(i for i, s in enumerate(STEPS) if s <= f["step"])
        np.testing.assert_array_equal(f["accuracy"], accuracy.values[:, at])
        assert f["own"] == f["accuracy"]
        assert (f["word"], f["last"]) == ("a,b", 20)
        assert {name.split("/")[0] for name in f["blocks"]} == {"g000", "g001"}
        f["blocks"].pop("g000/probe.image", None)  # recorded once, at the first step
        f["blocks"].pop("g001/probe.image", None)
        assert {*f["blocks"].values()} == {f["step"]}
        assert f["step"] in f["times"]
    assert len(found[0]["blocks"]) == 20
    assert (tmp_path / "finalized").exists()
    assert ensemble.recorded_steps == [0, 10, 20]
    assert differences(everything(tmp_path / "e.pvens"), plain) == []


def test_a_script_that_fails_is_switched_off_and_the_others_go_on(tmp_path, plain):
    script(tmp_path, "failing.py", FAILING)
    script(tmp_path, "broken.py", "import gone_module\n")
    script(tmp_path, "boxes.py", BOXES)
    name = script(tmp_path, "probe.py", PROBE)
    texts = [
        "failing.py:every=5",
        f"{name}:every=5",
        "broken.py:every=5",
        "boxes.py",
        f"{name}:when=validation_acuracy>0,word=b",
    ]
    done = train(tmp_path, *(f"--insitu={text}" for text in texts))
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stderr.splitlines() if "in situ" in line]
    (boxes,) = (line for line in lines if "'boxes'" in line)  # said once
    assert boxes.startswith("in situ pipeline 'boxes' at step 0: Weight Boxes: ")
    assert "conv9" in boxes
    assert sorted(lines) == [
        boxes,
        "in situ pipeline 'broken' failed at step 0 and is switched off: ModuleNotFoundError: "
        "No module named 'gone_module' (broken.py, line 1)",
        "in situ pipeline 'failing' failed at step 10 and is switched off: ValueError: planted in "
        "two lines (failing.py, line 6)",
        "in situ pipeline 'probe-2' is switched off: when: expression 'validation_acuracy>0': "
        "there is no column 'validation_acuracy'; did you mean 'validation_accuracy'?",
    ]
    assert "Traceback" not in done.stderr
    assert [(f["step"], f["word"]) for f in seen(tmp_path)] == [(step, "none") for step in STEPS]
    assert differences(everything(tmp_path / "e.pvens"), plain) == []


def test_a_condition_fires_as_it_becomes_true(tmp_path):
    name = script(tmp_path, "probe.py", PROBE)
    done = train(tmp_path, f"--insitu={name}:when=max(validation_accuracy)>0")
    assert done.returncode == 0, done.stderr
    assert [f["step"] for f in seen(tmp_path)] == [0]


def test_resumed_with_other_pipelines(tmp_path):
    done = train(tmp_path, "--insitu", "extracts:every=3")
    assert done.returncode == 0, done.stderr
    again = train(tmp_path, "--insitu", "extracts:every=7", "--resume")
    assert again.returncode == 0, again.stderr
    index = rows(tmp_path / "e.insitu" / "extracts" / "data.csv")
    assert [int(row["timestep"]) for row in index] == [0, 3, 6, 9, 12, 15, 18, 20]


def test_the_example_of_the_documentation_works(tmp_path, repository):
    text = (repository / "docs" / "insitu.md").read_text()
    (example,) = re.findall(r"^```python\n(.*?)^```", text, flags=re.M | re.S)
    name = script(tmp_path, "measures.py", example)
    done = train(tmp_path, "--insitu", f"{name}:p1=5")
    assert done.returncode == 0, done.stderr
    assert "in situ" not in done.stderr
    table = rows(tmp_path / "e.insitu" / "measures" / "measures_000020.csv")
    curve = Ensemble.open(tmp_path / "e.pvens").curve("validation_accuracy")
    expected = curve.values[:, list(curve.steps).index(5)]
    np.testing.assert_allclose([float(row["P1"]) for row in table], expected, atol=1e-5)
