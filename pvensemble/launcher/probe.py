"""Runs inside ParaView's Python for ``pvensemble doctor``: one line of JSON on stdout.

With the argument ``render`` it also draws a picture, which may crash the process; so the caller
asks for that separately.
"""

import importlib
import inspect
import json
import sys

MARK = "PVENSEMBLE-PROBE "


def modules():
    """Versions of what the plugin imports; None for what is missing."""
    found = {}
    for name in ("numpy", "h5py", "scipy", "sklearn"):
        try:
            found[name] = importlib.import_module(name).__version__
        except ImportError:
            found[name] = None
    return found


def plugin():
    """Whether the plugin has added its reader; ParaView loads it at start."""
    from paraview import servermanager

    return bool(servermanager.ProxyManager().GetPrototypeProxy("sources", "EnsembleReader"))


def rendered():
    """Whether a picture of a cone shows anything but the background."""
    from paraview import simple
    from vtkmodules.util.numpy_support import vtk_to_numpy

    view = simple.CreateView("RenderView")
    view.ViewSize = [64, 64]
    simple.Show(simple.Cone(), view)
    simple.ResetCamera(view)
    simple.Render(view)
    image = view.SMProxy.CaptureWindow(1)
    pixels = vtk_to_numpy(image.GetPointData().GetScalars())
    return bool(pixels.std() > 0)


report = {
    "python": sys.version.split()[0],
    "modules": modules(),
    "getargspec": hasattr(inspect, "getargspec"),
}
if "render" in sys.argv[1:]:
    report["rendering"] = rendered()
else:
    from paraview import simple  # starts ParaView, which loads the plugin

    report["paraview"] = str(simple.GetParaViewVersion())
    report["plugin"] = plugin()
sys.stdout.write(MARK + json.dumps(report) + "\n")
