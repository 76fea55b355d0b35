"""The ``.vtkhdf.series`` files with which stock ParaView opens a time series without our plugin."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from pvensemble.schema import SERIES_SUFFIX, step_file, tensor_name
from pvensemble.store.files import unwritable, write_file


def series_text(layer: str, kind: str, steps: Iterable[int]) -> bytes:
    """Return the content of the series file of one layer and kind: time is the step."""
    name = tensor_name(layer, kind)
    files = [{"name": f"{name}/{step_file(s)}", "time": s} for s in sorted(steps)]
    return json.dumps({"file-series-version": "1.0", "files": files}, indent=1).encode()


def write_series(
    directory: Path, layer: str, kind: str, steps: Iterable[int], *, sync: bool = False
) -> None:
    """Write the series file of one layer and kind into the group's directory."""
    path = directory / (tensor_name(layer, kind) + SERIES_SUFFIX)
    try:
        write_file(path, series_text(layer, kind, steps), sync=sync)
    except OSError as error:
        raise unwritable(path, error, what="a series file") from error
