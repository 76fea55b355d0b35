"""Runs in pvpython: reopens the state file and loads the scene file as File > Load State does.

Arguments: ensemble, scene file, state file, file for the answers.
"""

import json
import runpy
import sys
from pathlib import Path

from paraview import simple

from pvensemble.views import attach
from pvensemble.views.link import LINK_PREFIX
from pvensemble.views.pipeline import find
from pvensemble.views.selection import select_cells, selected_cells

ensemble, scene, state, file = sys.argv[1:]
answers = {}


def look():
    graph = find("LossAccuracyGraph")[0]
    select_cells(find("PerformanceHeatMap")[0], [3, 5])
    manager = simple.servermanager.ProxyManager().SMProxyManager
    links = [manager.GetLinkName(k) for k in range(manager.GetNumberOfLinks())]
    return {
        "selected": selected_cells(find("ParallelCoordinates")[0]).tolist(),
        "graph": graph.Runs,
        "file": find("EnsembleReader")[0].FileName,
        "views": sorted(v.SMProxy.GetXMLName() for v in simple.GetViews()),
        "links": len([n for n in links if n.startswith(LINK_PREFIX)]),
        "layouts": sorted(
            name for name, _ in simple.servermanager.ProxyManager().GetProxiesInGroup("layouts")
        ),
    }


attach.attach_to_loaded_states()
simple.LoadState(state, data_directory=str(Path(ensemble).parent))
answers["pvsm"] = look()
simple.SaveScreenshot(file + ".png", simple.GetLayoutByName("Performance"))

attach.detach()
simple.ResetSession()
try:
    runpy.run_path(scene, run_name="__main__")
except Exception as error:
    answers["without an ensemble"] = str(error)
simple.EnsembleReader(registrationName="mine", FileName=ensemble)
runpy.run_path(scene, run_name="__main__")
answers["py"] = look()
Path(file).write_text(json.dumps(answers))
