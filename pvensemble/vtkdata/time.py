"""Steps as VTK time: publishing them, and finding the one that a view asks for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from vtkmodules.vtkCommonCore import vtkInformation, vtkInformationVector
from vtkmodules.vtkCommonDataModel import vtkDataObject
from vtkmodules.vtkCommonExecutionModel import vtkDemandDrivenPipeline
from vtkmodules.vtkCommonExecutionModel import vtkStreamingDemandDrivenPipeline as _Pipeline


def publish_time_steps(info: vtkInformation, steps: Sequence[float]) -> None:
    """Tell downstream which steps there are; none removes what was published before.

    Parameters
    ----------
    info : vtkInformation
        Output information of one port, in RequestInformation.
    steps : (n_steps,) sequence
        In optimizer steps, ascending.
    """
    info.Remove(_Pipeline.TIME_STEPS())
    info.Remove(_Pipeline.TIME_RANGE())
    if len(steps):
        for step in steps:
            info.Append(_Pipeline.TIME_STEPS(), float(step))
        info.Append(_Pipeline.TIME_RANGE(), float(steps[0]))
        info.Append(_Pipeline.TIME_RANGE(), float(steps[-1]))


def published_time_steps(info: vtkInformation) -> list[float]:
    """Return the steps that a port publishes, ``[]`` for none."""
    key = _Pipeline.TIME_STEPS()
    return [key.Get(info, i) for i in range(key.Length(info))] if info.Has(key) else []


def requested_time(request: vtkInformation, outInfo: vtkInformationVector) -> float | None:
    """Return the time that an update is for, or None.

    It stands with the port that asked; what stands with the others may be older.
    """
    port = vtkDemandDrivenPipeline.FROM_OUTPUT_PORT().Get(request)
    info = outInfo.GetInformationObject(max(port, 0))
    key = _Pipeline.UPDATE_TIME_STEP()
    return key.Get(info) if key.Has(info) else None


def data_time(data: vtkDataObject) -> float | None:
    """Return the time (step) that a data set says it belongs to, or None."""
    info = data.GetInformation()
    return (
        info.Get(vtkDataObject.DATA_TIME_STEP())
        if info.Has(vtkDataObject.DATA_TIME_STEP())
        else None
    )


def set_data_time(data: vtkDataObject, step: float | None) -> None:
    """Mark a data set as belonging to a step."""
    if step is None:
        data.GetInformation().Remove(vtkDataObject.DATA_TIME_STEP())
    else:
        data.GetInformation().Set(vtkDataObject.DATA_TIME_STEP(), float(step))


def snap_index(steps: Sequence[float], time: float | None) -> int:
    """Return the position of the largest step at or before a time.

    The first step for an earlier time, the last one when no time is asked for (None).

    Raises
    ------
    ValueError
        When there are no steps.
    """
    if len(steps) == 0:
        raise ValueError("there are no steps")
    if time is None:
        return len(steps) - 1
    return max(int(np.searchsorted(np.asarray(steps), time, side="right")) - 1, 0)


def snap(steps: Sequence[float], time: float | None) -> float:
    """Return the largest step at or before a time; see ``snap_index``."""
    return steps[snap_index(steps, time)]
