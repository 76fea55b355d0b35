"""What all filters share: errors that are not lost, checked inputs, progress and abort.

VTK swallows an exception in a Python algorithm: the update fails once with no reason, and succeeds
with an empty output when repeated. ``EnsembleAlgorithm`` therefore catches errors in exactly one
place, keeps the exception, and shows its message in ParaView's Output Messages. Scripts and tests
update a pipeline with ``run``, which raises it.

In several processes the first one does what is written in ``RequestData``, and the others their
parts of it (see ``_team``).
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
from vtkmodules.vtkCommonCore import (
    VTK_STRING,
    vtkGarbageCollector,
    vtkInformation,
    vtkOutputWindow,
)
from vtkmodules.vtkCommonDataModel import vtkDataObject
from vtkmodules.vtkCommonExecutionModel import vtkAlgorithm, vtkDemandDrivenPipeline
from vtkmodules.vtkCommonExecutionModel import vtkStreamingDemandDrivenPipeline as _Pipeline

from pvensemble.errors import PipelineError, PVEnsembleError
from pvensemble.filters._kept import MAX_BYTES, KeptOutputs
from pvensemble.filters._runs_input import RunsInput
from pvensemble.filters._team import Team, pieces, team_of
from pvensemble.vtkdata.parallel import Message, processes
from pvensemble.vtkdata.time import requested_time


class EnsembleAlgorithm(RunsInput):
    """Base of all readers and filters.

    A subclass implements ``RequestInformation`` and ``RequestData`` and may raise anything there:
    the update fails, the message (with the traceback when it is not a ``PVEnsembleError``) goes to
    VTK's output window, and ``error`` keeps the exception until the next update.

    Parameters
    ----------
    n_inputs, n_outputs : int
        Numbers of ports.
    output_type : str or sequence of str
        VTK class name of the outputs, one for all or one a port.
    """

    keeps_steps = True
    """Whether the outputs of a step are those of before when time comes back to it."""
    measures_the_present = False
    """Whether measures that it adds to the runs depend on the step; other measures do not."""

    def __init__(
        self, *, n_inputs: int = 1, n_outputs: int = 1, output_type: str | tuple = "vtkPolyData"
    ) -> None:
        self._output_types = (
            (output_type,) * n_outputs if isinstance(output_type, str) else tuple(output_type)
        )
        # Inputs are checked in RequestData: VTK's message would not say what to connect instead.
        super().__init__(
            nInputPorts=n_inputs,
            inputType="vtkDataObject",
            nOutputPorts=n_outputs,
            outputType=self._output_types[0],
        )
        self.error: Exception | None = None
        self._shown: tuple | None = None
        self._kept = KeptOutputs()
        self._update: tuple = ()
        self._team: Team | None = None

    def FillOutputPortInformation(self, port: int, info: vtkInformation) -> int:
        info.Set(vtkDataObject.DATA_TYPE_NAME(), self._output_types[port])
        return 1

    def ProcessRequest(
        self, request: vtkInformation, inInfo: tuple, outInfo: vtkInformation
    ) -> int:
        """Pass a request on; keep and report what it raises."""
        # Python lets go of VTK objects all the time; each time VTK would search the whole pipeline
        # for circles of references.
        vtkGarbageCollector.DeferredCollectionPush()
        try:
            return self._process(request, inInfo, outInfo)
        finally:
            vtkGarbageCollector.DeferredCollectionPop()

    def _process(self, request: vtkInformation, inInfo: tuple, outInfo: vtkInformation) -> int:
        # The key is asked: of the many methods Has of the request Python would try one by one.
        wants_data = vtkDemandDrivenPipeline.REQUEST_DATA().Has(request)
        wants_information = vtkDemandDrivenPipeline.REQUEST_INFORMATION().Has(request)
        if wants_data or wants_information:
            self.error = None
        answer = super().ProcessRequest

        def serve() -> int:
            return int(answer(request, inInfo, outInfo))

        if wants_data:
            return self._update_data(serve, request, inInfo, outInfo)
        if wants_information:
            _handles_pieces(outInfo)
        done = self._attempt(serve)
        # Where one process went no further, the others would wait for it: it says why with its data
        return int(done or 0) if processes() is None or not wants_information else 1

    def _attempt(self, work: Callable) -> object:
        """Return what a function returns; keep and show what it raises, and return None."""
        try:
            return work()
        except Exception as error:
            self.error = error
            if self._team is None or self._team.leads:
                self._show(error)
            return None

    def _update_data(
        self, serve: Callable, request: vtkInformation, inInfo: tuple, outInfo: vtkInformation
    ) -> int:
        """Fill the outputs, alone or with other processes."""
        self._team = team_of(type(self).__name__, request, outInfo)
        self._update = (request, inInfo, outInfo)
        self._shown = self._generations()
        try:
            return self._work(serve, request, inInfo, outInfo)
        finally:
            self._let_go()

    def _let_go(self) -> None:
        """Keep nothing that is of one update."""
        self._team, self._update = None, ()

    def _work(
        self, serve: Callable, request: vtkInformation, inInfo: tuple, outInfo: vtkInformation
    ) -> int:
        """Lead an update, or follow."""
        team = self._team
        if team is None and pieces(request, outInfo)[0] > 0:
            return 1  # of a reader that works alone, the first piece is all
        state, step = self._state(inInfo), requested_time(request, outInfo)
        kept = self._kept.find(state, step)
        if kept is not None:
            for port, output in enumerate(kept):
                self.output(outInfo, port).ShallowCopy(output)
            return 1
        if team is None or team.leads:
            done = bool(self._attempt(serve))
        else:
            self._attempt(partial(team.follow, self._answer))
            done = self.error is None
        if done:
            self._keep(state, step, outInfo)
        if team is not None and team.leads:
            team.end("" if done else str(self.error or "no data"))
        return self._ended(done, outInfo)

    def _ended(self, done: bool, outInfo: vtkInformation) -> int:
        """Leave nothing half done where others would take it for the whole; return VTK's code."""
        for port in range(0 if done else self.GetNumberOfOutputPorts()):
            self.output(outInfo, port).Initialize()
        return int(done)

    # -- several processes ---------------------------------------------------------------------
    def everywhere(
        self, part: str, options: dict | None = None, arrays: Sequence[np.ndarray] = ()
    ) -> list[Message]:
        """Let every process do a part of an update, and return their answers by rank.

        Parameters
        ----------
        part : str
            The method ``part_<part>`` gets options and arrays, and returns a Message.
        options : dict
            Of what JSON can hold.
        arrays : sequence of numpy.ndarray

        Raises
        ------
        PipelineError
            When another process failed.
        """
        options = options or {}
        own = partial(getattr(self, "part_" + part), options, arrays)
        return [own()] if self._team is None else self._team.call(part, options, arrays, own)

    def _answer(self, part: str, options: dict, arrays: Sequence) -> tuple[Message | None, str]:
        """Do a part that the first process calls for; return the answer, or what it failed of."""
        answer = self._attempt(partial(getattr(self, "part_" + part), options, arrays))
        error, self.error = self.error, None
        return answer, "" if error is None else _described(error)

    @property
    def place(self) -> tuple[int, int]:
        """Rank and number of the processes of the update that goes on."""
        return (0, 1) if self._team is None else (self._team.rank, self._team.size)

    # -- what need not be made again -------------------------------------------------------------
    def _state(self, inInfo: tuple) -> tuple | None:
        """Return what the outputs depend on besides the time; None where nothing is kept.

        ParaView asks an algorithm with several outputs, one of them an image, once for each. Of
        several processes it may ask one alone once more, whose image is not as large as it should
        be: they must agree that nothing has changed, so only updates count, which they have in
        common.
        """
        ports = [info.GetInformationObject(k) for info in inInfo for k in range(_count(info))]
        data = [vtkDataObject.GetData(port) for port in ports]
        if not data or None in data:
            return None
        if self._keeps_several:
            return (self.GetExecutive().GetPipelineMTime(),)
        inputs: tuple = tuple(each.GetUpdateTime() for each in data)
        if self._team is None:
            inputs += tuple((each.__this__, each.GetMTime()) for each in data)
        return self.GetMTime(), inputs

    def _keep(self, state: tuple | None, step: float | None, outInfo: vtkInformation) -> None:
        """Keep the outputs for when time comes back to the step."""
        if state is not None and not self.aborted():
            outputs = [self.output(outInfo, port) for port in range(self.GetNumberOfOutputPorts())]
            self._kept.keep(state, step, outputs, MAX_BYTES if self._keeps_several else 0)

    @property
    def _keeps_several(self) -> bool:
        """Whether more than the last step is kept: not among processes, which must all agree."""
        return self.keeps_steps and self._team is None

    def _show(self, error: Exception) -> None:
        """Show an error in the output window, with its traceback when it is a bug."""
        text = f"ERROR: {spaced(self)}: {_described(error)}\n"
        vtkOutputWindow.GetInstance().DisplayErrorText(text)

    def _set(self, name: str, value: object) -> None:
        """Set the attribute ``_name`` and mark the algorithm modified if it changed."""
        if getattr(self, "_" + name) != value:
            setattr(self, "_" + name, value)
            self.Modified()

    # -- outputs ------------------------------------------------------------------------------
    def output(self, outInfo: vtkInformation, port: int = 0) -> vtkDataObject:
        """Return the output of a port."""
        return self.GetOutputData(outInfo, port)

    # -- live update ---------------------------------------------------------------------------
    def GetNeedsUpdate(self) -> bool:
        """Tell ParaView's live sources that a reader upstream has read something new.

        ParaView asks all sources with the hint ``LiveSource`` many times a second, and renders the
        views that show those that say yes: the plots, while the reader itself is seldom shown.
        """
        before, self._shown = self._shown, self._generations()
        return before not in (None, self._shown)

    def _generations(self) -> tuple:
        """Return how often the readers upstream have read something new."""
        return tuple(getattr(a, "generation", None) for a in upstream(self))

    # -- progress and abort --------------------------------------------------------------------
    def report(self, fraction: float, text: str = "") -> None:
        """Show progress, 0 to 1."""
        if text:
            self.SetProgressText(text)
        self.UpdateProgress(float(fraction))

    def aborted(self) -> bool:
        """Tell whether the user asked to stop; the filter should then return 1 at once."""
        if self._team is not None:  # not all of several processes would be told
            return False
        check = getattr(self, "CheckAbort", None)
        return bool(check() if check else self.GetAbortExecute())


def _count(info: vtkInformation) -> int:
    """Return the number of connections of an input port."""
    return info.GetNumberOfInformationObjects()


def _described(error: Exception) -> str:
    """Return the message of an error, of a bug the traceback."""
    if isinstance(error, PVEnsembleError):
        return str(error)
    return "".join(traceback.format_exception(type(error), error, error.__traceback__))


def _handles_pieces(outInfo: vtkInformation) -> None:
    """Tell VTK to ask all processes: it would leave out a reader that does not say so."""
    for port in range(outInfo.GetNumberOfInformationObjects()):
        outInfo.GetInformationObject(port).Set(vtkAlgorithm.CAN_HANDLE_PIECE_REQUEST(), 1)


def spaced(algorithm: object) -> str:
    """Return the name people see: ``PerformanceMeasures`` -> ``Performance Measures``."""
    name = type(algorithm).__name__
    return "".join(" " + c if c.isupper() and i else c for i, c in enumerate(name))


def run(algorithm: vtkAlgorithm, *, time: float | None = None, port: int = 0) -> vtkDataObject:
    """Update an algorithm and return its output, or raise.

    Parameters
    ----------
    algorithm : vtkAlgorithm
        The end of the pipeline.
    time : float, optional
        Step to ask for.
    port : int
        Output port to return.

    Raises
    ------
    PipelineError
        When it or anything upstream fails; the cause is chained.
    """
    algorithm.Modified()
    messages: list[str] = []
    executive = algorithm.GetExecutive()

    def listen(_caller: object, _event: str, text: str = "") -> None:
        messages.append(text)

    listen.CallDataType = VTK_STRING
    observer = executive.AddObserver("ErrorEvent", listen)
    try:
        done = executive.UpdateInformation()
        if done and time is not None:
            executive.GetOutputInformation(port).Set(_Pipeline.UPDATE_TIME_STEP(), float(time))
        done = done and executive.Update(port)
    finally:
        executive.RemoveObserver(observer)
    failed = [a for a in upstream(algorithm) if getattr(a, "error", None) is not None]
    if failed:
        raise PipelineError(f"{spaced(failed[0])}: {failed[0].error}") from failed[0].error
    if not done:
        raise PipelineError(f"{spaced(algorithm)} failed: {' '.join(messages).strip()}")
    return algorithm.GetOutputDataObject(port)


def upstream(algorithm: vtkAlgorithm) -> Iterator[vtkAlgorithm]:
    """Yield all algorithms that feed an algorithm, the first ones first, and itself last."""
    for port in range(algorithm.GetNumberOfInputPorts()):
        for index in range(algorithm.GetNumberOfInputConnections(port)):
            yield from upstream(algorithm.GetInputAlgorithm(port, index))
    yield algorithm
