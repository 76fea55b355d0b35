"""Which process reads which runs' tensors: what Ensemble Reader gives as "Tensors".

The first process plans: which volumes there are at a step, and which slices of the files they are
made of. The others follow the plan and not what they see of the files, which may be less, or more,
while training goes on. Of a volume each process reads neighbouring slices, the first processes one
more when they cannot be equal.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from vtkmodules.vtkCommonDataModel import vtkImageData

from pvensemble import schema
from pvensemble.errors import NotRecordedError, StoreError
from pvensemble.filters._local_tensors import SHAPE_FIELD, STEP_FIELD
from pvensemble.store import Ensemble
from pvensemble.store.group import Group
from pvensemble.vtkdata import time
from pvensemble.vtkdata.arrays import add_field, image_from_stack
from pvensemble.vtkdata.parallel import Message, share


def plan_of(ensemble: Ensemble, chosen: dict, step: float | None, run_index: np.ndarray) -> Message:
    """Return what is to be read.

    Parameters
    ----------
    ensemble : Ensemble
    chosen : dict
        Names of the ``layers`` and ``kinds``, and of the groups that are ``left_out``.
    step : float, optional
        None for the last one.
    run_index : (n_runs,) int64
        Runs that are read.

    Returns
    -------
    Message
        Head: ``volumes``, each with ``name``, ``group``, ``layer``, ``kind``, recorded ``step``,
        number ``n`` of slices and, as ``slices``, which array has their positions in the group;
        the next array has their runs.
    """
    left_out = {*chosen["left_out"]}  # another process may have groups that this one never saw
    groups = [group for group in ensemble.groups if group.name not in left_out]
    here = [np.flatnonzero(np.isin(group.run_indices, run_index)) for group in groups]
    volumes = [
        {**volume, "n": len(here[g]), "slices": 2 * g}
        for keys in wanted(chosen)
        for g, group in enumerate(groups)
        for key in keys
        if len(here[g]) and (volume := planned(group, *key, step)) is not None
    ]
    of_groups = zip(here, groups)
    return Message({"volumes": volumes}, [a for h, g in of_groups for a in (h, g.run_indices[h])])


def wanted(chosen: dict) -> list[list[tuple[str, str]]]:
    """Return the layers and kinds that are looked for in each group: first the chosen ones."""
    layers, kinds = chosen["layers"], chosen["kinds"]
    pairs = [(layer, kind) for layer in layers for kind in kinds]
    images = [schema.PROBE_IMAGES] if pairs and schema.ACTIVATION in kinds else []
    standing = [(layer, schema.FILTER_GROUP) for layer in layers if kinds]
    return [pairs, images, [pair for pair in standing if pair not in pairs]]


def planned(group: Group, layer: str, kind: str, step: float | None) -> dict | None:
    """Return what a volume is made of, None when it is not recorded."""
    try:
        steps = group.recorded_steps(layer, kind)
    except NotRecordedError:  # a group of another shape, or not recorded yet
        return None
    if len(steps) == 0:
        return None
    name = f"{group.name}/{schema.tensor_name(layer, kind)}"
    recorded = int(time.snap(steps, step))
    return {"name": name, "group": group.name, "layer": layer, "kind": kind, "step": recorded}


def joined_plans(plans: Sequence[Message], run_index: np.ndarray) -> Message:
    """Return one plan of processes that hold the tensors of some runs each.

    Volumes have ``counts``, the number of slices in each process; the array holds the runs.
    """
    volumes: dict[str, dict] = {}
    for rank, plan in enumerate(plans):
        for volume in plan.head["volumes"]:
            known = volumes.setdefault(volume["name"], {**volume, "counts": [0] * len(plans)})
            known["counts"][rank] = volume["n"]
    return Message({"volumes": list(volumes.values())}, [run_index])


def read_share(
    ensemble: Ensemble, volume: dict, arrays: Sequence[np.ndarray], rank: int, size: int
) -> vtkImageData | None:
    """Return a process's share of a volume, None when it has none."""
    is_of_runs = (volume["layer"], volume["kind"]) != schema.PROBE_IMAGES
    if ensemble.distributed:
        first = sum(volume["counts"][:rank])
        if not volume["counts"][rank]:
            return None
        group = _group(ensemble, volume)
        rows = np.flatnonzero(np.isin(group.run_indices, arrays[0]))
        run_index = group.run_indices[rows]
    else:
        mine = share(volume["n"], rank, size)
        first = mine.start
        rows, run_index = (array[mine] for array in arrays[volume["slices"] :][:2])
        if not len(rows) or (rank and not is_of_runs):
            return None
        group = _group(ensemble, volume)
    layer, kind, step = volume["layer"], volume["kind"], volume["step"]
    stack = group.tensor(layer, kind, step)
    if is_of_runs and not np.array_equal(rows, np.arange(len(stack))):
        stack = stack[rows]  # a copy: of the whole file nothing stays in memory
    image = image_from_stack(stack, kind)
    if is_of_runs:
        move_up(image, first)
        add_field(image.GetFieldData(), schema.RUN_INDEX, run_index)
    add_field(image.GetFieldData(), STEP_FIELD, np.array([step], np.int64))
    shape = group.tensor_shape(layer, kind, step)
    add_field(image.GetFieldData(), SHAPE_FIELD, np.array(shape, np.int64))
    return image


def move_up(image: vtkImageData, n: int) -> None:
    """Let a volume begin n cells higher: where its slices stand among those of all processes."""
    x0, x1, y0, y1, z0, z1 = image.GetExtent()
    image.SetExtent(x0, x1, y0, y1, z0 + n, z1 + n)


def _group(ensemble: Ensemble, volume: dict) -> Group:
    """Return the group of a volume; look at the files anew when it, or the step, is not known."""
    for _ in range(2):
        for group in ensemble.groups:
            if group.name == volume["group"] and _has(group, volume):
                return group
        ensemble.refresh()
    raise StoreError(
        f"{ensemble.path}: {volume['name']} of step {volume['step']}, which the first process "
        "sees, is not there: all processes must see the same files; try again if the file system "
        "shows new files late"
    )


def _has(group: Group, volume: dict) -> bool:
    try:
        return volume["step"] in group.recorded_steps(volume["layer"], volume["kind"])
    except NotRecordedError:
        return False
