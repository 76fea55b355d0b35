"""The usual way to ParaView Catalyst: ``paraview.catalyst.bridge`` with scripts of version 2.

The bridge's own ``coprocess`` takes one channel and runs all pipelines at once; here every pipeline
is run by itself, with two channels.
"""

from __future__ import annotations

from collections.abc import Callable

from pvensemble.errors import PipelineError
from pvensemble.insitu.catalyst.backend import Backend, Said, refresh_readers, require_plugin
from pvensemble.insitu.catalyst.catching import caught
from pvensemble.insitu.catalyst.channels import CHANNELS
from pvensemble.insitu.catalyst.process import inside_paraview
from pvensemble.insitu.caught import Caught
from pvensemble.insitu.pipeline import Pipeline
from pvensemble.insitu.settings import Settings, current


class Bridge(Backend):
    """ParaView in this process, and Catalyst as it came before version 2."""

    def _start(self, pipelines: list[Pipeline]) -> None:
        from paraview.catalyst import bridge
        from paraview.modules.vtkPVCatalyst import vtkCPProcessor

        if inside_paraview():  # initialize() would warn that ParaView is there already
            bridge.coprocessor = vtkCPProcessor()
            bridge.coprocessor.Initialize()
        else:
            bridge.initialize()
        self._bridge = bridge
        self._scripts: dict[str, object] = {}
        for pipeline in pipelines:
            bridge.add_pipeline(str(pipeline.script), 2)
            number = bridge.coprocessor.GetNumberOfPipelines() - 1
            self._scripts[pipeline.name] = bridge.coprocessor.GetPipeline(number)
        require_plugin()

    def _run(self, pipeline: Pipeline, step: int, found: Caught) -> None:
        from paraview.modules.vtkPVCatalyst import vtkCPDataDescription

        script = self._scripts[pipeline.name]
        description = vtkCPDataDescription()
        for name in CHANNELS:
            description.AddInput(name)
        description.SetTimeData(float(step), step)
        wanted = script.RequestDataDescription(description)
        if not wanted or found.failure is not None:
            return
        for name, data in self._at(step).items():
            description.GetInputDescriptionByName(name).SetGrid(data)
        refresh_readers()
        if not script.CoProcess(description) and found.failure is None:
            raise PipelineError("ParaView gave no reason")

    def switch_off(self, pipeline: Pipeline) -> None:
        """Never run a pipeline again."""
        self._bridge.coprocessor.RemovePipeline(self._scripts.pop(pipeline.name))

    def _finish(self, pipelines: list[Pipeline], settings: Callable[[Pipeline], Settings]) -> Said:
        said = {}
        for pipeline in pipelines:
            with caught(pipeline.script) as found, current(settings(pipeline)):
                self._scripts[pipeline.name].Finalize()
            self.switch_off(pipeline)
            said[pipeline.name] = found
        self._bridge.finalize()
        return said
