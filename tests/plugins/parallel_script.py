"""Update every filter, and keep what each process has of it: run by pvbatch, see test_parallel."""

import json
import sys
from pathlib import Path

import numpy as np
from paraview import simple
from vtkmodules.util.numpy_support import vtk_to_numpy
from vtkmodules.vtkCommonCore import vtkStringArray
from vtkmodules.vtkCommonDataModel import vtkCompositeDataSet
from vtkmodules.vtkParallelCore import vtkMultiProcessController

arguments = json.loads(sys.argv[1])
controller = vtkMultiProcessController.GetGlobalController()
rank = controller.GetLocalProcessId()
arrays = {}


def kept(name, data):
    """Keep points, cells and arrays of a data set."""
    if data.IsA("vtkPolyData"):
        if data.GetNumberOfPoints():
            arrays[f"{name} points"] = vtk_to_numpy(data.GetPoints().GetData())
        for what in ("Verts", "Lines", "Polys", "Strips"):
            cells = getattr(data, f"Get{what}")()
            for part in ("Offsets", "Connectivity") if cells.GetNumberOfCells() else ():
                arrays[f"{name} {what} {part}"] = vtk_to_numpy(getattr(cells, f"Get{part}Array")())
    if data.IsA("vtkImageData"):
        arrays[f"{name} dimensions"] = np.array(data.GetDimensions())
    for kind in ("GetRowData",) if data.IsA("vtkTable") else ("GetCellData", "GetPointData"):
        of_data = getattr(data, kind)()
        for k in range(of_data.GetNumberOfArrays()):
            array = of_data.GetAbstractArray(k)
            if isinstance(array, vtkStringArray):
                values = np.array([array.GetValue(i) for i in range(array.GetNumberOfValues())])
            else:
                values = vtk_to_numpy(array)
            if values.size:
                arrays[f"{name} {kind[3:]} {array.GetName()}"] = values


def updated(name, proxy, times=(30, 10)):
    """Update at some times, and keep all outputs of each."""
    for time in times:
        for port in range(proxy.SMProxy.GetNumberOfOutputPorts()):
            proxy.SMProxy.UpdatePipeline(time)
            algorithm = proxy.GetClientSideObject()
            kept(f"{name} at {time} port {port}", algorithm.GetOutputDataObject(port))


def slices(tensors):
    """Number of slices and bytes of each volume that this process holds."""
    found = {}
    for k in range(tensors.GetNumberOfBlocks()):
        block = tensors.GetBlock(k)
        if block is not None:
            runs = block.GetFieldData().GetArray("run_index")
            name = tensors.GetMetaData(k).Get(vtkCompositeDataSet.NAME())
            runs = None if runs is None else vtk_to_numpy(runs).tolist()
            found[name] = {"runs": runs, "extent": block.GetExtent()}
    return found


def hold_own_runs():
    """Let readers find an ensemble of which each process holds every so manieth run, as in situ."""
    from pvensemble.filters._sources import use_source
    from pvensemble.store import Ensemble

    size = controller.GetNumberOfProcesses()

    class OwnGroup:
        def __init__(self, group):
            self._group, self._kept = group, group.run_indices % size == size - 1 - rank
            self.run_indices = group.run_indices[self._kept]

        def __getattr__(self, name):
            return getattr(self._group, name)

        def tensor(self, layer, kind, step):
            stack = self._group.tensor(layer, kind, step)
            return stack if layer == "probe" else stack[self._kept]

    class OwnRuns:
        distributed = True

        def __init__(self, path):
            self._ensemble = Ensemble.open(path)
            groups = [OwnGroup(group) for group in self._ensemble.groups]
            self.groups = [group for group in groups if len(group.run_indices)]

        def __getattr__(self, name):
            return getattr(self._ensemble, name)

    use_source(OwnRuns)


if arguments.get("own"):
    hold_own_runs()
CASES = json.loads(Path(arguments["cases"]).read_text())
reader = simple.EnsembleReader(FileName=arguments["path"])
reader.UpdatePipelineInformation()
reader.Layers = ["conv1", "conv2"]
runs = simple.RunGroups(Input=simple.PerformanceMeasures(Input=reader), Groups="few : top 3 P1")
tensors = simple.OutputPort(reader, 1)
updated("runs", runs)
for name, (kind, is_connected, options) in CASES.items():
    given = {"Tensors": tensors} if is_connected else {}
    proxy = getattr(simple, kind)(Input=runs, **given)
    for option, value in options.items():
        setattr(proxy, option, value)
    updated(name, proxy)
held = slices(reader.GetClientSideObject().GetOutputDataObject(1))
folder = Path(arguments["folder"])
np.savez(folder / f"rank{rank}.npz", **arrays)
(folder / f"rank{rank}.json").write_text(json.dumps(held))
