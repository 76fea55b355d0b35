"""What all filters share: errors that are not lost, checked inputs, progress and abort.

VTK swallows an exception in a Python algorithm: the update fails once with no reason, and succeeds
with an empty output when repeated. ``EnsembleAlgorithm`` therefore catches errors in exactly one
place, keeps the exception, and shows its message in ParaView's Output Messages. Scripts and tests
update a pipeline with ``run``, which raises it.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator

from vtkmodules.util.vtkAlgorithm import VTKPythonAlgorithmBase
from vtkmodules.vtkCommonCore import (
    VTK_STRING,
    vtkGarbageCollector,
    vtkInformation,
    vtkOutputWindow,
)
from vtkmodules.vtkCommonDataModel import vtkDataObject, vtkPolyData
from vtkmodules.vtkCommonExecutionModel import vtkAlgorithm, vtkDemandDrivenPipeline
from vtkmodules.vtkCommonExecutionModel import vtkStreamingDemandDrivenPipeline as _Pipeline

from pvensemble import schema
from pvensemble.errors import MissingArrayError, PipelineError, PVEnsembleError
from pvensemble.vtkdata.runs import RunsData
from pvensemble.vtkdata.time import requested_time


class EnsembleAlgorithm(VTKPythonAlgorithmBase):
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
        self._done: tuple | None = None
        self._kept: list[vtkDataObject] = []

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
        if request.Has(vtkDemandDrivenPipeline.REQUEST_INFORMATION()) or request.Has(
            vtkDemandDrivenPipeline.REQUEST_DATA()
        ):
            self.error = None
        wants_data = request.Has(vtkDemandDrivenPipeline.REQUEST_DATA())
        if wants_data and _piece(request, outInfo) > 0:
            return 1  # in parallel the first process holds all runs, the others none
        state = self._state(request, inInfo, outInfo) if wants_data else None
        if state is not None and state == self._done:
            self._repeat(outInfo)
            return 1
        self._done = None if wants_data else self._done
        try:
            done = int(super().ProcessRequest(request, inInfo, outInfo))
        except Exception as error:
            self.error = error
            self._show(error)
            return 0
        if state is not None and done and not self.aborted():
            self._keep(state, outInfo)
        return done

    # -- ParaView asks an algorithm with several outputs, one of them an image, once for each ------
    def _state(self, request: vtkInformation, inInfo: tuple, outInfo: vtkInformation):
        """Return what the outputs depend on: options, time, inputs; None without inputs."""
        ports = [info.GetInformationObject(k) for info in inInfo for k in range(_count(info))]
        data = [vtkDataObject.GetData(port) for port in ports]
        if not data or None in data:
            return None
        inputs = tuple((each.__this__, each.GetUpdateTime(), each.GetMTime()) for each in data)
        return self.GetMTime(), requested_time(request, outInfo), inputs

    def _keep(self, state: tuple, outInfo: vtkInformation) -> None:
        """Keep the outputs, which share their arrays with what is kept."""
        self._done, self._kept = state, []
        for port in range(self.GetNumberOfOutputPorts()):
            output = self.output(outInfo, port)
            self._kept.append(output.NewInstance())
            self._kept[-1].ShallowCopy(output)

    def _repeat(self, outInfo: vtkInformation) -> None:
        """Give the outputs that are kept."""
        for port, kept in enumerate(self._kept):
            self.output(outInfo, port).ShallowCopy(kept)

    def _show(self, error: Exception) -> None:
        """Show an error in the output window, with its traceback when it is a bug."""
        if isinstance(error, PVEnsembleError):
            text = str(error)
        else:
            text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
        vtkOutputWindow.GetInstance().DisplayErrorText(f"ERROR: {spaced(self)}: {text}\n")

    def _set(self, name: str, value: object) -> None:
        """Set the attribute ``_name`` and mark the algorithm modified if it changed."""
        if getattr(self, "_" + name) != value:
            setattr(self, "_" + name, value)
            self.Modified()

    # -- inputs and outputs --------------------------------------------------------------------
    def runs_input(self, inInfo: tuple, port: int = 0) -> RunsData:
        """Return the "Runs" input of a port.

        Raises
        ------
        MissingArrayError
            When the input is of another kind or not the runs of an ensemble.
        """
        data = self.GetInputData(inInfo, port, 0)
        if not isinstance(data, vtkPolyData):
            got = "nothing" if data is None else data.GetClassName()
            raise MissingArrayError(
                "needs the runs of an ensemble (vtkPolyData, the first output of Ensemble "
                f"Reader); got {got}"
            )
        if data.GetNumberOfCells() == data.GetCellData().GetNumberOfArrays() == 0:
            raise MissingArrayError("the input is empty; see the message of what comes before it")
        return RunsData(data)

    def current_runs(self, port: int = 0) -> RunsData | None:
        """Return the runs that are at a port now, or None: for the lists in the panel."""
        connected = self.GetNumberOfInputConnections(port) > 0
        data = self.GetInputDataObject(port, 0) if connected else None
        if isinstance(data, vtkPolyData) and data.GetCellData().HasArray(schema.RUN_INDEX):
            return RunsData(data)
        return None

    def GetColumnNames(self) -> list[str]:
        """Columns of the input, for the lists in the panel."""
        runs = self.current_runs()
        return ["", *(runs.columns if runs else [])]

    def GetMetricNames(self) -> list[str]:
        """Metrics of the input, for the lists in the panel."""
        runs = self.current_runs()
        return ["", *(runs.metric_names if runs else [])]

    def output(self, outInfo: vtkInformation, port: int = 0) -> vtkDataObject:
        """Return the output of a port."""
        return self.GetOutputData(outInfo, port)

    # -- live update ---------------------------------------------------------------------------
    def GetNeedsUpdate(self) -> bool:
        """Tell ParaView's live sources that a reader upstream has read something new.

        ParaView asks all sources with the hint ``LiveSource`` many times a second, and renders the
        views that show those that say yes: the plots, while the reader itself is seldom shown.
        """
        generations = tuple(getattr(a, "generation", None) for a in upstream(self))
        changed = self._shown is not None and generations != self._shown
        self._shown = generations
        return changed

    # -- progress and abort --------------------------------------------------------------------
    def report(self, fraction: float, text: str = "") -> None:
        """Show progress, 0 to 1."""
        if text:
            self.SetProgressText(text)
        self.UpdateProgress(float(fraction))

    def aborted(self) -> bool:
        """Tell whether the user asked to stop; the filter should then return 1 at once."""
        check = getattr(self, "CheckAbort", None)
        return bool(check() if check else self.GetAbortExecute())


def _count(info: vtkInformation) -> int:
    """Return the number of connections of an input port."""
    return info.GetNumberOfInformationObjects()


def _piece(request: vtkInformation, outInfo: vtkInformation) -> int:
    """Return the number of the process that is asked for data."""
    port = max(request.Get(vtkDemandDrivenPipeline.FROM_OUTPUT_PORT()), 0)
    info = outInfo.GetInformationObject(port)
    key = _Pipeline.UPDATE_PIECE_NUMBER()
    return info.Get(key) if info is not None and info.Has(key) else 0


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
