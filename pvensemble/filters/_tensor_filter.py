"""Base of filters on runs and tensors, which have two inputs.

The runs (port 0) and the second output of Ensemble Reader (port 1). When the second is not
connected, the tensors of the reader that the runs come from are used, so that choosing the filter
in ParaView's menu is all there is to do.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from vtkmodules.vtkCommonCore import vtkInformation
from vtkmodules.vtkCommonDataModel import vtkDataObject, vtkMultiBlockDataSet
from vtkmodules.vtkCommonExecutionModel import vtkAlgorithm
from vtkmodules.vtkCommonExecutionModel import vtkStreamingDemandDrivenPipeline as _Pipeline

from pvensemble import schema
from pvensemble.errors import MissingArrayError, PipelineError
from pvensemble.filters._base import EnsembleAlgorithm, upstream
from pvensemble.filters._local_tensors import LocalTensors
from pvensemble.filters._team import PIECE_KEYS
from pvensemble.filters._tensors import Block, Tensors
from pvensemble.filters._volumes import volumes
from pvensemble.vtkdata.blueprint import as_tensors
from pvensemble.vtkdata.parallel import Message
from pvensemble.vtkdata.runs import RunsData
from pvensemble.vtkdata.time import requested_time

RUNS_PORT, TENSORS_PORT = 0, 1


class TensorFilter(EnsembleAlgorithm):
    """Base of filters on runs and tensors: the second input and the property ``Layer``.

    ``kind`` says what kind of tensors the filter works on.
    """

    kind = schema.CORRELATION

    def __init__(self, *, n_outputs: int = 1, output_type: str | tuple = "vtkPolyData") -> None:
        super().__init__(n_inputs=2, n_outputs=n_outputs, output_type=output_type)
        self._layer = ""
        self._states: dict = {}
        self._local: LocalTensors | None = None

    def FillInputPortInformation(self, port: int, info: vtkInformation) -> int:
        done = super().FillInputPortInformation(port, info)
        if port == TENSORS_PORT:
            info.Set(vtkAlgorithm.INPUT_IS_OPTIONAL(), 1)
        return done

    def SetLayer(self, name: str) -> None:
        """Layer to show; empty for the last one that has the kind."""
        self._set("layer", name or "")

    def GetLayerNames(self) -> list[str]:
        """Layers that are there, for the list in the panel."""
        reader = self._reader()
        read = reader.GetOutputDataObject(TENSORS_PORT) if reader is not None else None
        # What is connected may not have been updated yet: ParaView puts a filter of its own before.
        there = (
            Tensors(d) for d in (self._connected(), read) if isinstance(d, vtkMultiBlockDataSet)
        )
        return ["", *next(filter(None, (tensors.layers(self.kind) for tensors in there)), [])]

    def tensors_input(self, request, inInfo: tuple, outInfo) -> Tensors:
        """Return the tensors: of the second input, else of the reader that the runs come from.

        Raises
        ------
        MissingArrayError
            When there are none.
        """
        self._update = (request, inInfo, outInfo)
        return self.volumes_of(self.everywhere("tensors"))

    def volumes_of(self, described: list[Message]) -> Tensors:
        """Return the tensors that all processes described."""
        return Tensors(volumes(described, self._local, self.ask))

    def ask(self, what: str, options: dict, arrays: Sequence[np.ndarray] = ()) -> list[Message]:
        """Let each process do something with the tensors that it holds."""
        return self.everywhere("work", {"what": what, "options": options}, arrays)

    def part_work(self, options: dict, arrays: Sequence[np.ndarray]) -> Message:
        """Do something with the tensors of this process, see ``LocalTensors``."""
        return getattr(self._local, options["what"])(options["options"], arrays)

    def part_tensors(self, _options: dict, _arrays: Sequence) -> Message:
        """Bring the tensors of this process up to date, and tell what is there."""
        request, inInfo, outInfo = self._update
        if inInfo[TENSORS_PORT].GetNumberOfInformationObjects() > 0:
            data = as_tensors(self.GetInputData(inInfo, TENSORS_PORT, 0))
        else:
            _, data = self._bring(requested_time(request, outInfo))
        if not isinstance(data, vtkMultiBlockDataSet):
            got = "nothing" if data is None else data.GetClassName()
            raise MissingArrayError(
                "needs the tensors of an ensemble as second input, Tensors (vtkMultiBlockDataSet, "
                f"the second output of Ensemble Reader); got {got}"
            )
        return self.hold(data)

    def part_visit(self, options: dict, _arrays: Sequence) -> Message:
        """Bring the tensors of this process to a step, and tell what is there.

        ``then_forget`` says that afterwards no step is asked for.
        """
        self._local = None  # what is read anew should not be there twice
        source, port = self.source()
        done, data = self._bring(options["step"])
        if options["then_forget"]:
            source.GetExecutive().GetOutputInformation(port).Remove(_Pipeline.UPDATE_TIME_STEP())
        if not done or not isinstance(data, vtkMultiBlockDataSet):
            errors = [getattr(a, "error", None) for a in upstream(source)]
            cause = next((error for error in errors if error is not None), None)
            why = f": {cause}" if cause is not None else ""
            step = options["step"]
            raise PipelineError(f"the tensors of step {step:g} cannot be read{why}") from cause
        return self.hold(data)

    def _let_go(self) -> None:
        super()._let_go()
        self._local = None

    def hold(self, data: vtkMultiBlockDataSet) -> Message:
        """Work with tensors from now on, and tell what is there."""
        self._local = LocalTensors(data, self._states, self.place[0])
        return self._local.describe({}, ())

    def blocks_input(self, request, inInfo: tuple, outInfo, runs: RunsData) -> list[Block]:
        """Return the blocks of the chosen layer and the filter's kind; see ``Tensors.blocks``."""
        tensors = self.tensors_input(request, inInfo, outInfo)
        return tensors.blocks(self._layer, self.kind, runs.run_index)

    def _connected(self) -> vtkDataObject | None:
        """Return what is at the second input now."""
        has = self.GetNumberOfInputConnections(TENSORS_PORT) > 0
        return as_tensors(self.GetInputDataObject(TENSORS_PORT, 0)) if has else None

    def _reader(self) -> vtkAlgorithm | None:
        """Return the algorithm before this one that has a list of layers."""
        return next((a for a in upstream(self) if hasattr(a, "GetLayers")), None)

    def source(self) -> tuple[vtkAlgorithm | None, int]:
        """Return the algorithm whose output the tensors are, and its port."""
        if self.GetNumberOfInputConnections(TENSORS_PORT):
            connection = self.GetInputConnection(TENSORS_PORT, 0)
            return connection.GetProducer(), connection.GetIndex()
        return self._reader(), TENSORS_PORT

    def _bring(self, step: float | None) -> tuple[bool, vtkDataObject | None]:
        """Bring the source of the tensors to a step; return whether it could be, and them."""
        source, port = self.source()
        if source is None:
            return False, None
        executive = source.GetExecutive()
        info = executive.GetOutputInformation(port)
        for key, value in zip(PIECE_KEYS, self.place):
            info.Set(key, value)
        if step is None:
            info.Remove(_Pipeline.UPDATE_TIME_STEP())
        else:
            info.Set(_Pipeline.UPDATE_TIME_STEP(), float(step))
        done = bool(executive.Update(port))
        return done, as_tensors(source.GetOutputDataObject(port))
