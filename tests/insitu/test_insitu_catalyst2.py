"""``--insitu-backend catalyst2``: the same pipelines by Catalyst 2."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from catalyst2_cases import STAND_IN, both, first_on_path, forget, require
from insitu_cases import STEPS, train
from test_insitu_train import FAILING, PROBE, check_extracts, script, seen
from training_cases import differences, everything
from vtkmodules.vtkCommonDataModel import vtkMultiBlockDataSet

from pvensemble.errors import PipelineError, PVEnsembleError
from pvensemble.insitu.catalyst import catalyst2
from pvensemble.launcher import find_paraview
from pvensemble.launcher.find import paraview_version
from pvensemble.store import Ensemble
from pvensemble.vtkdata.runs_output import add_column, vertex_cells

LATE = """
from pathlib import Path
from paraview import catalyst
from pvensemble.insitu.settings import settings

OPTIONS = {"word": ("none", "any word")}  # it draws, so it runs in a process of its own
options = catalyst.Options()

def catalyst_finalize():
    Path("finished").write_text(f"{settings()['word']} {catalyst.get_args()}")
    raise ValueError("late")
"""
BACKEND = ("--insitu-backend", "catalyst2")


def environment_of(modules: str) -> dict[str, str]:
    require(modules)
    if modules == "real":
        return {}
    return {**first_on_path(STAND_IN), "CATALYST_IMPLEMENTATION_NAME": "stand_in"}


def trainings_of(modules: str, pipelines: list[str]) -> list[list[str]]:
    """Return pipelines that can be run together."""
    together = modules == "stand-in" or (
        paraview_version(find_paraview("pvpython")) >= catalyst2.CHOOSES_PIPELINES
    )
    return [pipelines] if together else [[each] for each in pipelines]


@both
@pytest.mark.paraview
def test_pipelines_see_fail_and_finish_as_by_the_bridge(tmp_path, plain, modules):
    env = environment_of(modules)
    script(tmp_path, "probe.py", PROBE)
    script(tmp_path, "failing.py", FAILING)
    script(tmp_path, "late.py", LATE)
    texts = [
        "extracts:plots=LossAccuracyGraph",
        "probe.py:every=5,tensors=yes,word=a,b",
        "failing.py:every=5",
        "late.py:word=mine",
    ]
    lines = []
    for pipelines in trainings_of(modules, texts):
        arguments = [f"--insitu={text}" for text in pipelines]
        (tmp_path / "e.pvens").unlink(missing_ok=True)
        shutil.rmtree(tmp_path / "e.pvens.d", ignore_errors=True)
        done = train(tmp_path, *arguments, *BACKEND, env=env)
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        lines += [line for line in done.stderr.splitlines() if "in situ" in line]
        assert differences(everything(tmp_path / "e.pvens"), plain) == []
    assert lines == [
        "in situ pipeline 'failing' failed at step 10 and is switched off: ValueError: planted in "
        "two lines (failing.py, line 6)",
        "in situ pipeline 'late' at the end: ValueError: late (late.py, line 11)",
    ]
    check_extracts(tmp_path)
    accuracy = Ensemble.open(tmp_path / "e.pvens").curve("validation_accuracy")
    assert [found["step"] for found in seen(tmp_path)] == STEPS
    for at, found in enumerate(seen(tmp_path)):
        np.testing.assert_array_equal(found["accuracy"], accuracy.values[:, at])
        assert found["own"] == found["accuracy"]
        assert (found["word"], found["last"]) == ("a,b", 20)
        found["blocks"].pop("g000/probe.image", None)  # recorded once, at the first step
        found["blocks"].pop("g001/probe.image", None)
        assert {*found["blocks"].values()} == {found["step"]}
        assert len(found["blocks"]) > 10
    assert (tmp_path / "finalized").exists()
    assert (tmp_path / "finished").read_text() == "mine ['late']"


@both
@pytest.mark.paraview
def test_an_implementation_that_is_not_there(tmp_path, modules):
    env = {**environment_of(modules), "CATALYST_IMPLEMENTATION_NAME": "gone"}
    done = train(tmp_path, "--insitu", "extracts", *BACKEND, env=env)
    assert done.returncode == 2
    last = done.stderr.splitlines()[-1]
    assert last.startswith(
        "pvensemble: --insitu-backend catalyst2: Catalyst does not start: catalyst_initialize "
        "failed with status"
    )
    assert "libcatalyst-gone.so in the folders of CATALYST_IMPLEMENTATION_PATHS" in last
    assert not (tmp_path / "e.pvens").exists()


@pytest.mark.paraview
def test_modules_that_are_not_there(tmp_path):
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "catalyst_conduit.py").write_text("import no_such_conduit\n")
    done = train(tmp_path, "--insitu", "extracts", *BACKEND, env=first_on_path(hidden))
    assert done.returncode == 2
    last = done.stderr.splitlines()[-1]
    assert "cannot import no_such_conduit, a part of Kitware's libcatalyst" in last
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "e.pvens").exists()


def test_another_package_of_the_name_catalyst(tmp_path, monkeypatch):
    """PyPI has one."""
    forget()
    (tmp_path / "catalyst.py").touch()
    monkeypatch.syspath_prepend(str(STAND_IN))
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(PVEnsembleError, match=r"catalyst\.py is not Kitware's catalyst"):
        catalyst2.catalyst_modules()
    forget()


def test_a_paraview_that_runs_all_pipelines_at_once_gets_one(monkeypatch):
    monkeypatch.setattr(catalyst2, "version", lambda: (5, 11))
    catalyst2.require_choice(1)
    with pytest.raises(PVEnsembleError, match=r"ParaView 5\.11 runs all .* ParaView 5\.12 or"):
        catalyst2.require_choice(2)
    monkeypatch.setattr(catalyst2, "version", lambda: (5, 12))
    catalyst2.require_choice(2)


def test_an_invalid_mesh_is_a_failure_of_the_pipeline(monkeypatch):
    forget()
    monkeypatch.syspath_prepend(str(STAND_IN))
    conduit = catalyst2.catalyst_modules()[1]
    runs = vertex_cells(3)
    add_column(runs.GetCellData(), "odd", np.arange(2.0))
    with pytest.raises(PipelineError, match=r"Blueprint does not allow it: .*odd: \{2\} values"):
        catalyst2.step_node(conduit, {"runs": runs, "tensors": vtkMultiBlockDataSet()}, 5)
    forget()
