"""Make ParaView 5.11 work on Python 3.11: it imports ``inspect.getargspec``, which is gone.

Python imports the first ``sitecustomize`` on its path, which is this one in programs started by
pvensemble; the one it hides is run afterwards.
"""

import inspect
import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from pathlib import Path

if not hasattr(inspect, "getargspec"):
    inspect.getargspec = inspect.getfullargspec

_here = Path(__file__).absolute().parent
_spec = PathFinder.find_spec("sitecustomize", [p for p in sys.path if Path(p).absolute() != _here])
if _spec is not None and _spec.loader is not None:
    _spec.loader.exec_module(module_from_spec(_spec))
