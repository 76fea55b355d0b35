"""Start ParaView's programs so that they find this package, its plugin and what Python lacks.

ParaView has a Python of its own. It must see ``pvensemble`` but not the environment this package
is installed in: PyPI's ``vtk`` on its path crashes it. So ``PYTHONPATH`` gets a folder that holds
nothing but links.
"""

from __future__ import annotations

from pvensemble.launcher.environment import environment, plugin_config
from pvensemble.launcher.find import find_paraview, paraview_version
from pvensemble.launcher.launch import command, launch

__all__ = [
    "command",
    "environment",
    "find_paraview",
    "launch",
    "paraview_version",
    "plugin_config",
]
