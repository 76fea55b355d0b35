"""What pvensemble uses of Kitware's ``catalyst``, and an implementation that runs scripts.

It takes nodes exactly as ParaView's implementation documents them, and no others. Meshes become
data sets as vtkConduitSource makes them, and scripts see those as channels.
"""

from __future__ import annotations

import paraview.catalyst
from catalyst_conduit.blueprint import mesh as blueprint
from catalyst_conduit.blueprint.mesh import only
from vtk_meshes import collection, partitioned

from pvensemble.insitu.catalyst.process import inside_paraview

NAME = "stand_in"


class CatalystError(Exception):
    """As Kitware's."""


_scripts: dict = {}
_failed: set = set()


def initialize(node):
    """Start ParaView with scripts."""
    if node["catalyst_load/implementation"] != NAME:
        raise CatalystError("catalyst_initialize failed with status 5")
    only(node, "catalyst_load", "catalyst")
    only(node["catalyst"], "scripts")
    from paraview.catalyst import bridge
    from paraview.modules.vtkPVCatalyst import vtkCPProcessor

    if inside_paraview():
        bridge.coprocessor = vtkCPProcessor()
        bridge.coprocessor.Initialize()
    else:
        bridge.initialize()
    for child in node["catalyst/scripts"].children():
        script = child.node()
        only(script, "filename", "args")
        bridge.add_pipeline(script["filename"], 2)
        number = bridge.coprocessor.GetNumberOfPipelines() - 1
        args = [argument.node().value() for argument in script["args"].children()]
        _scripts[child.name()] = bridge.coprocessor.GetPipeline(number), args


def about(node):
    """Tell what this can do."""
    node["catalyst/implementation"] = NAME
    for capability in ("paraview", "python"):
        node["catalyst/capabilities"].append().set(capability)


def execute(node):
    """Run the pipelines of ``catalyst/state/pipelines``; those that failed never again."""
    only(node, "catalyst")
    only(node["catalyst"], "state", "channels")
    state = node["catalyst/state"]
    only(state, "timestep", "time", "pipelines")
    if not isinstance(state["timestep"], int) or not isinstance(state["time"], float):
        raise CatalystError("invalid state")
    channels = {
        child.name(): _channel(child.name(), child.node())
        for child in node["catalyst/channels"].children()
    }
    for chosen in state["pipelines"].children():
        _run(chosen.node().value(), state, channels)


def finalize(node):
    """Let every script finish."""
    from paraview.catalyst import bridge

    only(node)
    for pipeline, args in _scripts.values():
        paraview.catalyst.get_args = lambda args=args: args
        pipeline.Finalize()
        bridge.coprocessor.RemovePipeline(pipeline)
    _scripts.clear()
    bridge.finalize()


def _channel(name, node):
    """Return the data set of a channel."""
    only(node, "type", "data")
    if node["type"] == "mesh":
        meshes, make = [node["data"]], partitioned
    elif node["type"] == "multimesh":
        meshes, make = [child.node() for child in node["data"].children()], collection
    else:
        raise CatalystError(f"channel {name} has unsupported type {node['type']}")
    info = type(node)()
    if not all(blueprint.verify(mesh, info) for mesh in meshes):
        raise CatalystError(f"channel {name} is not a valid mesh: {info['errors']}")
    return make(node["data"])


def _run(name, state, channels):
    from paraview.modules.vtkPVCatalyst import vtkCPDataDescription

    if name in _failed:
        return
    pipeline, args = _scripts[name]
    paraview.catalyst.get_args = lambda: args
    description = vtkCPDataDescription()
    for channel in channels:
        description.AddInput(channel)
    description.SetTimeData(state["time"], state["timestep"])
    wanted = pipeline.RequestDataDescription(description)
    for channel, data in channels.items():
        description.GetInputDescriptionByName(channel).SetGrid(data)
    if wanted and not pipeline.CoProcess(description):
        _failed.add(name)
        raise CatalystError("catalyst_execute failed with status 102")
