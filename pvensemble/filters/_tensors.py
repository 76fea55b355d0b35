"""The "Tensors" input of filters on layers: blocks of a layer and kind, matched to the runs.

Such a filter has two inputs: the runs (port 0) and the second output of Ensemble Reader (port 1).
When the second is not connected, the tensors of the reader that the runs come from are used, so
that choosing the filter in ParaView's menu is all there is to do.

``cached`` keeps what was computed from an array of the input as long as that array lives: several
filters on the same tensors share it, and another threshold computes nothing twice.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace

import numpy as np
from vtkmodules.vtkCommonCore import vtkDataArray, vtkInformation
from vtkmodules.vtkCommonDataModel import (
    vtkCompositeDataSet,
    vtkDataObject,
    vtkImageData,
    vtkMultiBlockDataSet,
)
from vtkmodules.vtkCommonExecutionModel import vtkAlgorithm
from vtkmodules.vtkCommonExecutionModel import vtkStreamingDemandDrivenPipeline as _Pipeline

from pvensemble import schema
from pvensemble.errors import MissingArrayError, NotRecordedError, did_you_mean
from pvensemble.filters._base import EnsembleAlgorithm, upstream
from pvensemble.numerics.correlation import existing_filters
from pvensemble.numerics.merging import existing
from pvensemble.vtkdata.arrays import stack_from_image, to_numpy
from pvensemble.vtkdata.runs import RunsData
from pvensemble.vtkdata.time import requested_time

RUNS_PORT, TENSORS_PORT = 0, 1
STEP_FIELD, SHAPE_FIELD = "step", "shape"


@dataclass(frozen=True)
class Block:
    """The tensors of one group of runs, of one layer and kind, at one step.

    Attributes
    ----------
    group : str
        Name of the group, ``g000``.
    layer, kind : str
    step : int
        Recorded step of the tensors; -1 when it is not known.
    shape : tuple of int
        Of one run's tensor before it was tiled to (y, x); () when it is not known.
    array : vtkDataArray
        The cell array: the key for ``cached``.
    stack : numpy.ndarray
        (n_slices, y, x) all slices, a view of ``array``: never write to it.
    rows : numpy.ndarray
        (n,) int64 slices of the runs that are in the input, in the order of their cells.
    cells : numpy.ndarray
        (n,) int64 cell of each of these runs in the input.
    standing : numpy.ndarray or None
        (n_slices, n_filters) for each filter the one that stands for it, where filters are merged
        during training and the input holds `schema.FILTER_GROUP` of this layer.
    """

    group: str
    layer: str
    kind: str
    step: int
    shape: tuple
    array: vtkDataArray
    stack: np.ndarray
    rows: np.ndarray
    cells: np.ndarray
    standing: np.ndarray | None = None

    @property
    def n_filters(self) -> int:
        """Number of filters: rows of a correlation matrix, first axis of other tensors."""
        return self.shape[0] if self.shape else self.stack.shape[1]

    def exists(self, row: int) -> np.ndarray:
        """Tell which filters of a slice are there, (n_filters,) bool: not merged away.

        Correlations show it themselves; of other kinds it is known from ``standing``.
        """
        if self.kind == schema.CORRELATION:
            return existing_filters(self.stack[row])
        if self.standing is None or self.standing.shape[1] != self.n_filters:
            return np.ones(self.n_filters, bool)
        return existing(self.standing[row])

    def chosen(self) -> np.ndarray:
        """Return the slices (n, y, x) of the input's runs; a view when that is all in order."""
        if np.array_equal(self.rows, np.arange(len(self.stack))):
            return self.stack
        return self.stack[self.rows]


class Tensors:
    """Read access to a "Tensors" data set.

    Parameters
    ----------
    data : vtkMultiBlockDataSet
        The second output of Ensemble Reader.
    """

    def __init__(self, data: vtkMultiBlockDataSet) -> None:
        self._images: dict[tuple[str, str, str], vtkImageData] = {}
        for i in range(data.GetNumberOfBlocks()):
            image, metadata = data.GetBlock(i), data.GetMetaData(i)
            name = metadata.Get(vtkCompositeDataSet.NAME()) if metadata is not None else None
            if isinstance(image, vtkImageData) and name and "/" in name:
                group, tensor = name.split("/", 1)
                layer, kind = tensor.rsplit(".", 1) if "." in tensor else (tensor, "")
                self._images[group, layer, kind] = image

    @property
    def kinds(self) -> list[str]:
        """Kinds that are there, each once."""
        return list(dict.fromkeys(kind for _, _, kind in self._images))

    def layers(self, kind: str) -> list[str]:
        """Layers that have a kind, in the order of the network."""
        return list(dict.fromkeys(layer for _, layer, k in self._images if k == kind))

    def layer(self, name: str, kind: str) -> str:
        """Return the layer of that name, or for "" the last one that has the kind.

        Raises
        ------
        NotRecordedError
            When the input does not hold it; the message says what to check in the reader.
        """
        there = self.layers(kind)
        if name in there:
            return name
        if not name and there:
            return there[-1]
        wanted = f"layer {name!r}" if name else "a layer"
        if name and any(layer == name for _, layer, _ in self._images):
            raise NotRecordedError(
                f"layer {name!r} comes without its {kind}: check {kind!r} under Kinds of the "
                f"Ensemble Reader; if it is not listed there, or checked, it was not recorded "
                f"(record.kinds of the training)"
            )
        held = f"; the input holds the {kind} of {', '.join(there)}" if there else ""
        near = did_you_mean(name, there) if name and there else ""
        raise NotRecordedError(
            f"the tensors hold no {kind} of {wanted}: check {wanted} under Layers of the Ensemble "
            f"Reader, and {kind!r} under Kinds{near or held}"
        )

    def blocks(self, layer: str, kind: str, run_index: np.ndarray) -> list[Block]:
        """Return the blocks of a layer and kind that hold runs of the input.

        Parameters
        ----------
        layer : str
            "" for the last layer that has the kind.
        kind : str
        run_index : (n_runs,) int
            Of the "Runs" input.

        Returns
        -------
        list of Block
            One a group; groups of which no run is in the input are left out.

        Raises
        ------
        NotRecordedError
            When the layer or its kind is not there.
        """
        layer = self.layer(layer, kind)
        found = []
        for (group, name, a_kind), image in self._images.items():
            if (name, a_kind) == (layer, kind):
                block = _block(group, layer, kind, image, np.asarray(run_index))
                if len(block.cells):
                    found.append(replace(block, standing=self._standing(group, layer, image)))
        return found

    def _standing(self, group: str, layer: str, like: vtkImageData) -> np.ndarray | None:
        """Return which filter stands for which in the slices of a volume, None if unknown."""
        image = self._images.get((group, layer, schema.FILTER_GROUP))
        if image is None:
            return None
        fields = (schema.RUN_INDEX, STEP_FIELD)
        if any(_field_numbers(image, name) != _field_numbers(like, name) for name in fields):
            return None
        return stack_from_image(image, schema.FILTER_GROUP)[:, 0]

    def probe_images(self, group: str) -> np.ndarray | None:
        """Return the images that a group's activations are of, None when they are not there.

        Returns
        -------
        (n_channels, n_images, h, w) float32
        """
        image = self._images.get((group, *schema.PROBE_IMAGES))
        shape = () if image is None else _field_numbers(image, SHAPE_FIELD)
        if not 2 <= len(shape) <= 4:
            return None
        stack = stack_from_image(image, schema.PROBE_IMAGES[1])[0]
        channels, n_images, h, w = (*shape[:2], *(1, 1, *shape[2:])[-2:])
        return stack.reshape(channels, h, n_images, w).swapaxes(1, 2)


def _block(group: str, layer: str, kind: str, image: vtkImageData, run_index: np.ndarray) -> Block:
    """Match the slices of a volume to the runs of the input."""
    array = image.GetCellData().GetArray(kind)
    numbers = image.GetFieldData().GetArray(schema.RUN_INDEX)
    if array is None or numbers is None:
        lacks = f"cell array {kind!r}" if array is None else f"field array {schema.RUN_INDEX!r}"
        raise MissingArrayError(
            f"block {group}/{layer}.{kind} has no {lacks}; use the second output of Ensemble Reader"
        )
    slices = to_numpy(numbers).astype(np.int64)
    order = np.argsort(slices, kind="stable")
    place = np.searchsorted(slices[order], run_index)
    place = np.minimum(place, max(len(slices) - 1, 0))
    has = slices[order][place] == run_index if len(slices) else np.zeros(len(run_index), bool)
    step = _field_numbers(image, STEP_FIELD)
    return Block(
        group,
        layer,
        kind,
        step[0] if step else -1,
        _field_numbers(image, SHAPE_FIELD),
        array,
        stack_from_image(image, kind),
        order[place[has]].astype(np.int64),
        np.flatnonzero(has).astype(np.int64),
    )


def _field_numbers(image: vtkImageData, name: str) -> tuple:
    """Return a field array of integers, () when there is none."""
    array = image.GetFieldData().GetArray(name)
    return () if array is None else tuple(int(v) for v in to_numpy(array))


class TensorFilter(EnsembleAlgorithm):
    """Base of filters on runs and tensors: the second input and the property ``Layer``.

    ``kind`` says what kind of tensors the filter works on.
    """

    kind = schema.CORRELATION

    def __init__(self, *, n_outputs: int = 1, output_type: str | tuple = "vtkPolyData") -> None:
        super().__init__(n_inputs=2, n_outputs=n_outputs, output_type=output_type)
        self._layer = ""

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
        if inInfo[TENSORS_PORT].GetNumberOfInformationObjects() > 0:
            data = self.GetInputData(inInfo, TENSORS_PORT, 0)
        else:
            data = self._read(requested_time(request, outInfo))
        if not isinstance(data, vtkMultiBlockDataSet):
            got = "nothing" if data is None else data.GetClassName()
            raise MissingArrayError(
                "needs the tensors of an ensemble as second input, Tensors (vtkMultiBlockDataSet, "
                f"the second output of Ensemble Reader); got {got}"
            )
        return Tensors(data)

    def blocks_input(self, request, inInfo: tuple, outInfo, runs: RunsData) -> list[Block]:
        """Return the blocks of the chosen layer and the filter's kind; see ``Tensors.blocks``."""
        tensors = self.tensors_input(request, inInfo, outInfo)
        return tensors.blocks(self._layer, self.kind, runs.run_index)

    def _connected(self) -> vtkDataObject | None:
        """Return what is at the second input now."""
        has = self.GetNumberOfInputConnections(TENSORS_PORT) > 0
        return self.GetInputDataObject(TENSORS_PORT, 0) if has else None

    def _reader(self) -> vtkAlgorithm | None:
        """Return the algorithm before this one that has a list of layers."""
        return next((a for a in upstream(self) if hasattr(a, "GetLayers")), None)

    def _read(self, step: float | None) -> vtkDataObject | None:
        """Bring the tensors of the reader up to date at a step, and return them."""
        reader = self._reader()
        if reader is None:
            return None
        executive = reader.GetExecutive()
        info = executive.GetOutputInformation(TENSORS_PORT)
        if step is None:
            info.Remove(_Pipeline.UPDATE_TIME_STEP())
        else:
            info.Set(_Pipeline.UPDATE_TIME_STEP(), float(step))
        executive.Update(TENSORS_PORT)
        return reader.GetOutputDataObject(TENSORS_PORT)


# -- what was computed from an array ---------------------------------------------------------------
_kept: dict[str, tuple[int, dict]] = {}
"""For each array's address: its MTime, and the results by key."""


def cached(array: vtkDataArray, key: Hashable, compute: Callable[[], object]) -> object:
    """Return ``compute()``, or what it returned before for this array and key.

    Parameters
    ----------
    array : vtkDataArray
        Results are kept until it is modified or deleted.
    key : hashable
        Names the computation and all its options: ``("run_vectors", 0.7, "average")``.
    compute : callable
        Its result must not share the array's memory, which would keep the array alive.
    """
    address = array.__this__
    mtime, results = _kept.get(address, (None, {}))
    if mtime is None:
        array.AddObserver("DeleteEvent", lambda *_event: _kept.pop(address, None))
    if mtime != array.GetMTime():
        results = {}
        _kept[address] = (array.GetMTime(), results)
    if key not in results:
        results[key] = compute()
    return results[key]
