"""The file that ParaView loads: Tools > Manage Plugins > Load New, or ``pvensemble paraview``.

It makes the package importable and shows the proxies of ``proxies/`` to ParaView. Nothing is put on
``sys.path``: a directory that holds other packages (another vtk!) would break ParaView.
"""

import importlib
import importlib.util
import sys
from pathlib import Path

paraview_plugin_name = "pvensemble"

_HERE = Path(__file__).resolve().parent
MODULES = (
    "readers",
    "filters",
    "plots",
    "topology",
    "similarity",
    "dynamics",
    "weights",
    "surface",
    "steering",
)
"""Modules of `proxies` that hold proxies."""


def _load_package(name, folder):
    """Import a package from its folder under a name, without touching ``sys.path``."""
    spec = importlib.util.spec_from_file_location(
        name, str(folder / "__init__.py"), submodule_search_locations=[str(folder)]
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _find_package():
    """Import ``pvensemble``: as installed for this Python, else from beside this folder."""
    if importlib.util.find_spec("pvensemble") is not None:
        return importlib.import_module("pvensemble")
    beside = _HERE.parent / "pvensemble"
    if not (beside / "__init__.py").is_file():
        # Not an ImportError: ParaView's loader would hide it behind one of its own.
        raise RuntimeError(
            f"the pvensemble plugin needs the Python package 'pvensemble', which is neither "
            f"installed for {sys.executable or 'this Python'} nor at {beside}. Start ParaView with "
            f"'pvensemble paraview', or load the plugin file from where the package is installed."
        )
    return _load_package("pvensemble", beside)


def _import_proxies():
    """Return the decorated proxies by name."""
    try:
        package = _find_package()
        _load_package("pvensemble_proxies", _HERE / "proxies")
        modules = [importlib.import_module(f"pvensemble_proxies.{name}") for name in MODULES]
    except ImportError as error:
        raise RuntimeError(
            f"the pvensemble plugin cannot load: {error}. It needs h5py, scipy, scikit-learn for "
            f"ParaView's Python {sys.version_info[0]}.{sys.version_info[1]}; 'pvensemble doctor' "
            f"names the command that installs what is missing."
        ) from error
    proxies = {}
    for module in modules:
        proxies.update({name: getattr(module, name) for name in module.PROXIES})
    return package.__version__, proxies


paraview_plugin_version, _proxies = _import_proxies()
globals().update(_proxies)
