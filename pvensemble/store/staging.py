"""The files of a commit: written and synced here, they exist once the index says so."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from pvensemble.errors import NotRecordedError, StoreError, did_you_mean
from pvensemble.schema import METRICS_DIR, NETWORK, PROBE_IMAGES, step_file, tensor_name
from pvensemble.store.files import digest, sync_directory, unwritable, write_file
from pvensemble.store.group_index import GroupIndex
from pvensemble.store.images import arrays_image, tensor_image
from pvensemble.store.records import check_name
from pvensemble.store.tiling import tile


def stage_file(directory: Path, name: str, data: bytes) -> dict:
    """Write a file of a group durably and return what the index says of it.

    Raises
    ------
    StoreError
        The system refuses.
    """
    path = directory / name
    try:
        if not path.parent.is_dir():
            path.parent.mkdir()
            sync_directory(directory)
        write_file(path, data)
    except OSError as error:
        raise unwritable(path, error, what="a recorded file") from error
    return {"file": name, "bytes": len(data), "sha256": digest(data)}


def stage_tensor(
    directory: Path, index: GroupIndex, step: int, key: tuple[str, str], values: np.ndarray
) -> dict:
    """Write one layer's tensors of one kind and return their entry in the index.

    Parameters
    ----------
    key
        (layer, kind), as announced in the group's header; `PROBE_IMAGES`; or `NETWORK` where the
        header lists parameters.
    values
        (n_runs, \\*shape), of the probe images (1, \\*shape); float16 is stored as compressed
        float32, because VTK has no float16.

    Raises
    ------
    NotRecordedError
        The layer or kind was not announced.
    StoreError
        The first axis is not the run, or the system refuses.
    """
    known = {(info.name, kind) for info in index.layers for kind in info.kinds}
    known.add(PROBE_IMAGES)
    known |= {NETWORK} if index.parameters else set()
    name = tensor_name(*key)
    if key not in known:
        raise NotRecordedError(
            f"group {index.name}: '{name}' was not announced when the group was created"
            + did_you_mean(name, sorted(tensor_name(*k) for k in known))
        )
    values = np.asarray(values)
    expected = 1 if key == PROBE_IMAGES else len(index.runs)
    if values.ndim < 1 or len(values) != expected:
        raise StoreError(
            f"group {index.name}, '{name}', step {step}: the shape is {values.shape}; the first "
            f"axis is the run, expected {expected}"
        )
    stack = tile(values)
    data, offset = tensor_image(stack, key[1], compress=values.dtype == np.float16)
    return {
        "layer": key[0],
        "kind": key[1],
        "shape": list(values.shape[1:]),
        "stack": list(stack.shape),
        "offset": offset,
        **stage_file(directory, f"{name}/{step_file(step)}", data),
    }


def new_rows(
    index: GroupIndex, metrics: Mapping[str, tuple]
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return the rows of each metric that come after the last stored one.

    Raises
    ------
    StoreError
        A name is not possible, steps do not ascend, or values are not (n_steps, n_runs).
    """
    rows = {}
    for name, (steps, values) in metrics.items():
        where = f"group {index.name}, metric '{name}'"
        check_name(name, f"group {index.name}: the name of a metric")
        steps = np.asarray(steps, np.int64).reshape(-1)
        values = np.asarray(values)
        if values.dtype not in (np.float32, np.float64):
            values = values.astype(np.float64)
        if values.shape != (len(steps), len(index.runs)):
            raise StoreError(
                f"{where}: the values have the shape {values.shape}; expected (steps, runs) = "
                f"({len(steps)}, {len(index.runs)})"
            )
        if np.any(np.diff(steps) <= 0) or np.any(steps[:1] < 0):
            raise StoreError(f"{where}: the steps do not ascend from 0 on; got {steps.tolist()}")
        fresh = steps > index.metric_steps.get(name, -1)
        if fresh.any():
            rows[name] = steps[fresh], values[fresh]
    return rows


def stage_rows(directory: Path, index: GroupIndex, step: int, rows: Mapping[str, tuple]) -> dict:
    """Write a file of metric rows; metrics of the same steps share one array of steps."""
    arrays: dict[str, np.ndarray] = {}
    places: dict[bytes, str] = {}
    steps_of = {}
    for name, (steps, values) in rows.items():
        place = places.setdefault(steps.tobytes(), f"steps/{len(places)}")
        arrays[place] = steps
        arrays[f"values/{name}"] = values
        steps_of[name] = place
    data, table = arrays_image(arrays)
    used = {segment.file.name for segment in index.segments}
    stem = f"{METRICS_DIR}/s{step:06d}"
    names = itertools.chain([f"{stem}.hdf"], (f"{stem}-{n}.hdf" for n in itertools.count(1)))
    return {
        **stage_file(directory, next(n for n in names if n not in used), data),
        "arrays": table,
        "steps_of": steps_of,
        "last": {name: int(steps[-1]) for name, (steps, _) in rows.items()},
    }
