"""Load a scene file, and what it returns."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any


@dataclass
class Scene:
    """What a scene has built.

    Attributes
    ----------
    sources : dict of str to proxy
        Reader and filters by name.
    views : dict of str to proxy
        Views by the name that pictures of them get.
    layouts : dict of str to proxy
        Layouts (tabs) by name; the first is the one that is shown.
    keep : list
        Observers; they live as long as the scene.
    """

    sources: dict[str, Any] = field(default_factory=dict)
    views: dict[str, Any] = field(default_factory=dict)
    layouts: dict[str, Any] = field(default_factory=dict)
    keep: list[Any] = field(default_factory=list)


def load_scene(path: str | Path) -> ModuleType:
    """Import a scene file and return its module; its ``build`` makes a :class:`Scene`."""
    path = Path(path)
    spec = importlib.util.spec_from_file_location(f"pvensemble_scene_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
