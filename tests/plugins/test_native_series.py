"""ParaView's own reader opens a recorded time series, without our plugin, with identical values."""

from __future__ import annotations

import os

import numpy as np
import pytest
from paraview_process import require_paraview, run_in_paraview

from pvensemble.launcher.find import paraview_version
from pvensemble.store import Ensemble

READ = """
from paraview import servermanager, simple
from vtkmodules.util.numpy_support import vtk_to_numpy
assert not hasattr(simple, "EnsembleReader"), "the plugin must not help"
reader = simple.OpenDataFile(arguments["series"])
result["times"] = [float(t) for t in reader.TimestepValues]
result["values"] = []
for time in result["times"]:
    reader.UpdatePipeline(time)
    image = servermanager.Fetch(reader)
    x, y, z = (n - 1 for n in image.GetDimensions())
    cells = image.GetCellData()
    array = cells.GetArray(arguments["kind"])
    result["values"].append(vtk_to_numpy(array).reshape(z, y, x).tolist())
"""


@pytest.mark.paraview
@pytest.mark.parametrize("kind", ["weight", "correlation"])
def test_series_opens_without_the_plugin(truth, tmp_path, kind):
    program = require_paraview()
    version = paraview_version(program)
    if version < (5, 12):
        shown = ".".join(map(str, version))
        pytest.skip(f"ParaView {shown} reads no VTKHDF series; scripts/paraview-matrix has a newer")
    group = Ensemble.open(truth.path).groups[0]
    layer = next(x for x in group.layers if kind in x.kinds)
    series = truth.path.with_suffix(".pvens.d") / group.name / f"{layer.name}.{kind}.vtkhdf.series"
    plain = {k: v for k, v in os.environ.items() if not k.startswith(("PV_", "PYTHON"))}
    found = run_in_paraview(READ, tmp_path, env=plain, series=str(series), kind=kind)
    assert found["times"] == group.recorded_steps(layer.name, kind)
    assert len(found["times"]) >= 2
    for step, values in zip(found["times"], found["values"]):
        expected = group.tensor(layer.name, kind, int(step))
        np.testing.assert_array_equal(np.array(values, np.float32), expected)
