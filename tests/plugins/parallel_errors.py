"""Let something fail in one process or in all, and keep what each process says: run by pvbatch."""

import json
import sys
from pathlib import Path

from paraview import simple
from vtkmodules.vtkCommonCore import vtkOutputWindow, vtkStringOutputWindow
from vtkmodules.vtkParallelCore import vtkMultiProcessController

arguments = json.loads(sys.argv[1])
rank = vtkMultiProcessController.GetGlobalController().GetLocalProcessId()
whole, others = arguments["whole"], arguments["others"]
said = {}


def update(name, proxy, time=20):
    """Update, and keep what the algorithms upstream say and how many cells there are."""
    window, before = vtkStringOutputWindow(), vtkOutputWindow.GetInstance()
    vtkOutputWindow.SetInstance(window)
    proxy.UpdatePipeline(time)
    vtkOutputWindow.SetInstance(before)
    errors = [str(p.GetClientSideObject().error or "") for p in (reader, matrix)]
    cells = proxy.GetClientSideObject().GetOutputDataObject(0).GetNumberOfCells()
    shown = "ERROR: " in window.GetOutput().replace("ERROR: In", "")
    said[name] = {"errors": errors, "cells": cells, "shown": shown}


reader = simple.EnsembleReader(FileName=whole if rank == 0 else others)
reader.UpdatePipelineInformation()
reader.Layers = ["conv1", "conv2"]
matrix = simple.RunSimilarity(Input=reader, Tensors=simple.OutputPort(reader, 1))
update("file damaged on one", matrix)
reader.Layers = ["conv2"]
update("repaired", matrix)
matrix.Threshold = 7.0
update("option", matrix)
matrix.Threshold = 0.7
update("repaired again", matrix)
matrix.Layer = "conv7"
update("layer", matrix)
matrix.Layer = "conv2"
if rank == 1:
    algorithm = matrix.GetClientSideObject()
    algorithm.part_products = lambda options, arrays: 1 / 0
matrix.UpperTriangle = 1
update("bug on one", matrix)
matrix.UpperTriangle = 0
if rank == 1:
    del algorithm.part_products
update("repaired at last", matrix)
reader.FileName = whole + ".not-there.pvens"
update("file missing on all", matrix)
reader.FileName = whole if rank == 0 else others + ".not-there.pvens"
update("file missing on one", matrix)
reader.FileName = others if rank == 0 else whole
reader.UpdatePipelineInformation()
update("file chosen", matrix)
(Path(arguments["folder"]) / f"said{rank}.json").write_text(json.dumps(said))
