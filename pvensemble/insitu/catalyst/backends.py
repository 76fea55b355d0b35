"""The ways to ParaView Catalyst by name."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from pvensemble.insitu.pipeline import Pipeline

if TYPE_CHECKING:
    from pvensemble.insitu.catalyst.backend import Backend

CLASSES = {"bridge": "Bridge", "catalyst2": "Catalyst2"}


def start(name: str, pipelines: list[Pipeline]) -> Backend:
    """Return Catalyst in this process; VTK and ParaView are loaded only here.

    Raises
    ------
    PVEnsembleError
        It cannot be used.
    """
    return getattr(import_module(f"pvensemble.insitu.catalyst.{name}"), CLASSES[name])(pipelines)
