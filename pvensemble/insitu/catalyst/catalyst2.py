"""The way to ParaView Catalyst by Catalyst 2: Kitware's ``catalyst`` and ``catalyst_conduit``.

The same scripts run, one at a time as ``catalyst/state/pipelines`` says. They get the channels as
meshes (:mod:`pvensemble.vtkdata.blueprint`); their readers show the training as always, because
ParaView is in this process.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from vtkmodules.vtkCommonDataModel import vtkDataObject

from pvensemble.errors import PipelineError, PVEnsembleError
from pvensemble.insitu.catalyst.backend import Backend, Said, refresh_readers, require_plugin
from pvensemble.insitu.catalyst.catching import caught, shared_out
from pvensemble.insitu.catalyst.channels import RUNS, TENSORS
from pvensemble.insitu.catalyst.process import version
from pvensemble.insitu.caught import Caught
from pvensemble.insitu.pipeline import Pipeline
from pvensemble.insitu.settings import Settings, current_by
from pvensemble.vtkdata.blueprint import runs_to_mesh, tensors_to_meshes

OPTION = "--insitu-backend catalyst2"
PARAVIEW = "paraview"
CHOOSES_PIPELINES = (5, 12)
"""The ParaView that runs single pipelines (``catalyst/state/pipelines``); others run all."""


class Catalyst2(Backend):
    """Catalyst 2 in this process, with ParaView or whatever ``CATALYST_IMPLEMENTATION_NAME`` says.

    Nodes share the memory of the channels. ParaView looks at a pipeline's last data until it is
    given the next, so that long they are kept.
    """

    def _start(self, pipelines: list[Pipeline]) -> None:
        self._catalyst, self._conduit = catalyst_modules()
        self._failures = getattr(self._catalyst, "CatalystError", RuntimeError)
        self._pipelines = {p.name: p for p in pipelines}
        self._node: tuple[dict, Any] | None = None
        self._kept: dict[str, tuple] = {}
        name = os.environ.get("CATALYST_IMPLEMENTATION_NAME", PARAVIEW)
        if name == PARAVIEW:
            require_choice(len(pipelines))
        try:
            self._catalyst.initialize(self._first_node(name))
        except self._failures as error:
            raise PVEnsembleError(
                f"{OPTION}: Catalyst does not start: {error}. It looks for libcatalyst-{name}.so "
                f"in the folders of CATALYST_IMPLEMENTATION_PATHS; CATALYST_DEBUG=1 shows how"
            ) from None
        self._in_paraview = PARAVIEW in self._capabilities()
        if self._in_paraview:
            require_plugin()

    def _run(self, pipeline: Pipeline, step: int, found: Caught) -> None:
        node = self._node_at(step)
        node["catalyst/state/pipelines/0"] = pipeline.name
        if self._in_paraview:
            refresh_readers()
        try:
            self._catalyst.execute(node)
        except self._failures as error:  # without the reason, which was caught before
            raise PipelineError(str(error)) from None
        finally:
            self._kept[pipeline.name] = node, self._shown

    def switch_off(self, pipeline: Pipeline) -> None:
        """Never run a pipeline again: it is no more among those that are asked for."""

    def _finish(self, pipelines: list[Pipeline], settings: Callable[[Pipeline], Settings]) -> Said:
        def of_active() -> Settings:
            return settings(self._pipelines[active_pipeline()])

        with caught() as found, current_by(of_active):
            self._catalyst.finalize(self._conduit.Node())
        said = shared_out(found, {name: p.script for name, p in self._pipelines.items()})
        return {p.name: said[p.name] for p in pipelines}

    def _first_node(self, implementation: str) -> Any:
        """Return what Catalyst is initialized with; each script is told its pipeline's name."""
        node = self._conduit.Node()
        node["catalyst_load/implementation"] = implementation
        for name, pipeline in self._pipelines.items():
            node[f"catalyst/scripts/{name}/filename"] = str(pipeline.script)
            node[f"catalyst/scripts/{name}/args"].append().set(name)
        return node

    def _capabilities(self) -> list[str]:
        """Return what the implementation says that it can do."""
        about = self._conduit.Node()
        self._catalyst.about(about)
        return [each.node().value() for each in about["catalyst/capabilities"].children()]

    def _node_at(self, step: int) -> Any:
        """Return the node of a step, made once for all pipelines."""
        channels = self._at(step)
        if self._node is None or self._node[0] is not channels:
            self._node = channels, step_node(self._conduit, channels, step)
        return self._node[1]


def step_node(conduit: Any, channels: Mapping[str, vtkDataObject], step: int) -> Any:
    """Return what Catalyst is given at a step, but for the pipelines that it runs.

    Parameters
    ----------
    conduit : module
    channels : mapping of str to vtkDataObject
        They must live as long as the node is looked at.
    step : int

    Raises
    ------
    PipelineError
        A channel is not what Mesh Blueprint says; ParaView would only leave it out.
    """
    node = conduit.Node()
    node["catalyst/state/timestep"] = step
    node["catalyst/state/time"] = float(step)
    runs, tensors = (node["catalyst/channels"][name] for name in (RUNS, TENSORS))
    runs["type"], tensors["type"] = "mesh", "multimesh"
    runs_to_mesh(channels[RUNS], runs["data"])
    tensors_to_meshes(channels[TENSORS], tensors["data"])
    for mesh in (runs["data"], *(child.node() for child in tensors["data"].children())):
        info = conduit.Node()
        if not conduit.blueprint.mesh.verify(mesh, info):
            raise PipelineError(f"Mesh Blueprint does not allow it: {' '.join(str(info).split())}")
    return node


def catalyst_modules() -> tuple[Any, Any]:
    """Return the modules ``catalyst`` and ``catalyst_conduit``.

    Raises
    ------
    PVEnsembleError
        They are not there.
    """
    try:  # the first one is Kitware's alone; there are other packages that are named catalyst
        import_module("catalyst_conduit.blueprint.mesh")
        conduit, catalyst = (import_module(name) for name in ("catalyst_conduit", "catalyst"))
    except ImportError as error:
        raise PVEnsembleError(
            f"{OPTION}: {sys.executable} cannot import {error.name}, a part of Kitware's "
            f"libcatalyst built with CATALYST_WRAP_PYTHON=ON ({error}). Put the folder that holds "
            f"it into PYTHONPATH, or leave the option out"
        ) from None
    if not hasattr(catalyst, "initialize"):
        raise PVEnsembleError(
            f"{OPTION}: {catalyst.__file__} is not Kitware's catalyst but another package of that "
            f"name"
        )
    return catalyst, conduit


def require_choice(n_pipelines: int) -> None:
    """Raise PVEnsembleError when ParaView cannot run one of several pipelines."""
    if n_pipelines > 1 and version() < CHOOSES_PIPELINES:
        here, needed = (".".join(map(str, v)) for v in (version(), CHOOSES_PIPELINES))
        raise PVEnsembleError(
            f"{OPTION}: ParaView {here} runs all pipelines at once, so give one --insitu, or use "
            f"ParaView {needed} or later"
        )


def active_pipeline() -> str:
    """Return the name of the pipeline whose script is executed."""
    from paraview.catalyst import get_args

    return get_args()[0]
