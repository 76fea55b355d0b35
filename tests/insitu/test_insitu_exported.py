"""A script that the window has exported with Save Catalyst State runs as it is."""

from __future__ import annotations

import subprocess

import numpy as np
import pytest
from ensembles import make_ensemble
from insitu_cases import picture, train
from test_insitu_train import rows

from pvensemble.launcher import environment, find_paraview
from pvensemble.launcher.display import virtual_screen
from pvensemble.store import Ensemble

EXPORT = """
import sys
from paraview import simple as pv
from paraview.catalyst import Options
from paraview.detail.catalyst_export import save_catalyst_state  # as File > Save Catalyst State

reader = pv.EnsembleReader(registrationName="other.pvens", FileName=sys.argv[1])
view = pv.CreateView("RenderView")
view.ViewSize = [400, 300]
pv.CreateLayout("Layout #1").AssignView(0, view)
pv.SetActiveView(view)
graph = pv.LossAccuracyGraph(registrationName="Graph", Input=reader)
for port in range(3):
    pv.Show(pv.OutputPort(graph, port), view)
pv.ResetCamera(view)
png = pv.CreateExtractor("PNG", view, registrationName="PNG1")
png.Writer.FileName = "graph_{timestep:06d}{camera}.png"
csv = pv.CreateExtractor("CSV", reader, registrationName="CSV1")
csv.Writer.FileName = "runs_{timestep:06d}.csv"
csv.Writer.FieldAssociation = "Cell Data"
csv.Writer.Precision = 17
csv.Writer.UseScientificNotation = 1
options = Options()
options.ExtractsOutputDirectory = "exported"
save_catalyst_state(sys.argv[2], options)
"""


@pytest.mark.paraview
def test_an_exported_script_shows_the_training_instead_of_its_file(tmp_path):
    truth = make_ensemble(tmp_path / "other.pvens", n_lr=3, n_momentum=2, sessions=2)
    (tmp_path / "export.py").write_text(EXPORT)
    exported = tmp_path / "exported.py"
    with virtual_screen((800, 600)) as screen:
        subprocess.run(
            [find_paraview("pvpython"), tmp_path / "export.py", truth.path, exported],
            env={**environment(), **screen},
            stdin=subprocess.DEVNULL,
            check=True,
            timeout=120,
        )
    text = exported.read_text()
    assert text.startswith("# script-version: 2.0")
    assert f"EnsembleReader(registrationName='other.pvens', FileName='{truth.path}')" in text
    done = train(tmp_path, "--insitu", "exported.py")
    assert done.returncode == 0, done.stderr
    assert "in situ" not in done.stderr
    folder = tmp_path / "exported"
    ensemble = Ensemble.open(tmp_path / "e.pvens")
    accuracy = ensemble.curve("validation_accuracy")
    for step in (0, 10, 20):
        table = rows(folder / f"runs_{step:06d}.csv")
        assert [row["run_id"] for row in table] == ensemble.run_table()["run_id"].tolist()
        expected = accuracy.values[:, list(accuracy.steps).index(step)]
        np.testing.assert_array_equal([float(r["validation_accuracy"]) for r in table], expected)
    first, last = (picture(folder / f"graph_{step:06d}.png") for step in (0, 20))
    assert len(np.unique(last.reshape(-1, 3), axis=0)) > 50
    assert (first != last).any()
