"""The tensors that one process holds, and what it does with them when the first one asks.

Functions of runs and classes that gather over the steps are registered by name: only what is
registered can be asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from vtkmodules.vtkCommonDataModel import vtkCompositeDataSet, vtkImageData, vtkMultiBlockDataSet

from pvensemble import schema
from pvensemble.filters._cache import cached
from pvensemble.vtkdata.arrays import stack_from_image, to_numpy
from pvensemble.vtkdata.parallel import Message

STEP_FIELD, SHAPE_FIELD = "step", "shape"

_functions: dict[str, Callable] = {}
_states: dict[str, type] = {}


def per_run(function: Callable) -> Callable:
    """Register a function of runs, which may then be computed where the runs are.

    It takes a stack (n, y, x) and options that JSON can hold, and returns arrays (n, …) that do
    not share the stack's memory.
    """
    _functions[function.__name__] = function
    return function


def of_runs(state: type) -> type:
    """Register a class of what is gathered of runs over the steps, and stays where the runs are.

    ``add`` takes a stack (n, y, x) of the same runs at each step, ``results`` as many numbers (n,),
    both also options; ``results`` returns arrays (n, …).
    """
    _states[state.__name__] = state
    return state


class LocalTensors:
    """The tensors that this process holds of a "Tensors" data set.

    Parameters
    ----------
    data : vtkMultiBlockDataSet
        The second output of Ensemble Reader.
    states : dict
        What was gathered over the steps before, by key.
    rank : int
        Of this process.
    """

    def __init__(
        self, data: vtkMultiBlockDataSet, states: dict | None = None, rank: int = 0
    ) -> None:
        self.images: dict[str, vtkImageData] = {}
        self._rank = rank
        self._states: dict = {} if states is None else states
        for i in range(data.GetNumberOfBlocks()):
            image, metadata = data.GetBlock(i), data.GetMetaData(i)
            name = metadata.Get(vtkCompositeDataSet.NAME()) if metadata is not None else None
            if isinstance(image, vtkImageData) and name and "/" in name:
                self.images[name] = image

    def ask(self, what: str, options: dict, arrays: Sequence[np.ndarray] = ()) -> list[Message]:
        """Do something alone; see ``Ask``."""
        return [getattr(self, what)(options, arrays)]

    def describe(self, _options: dict, _arrays: Sequence) -> Message:
        """Tell what is there: of each volume its name, size, fields, and the runs it is of."""
        volumes, runs = [], []
        for name, image in self.images.items():
            kind = kind_of(name)[2]
            numbers = image.GetFieldData().GetArray(schema.RUN_INDEX)
            lacks = "" if image.GetCellData().HasArray(kind) else f"cell array {kind!r}"
            if not lacks and numbers is None:
                lacks = f"field array {schema.RUN_INDEX!r}"
            size = [max(n - 1, 1) for n in image.GetDimensions()]
            step, shape = (_field_numbers(image, field) for field in (STEP_FIELD, SHAPE_FIELD))
            about = {"step": step, "shape": shape, "size": size[1::-1], "n": size[2]}
            volumes.append({"name": name, "lacks": lacks, **about})
            known = np.empty(0, np.int64) if numbers is None else to_numpy(numbers)
            runs.append(known.astype(np.int64))
        return Message({"volumes": volumes}, runs)

    def slices(self, options: dict, arrays: Sequence) -> Message:
        """Return some slices (n, y, x) of a volume."""
        rows = arrays[0][self._mine(options, arrays)] - options["starts"][self._rank]
        found = [self._stack(options["volume"])[rows]] if len(rows) else []
        return Message({"n": len(rows)}, found)

    def per_run(self, options: dict, arrays: Sequence) -> Message:
        """Return what a function gives of some slices of a volume, or of all."""
        function, values = _functions[options["function"]], options["options"]
        image = self.images.get(options["volume"])
        if image is None:
            return Message({"n": 0})
        stack, rows = self._stack(options["volume"]), None
        if arrays:
            rows = arrays[0][self._mine(options, arrays)] - options["starts"][self._rank]
            if not len(rows):
                return Message({"n": 0})
        if not options["keep"]:
            return Message({"n": 1}, function(stack if rows is None else stack[rows], *values))
        array = image.GetCellData().GetArray(kind_of(options["volume"])[2])
        key = (options["function"], *values)
        found = cached(array, key, lambda: function(stack, *values))
        return Message({"n": 1}, found if rows is None else [each[rows] for each in found])

    def gather(self, options: dict, arrays: Sequence) -> Message:
        """Add some slices of a volume to what is gathered under a key."""
        rows = arrays[0][self._mine(options, arrays)] - options["starts"][self._rank]
        if len(rows):
            state = self._states.get(options["key"]) or _states[options["state"]](
                *options["options"]
            )
            self._states[options["key"]] = state
            state.add(self._stack(options["volume"])[rows], *options["adding"])
        return Message({})

    def results(self, options: dict, arrays: Sequence) -> Message:
        """Return what the state under a key gives for numbers, one for each run."""
        state = self._states.get(options["key"])
        if state is None:
            return Message({"n": 0})
        return Message(
            {"n": 1}, state.results(arrays[1][self._mine(options, arrays)], *options["asking"])
        )

    def forget(self, options: dict, _arrays: Sequence) -> Message:
        """Drop what is gathered under keys."""
        for key in options["keys"]:
            self._states.pop(key, None)
        return Message({})

    def _mine(self, options: dict, arrays: Sequence) -> np.ndarray:
        """Tell which of the slices (n,) that are asked for are in this process."""
        first, end = options["starts"][self._rank : self._rank + 2]
        return (arrays[0] >= first) & (arrays[0] < end)

    def _stack(self, name: str) -> np.ndarray:
        return stack_from_image(self.images[name], kind_of(name)[2])


def kind_of(name: str) -> tuple[str, str, str]:
    """Split the name of a volume into group, layer and kind."""
    group, tensor = name.split("/", 1)
    layer, kind = tensor.rsplit(".", 1) if "." in tensor else (tensor, "")
    return group, layer, kind


def _field_numbers(image: vtkImageData, name: str) -> list[int]:
    """Return a field array of integers, [] when there is none."""
    array = image.GetFieldData().GetArray(name)
    return [] if array is None else [int(v) for v in to_numpy(array)]
