"""``pvensemble pvbatch --sym -- train … --insitu``: the training inside ParaView's own program."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from insitu_cases import train
from test_insitu_train import FAILING, PROBE, rows, script, seen
from training_cases import differences, everything

from pvensemble.errors import ConfigError
from pvensemble.launcher import training

PVBATCH = ("pvbatch", "--sym", "--", "train")


@pytest.mark.paraview
def test_trains_inside_pvbatch_as_in_plain_python(tmp_path, plain):
    script(tmp_path, "failing.py", FAILING)
    name = script(tmp_path, "probe.py", PROBE)
    arguments = ["--insitu", "extracts", "--insitu", f"{name}:every=4", "--insitu", "failing.py"]
    done = train(tmp_path, *arguments, program=PVBATCH)
    assert done.returncode == 0, done.stderr
    assert "e.pvens: complete 4" in done.stdout
    assert [line for line in done.stderr.splitlines() if "in situ" in line] == [
        "in situ pipeline 'failing' failed at step 10 and is switched off: ValueError: planted in "
        "two lines (failing.py, line 6)"
    ]
    assert [f["step"] for f in seen(tmp_path)] == [0, 4, 8, 12, 16, 20]
    index = rows(tmp_path / "e.insitu" / "extracts" / "data.csv")
    assert [int(row["timestep"]) for row in index] == [0, 10, 20]
    assert differences(everything(tmp_path / "e.pvens"), plain) == []


@pytest.mark.paraview
def test_a_mistake_has_one_line_and_status_2(tmp_path):
    done = train(tmp_path, "--insitu", "gone.py", program=PVBATCH)
    assert done.returncode == 2, done.stderr
    assert "pvensemble: --insitu: there is no file 'gone.py'" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "e.pvens").exists()


def test_torch_of_another_python_is_named():
    variables = training.training_variables()
    assert variables[training.PYTHON_VARIABLE] == sys.executable
    assert Path(variables[training.PATH_VARIABLE], "torch").is_dir()
    assert training.mismatch(variables, sys.version_info) == ""
    text = training.mismatch(variables, (3, 9))
    ours = f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert text.startswith("ParaView's Python is 3.9, and torch in ")
    assert f"is for Python {ours}" in text


def test_torch_beside_another_vtk_is_refused(tmp_path, monkeypatch):
    (tmp_path / "vtkmodules").mkdir()
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    with pytest.raises(ConfigError, match="holds torch and PyPI's vtk, which would crash"):
        training.training_variables()
    (tmp_path / "paraview").mkdir()  # a distribution's: ParaView, its VTK and torch side by side
    assert training.training_variables()[training.PATH_VARIABLE] == str(tmp_path)
