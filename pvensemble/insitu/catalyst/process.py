"""Make ParaView ready in a Python process that is not ParaView's own, before it is initialized."""

from __future__ import annotations

import importlib.util
import inspect
import os
import sys

from pvensemble.errors import ParaViewNotFoundError
from pvensemble.launcher import plugin_config
from pvensemble.launcher.find import INSTALL


def inside_paraview() -> bool:
    """Whether this process is pvbatch or pvpython."""
    return "paraview" in sys.modules and _initialized()


def _initialized() -> bool:
    from paraview.modules.vtkRemotingCore import vtkProcessModule

    module = vtkProcessModule.GetProcessModule()
    return module is not None and module.GetPartitionId() >= 0


def prepare() -> None:
    """Set what ParaView looks for when it is initialized.

    Raises
    ------
    ParaViewNotFoundError
        This Python has no ParaView.
    """
    if importlib.util.find_spec("paraview") is None:
        raise ParaViewNotFoundError(
            f"--insitu: {sys.executable} (Python {sys.version_info[0]}.{sys.version_info[1]}) has "
            f"no module 'paraview'. Train within ParaView: pvensemble pvbatch -- train …; or use "
            f"the Python that ParaView was installed for: on Debian '{INSTALL}' and an "
            f"environment made with --system-site-packages"
        )
    if not hasattr(inspect, "getargspec"):  # ParaView 5.11 imports it, Python 3.11 has it no more
        inspect.getargspec = inspect.getfullargspec
    os.environ.setdefault("HWLOC_COMPONENTS", "-gl")  # MPI would ask every X server for its GPUs
    os.environ.setdefault("PV_PLUGIN_CONFIG_FILE", str(plugin_config()))


def version() -> tuple[int, ...]:
    """Return major and minor version of this Python's ParaView."""
    from paraview import __version__

    return tuple(int(part) for part in __version__.split(".")[:2])
