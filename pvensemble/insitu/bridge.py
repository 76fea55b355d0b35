"""The way to ParaView Catalyst: ``paraview.catalyst.bridge`` with scripts of version 2.

The bridge's own ``coprocess`` takes one channel and runs all pipelines at once; here every pipeline
is run by itself, with two channels, so that one that fails leaves the others alone.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

from pvensemble.errors import PipelineError, PVEnsembleError
from pvensemble.insitu.catching import Caught, caught
from pvensemble.insitu.channels import CHANNELS, Channels
from pvensemble.insitu.feed import Feed
from pvensemble.insitu.pipeline import Pipeline
from pvensemble.insitu.process import inside_paraview, prepare
from pvensemble.insitu.settings import Settings, current

READER = "EnsembleReader"


class Bridge:
    """ParaView in this process.

    Parameters
    ----------
    pipelines
        All that will be run; ParaView is initialized here, before training begins.
    """

    def __init__(self, pipelines: list[Pipeline]) -> None:
        self._stack = ExitStack()
        inside = inside_paraview()
        prepare()
        from paraview.catalyst import bridge
        from paraview.modules.vtkPVCatalyst import vtkCPProcessor

        if inside:  # initialize() would warn that ParaView is there already
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
        from paraview import simple

        if not hasattr(simple, READER):
            raise PVEnsembleError("--insitu: ParaView has not loaded the pvensemble plugin")
        self._channels: Channels | None = None
        self._shown: tuple[int, dict] | None = None

    def begin(self, feed: Feed) -> None:
        """Let all readers of this process show an ensemble."""
        from pvensemble.filters._sources import use_source

        self._stack.callback(use_source(feed.view))
        self._channels = Channels(feed)

    def execute(self, pipeline: Pipeline, step: int, settings: Settings) -> Caught:
        """Run a pipeline at a step, which must be later than the last."""
        from paraview.modules.vtkPVCatalyst import vtkCPDataDescription

        script = self._scripts[pipeline.name]
        description = vtkCPDataDescription()
        for name in CHANNELS:
            description.AddInput(name)
        description.SetTimeData(float(step), step)
        with caught(pipeline.script) as found, current(settings):
            wanted = script.RequestDataDescription(description)
            if wanted and found.failure is None:
                try:
                    channels = self._at(step)
                except PipelineError as error:
                    found.failure = str(error)
                    return found
                for name, data in channels.items():
                    description.GetInputDescriptionByName(name).SetGrid(data)
                self._refresh_readers()
                done = script.CoProcess(description)
                if not done and found.failure is None:
                    found.failure = "ParaView gave no reason"
        return found

    def switch_off(self, pipeline: Pipeline) -> None:
        """Never run a pipeline again."""
        self._bridge.coprocessor.RemovePipeline(self._scripts.pop(pipeline.name))

    def end(self, pipelines: list[Pipeline], settings: Callable[[Pipeline], Settings]) -> dict:
        """Let the scripts that are left finish what they have begun; return what they said."""
        said = {}
        for pipeline in pipelines:
            with caught(pipeline.script) as found, current(settings(pipeline)):
                self._scripts[pipeline.name].Finalize()
            self.switch_off(pipeline)
            said[pipeline.name] = found
        self._bridge.finalize()
        self._stack.close()
        return said

    def _at(self, step: int) -> dict:
        """Return the channels at a step, made once for all pipelines."""
        if self._shown is None or self._shown[0] != step:
            self._shown = None
            self._shown = step, self._channels.at(step)
        return self._shown[1]

    def _refresh_readers(self) -> None:
        """Let the readers in scripts and scenes see what is new."""
        from paraview import simple

        for source in simple.GetSources().values():
            if source.SMProxy.GetXMLName() == READER:
                source.SMProxy.InvokeCommand("Refresh")
                source.UpdatePipelineInformation()
