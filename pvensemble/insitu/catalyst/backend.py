"""What the ways to ParaView Catalyst have in common."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

from vtkmodules.vtkCommonDataModel import vtkDataObject

from pvensemble.errors import PipelineError, PVEnsembleError
from pvensemble.filters._sources import use_source
from pvensemble.insitu.catalyst.catching import caught
from pvensemble.insitu.catalyst.channels import Channels
from pvensemble.insitu.catalyst.process import prepare
from pvensemble.insitu.caught import Caught
from pvensemble.insitu.feed import Feed
from pvensemble.insitu.pipeline import Pipeline
from pvensemble.insitu.settings import Settings, current

READER = "EnsembleReader"

Said = dict[str, Caught]
"""What each pipeline said."""


class Backend:
    """Catalyst in this process.

    Every pipeline is run by itself, so that one that fails leaves the others alone. A subclass
    starts Catalyst, runs a pipeline and finishes.

    Parameters
    ----------
    pipelines
        All that will be run; ParaView is initialized here, before training begins.

    Raises
    ------
    PVEnsembleError
        Catalyst or ParaView cannot be used.
    """

    def __init__(self, pipelines: list[Pipeline]) -> None:
        self._stack = ExitStack()
        self._channels: Channels | None = None
        self._shown: tuple[tuple[int, int], dict] | None = None
        prepare()
        self._start(pipelines)

    def begin(self, feed: Feed) -> None:
        """Let all readers of this process show an ensemble."""
        self._stack.callback(use_source(feed.view))
        self._feed, self._channels = feed, Channels(feed)

    def execute(self, pipeline: Pipeline, step: int, settings: Settings) -> Caught:
        """Run a pipeline at a step, which must not be earlier than the last."""
        with caught(pipeline.script) as found, current(settings):
            try:
                self._run(pipeline, step, found)
            except PipelineError as error:
                found.failure = found.failure or str(error)
        return found

    def switch_off(self, pipeline: Pipeline) -> None:
        """Never run a pipeline again."""
        raise NotImplementedError

    def end(self, pipelines: list[Pipeline], settings: Callable[[Pipeline], Settings]) -> Said:
        """Let the scripts that are left finish what they have begun; return what they said."""
        said = self._finish(pipelines, settings)
        self._stack.close()
        return said

    def _start(self, pipelines: list[Pipeline]) -> None:
        """Initialize Catalyst with the pipelines' scripts."""
        raise NotImplementedError

    def _run(self, pipeline: Pipeline, step: int, found: Caught) -> None:
        """Run a pipeline, or raise PipelineError."""
        raise NotImplementedError

    def _finish(self, pipelines: list[Pipeline], settings: Callable[[Pipeline], Settings]) -> Said:
        """Finalize the pipelines that are left, and Catalyst."""
        raise NotImplementedError

    def _at(self, step: int) -> dict[str, vtkDataObject]:
        """Return the channels at a step, made once for all pipelines."""
        key = step, self._feed.version
        if self._shown is None or self._shown[0] != key:
            self._shown = None
            self._shown = key, self._channels.at(step)
        return self._shown[1]


def require_plugin() -> None:
    """Raise PVEnsembleError when ParaView is there without this package's filters."""
    from paraview import simple

    if not hasattr(simple, READER):
        raise PVEnsembleError("--insitu: ParaView has not loaded the pvensemble plugin")


def refresh_readers() -> None:
    """Let the readers in scripts and scenes see what is new."""
    from paraview import simple

    for source in simple.GetSources().values():
        if source.SMProxy.GetXMLName() == READER:
            source.SMProxy.InvokeCommand("Refresh")
            source.UpdatePipelineInformation()
