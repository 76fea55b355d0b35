"""The data side of a scene: the ensemble, its runs, its time steps."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

import numpy as np
from paraview import simple

from pvensemble.errors import SceneError
from pvensemble.schema import (
    ACCURACY_METRICS,
    CODE_SUFFIX,
    curve_array,
)
from pvensemble.views.data import fetch, information
from pvensemble.views.picked import corner_runs
from pvensemble.views.server import READER, check_readable, need_plugin, same_file
from pvensemble.vtkdata.runs import RunsData

MEASURES, GROUPS = "PerformanceMeasures", "RunGroups"
LOW_AND_HIGH = """\
low = #d62728 : bottom 10 combined
high = #2ca02c : top 10 combined"""
EARLY = 1 / 3
"""Share of the training after which P1 judges a run, and from which P2 and P3 do."""


def open_ensemble(path: str | None = None) -> Any:
    """Return the reader of an ensemble, or the newest when no path is given.

    An ensemble that is open already keeps its reader, so that all scenes share their runs.

    Raises
    ------
    SceneError
        The plugin is not loaded where the data are, the ensemble cannot be read there, or no path
        is given and no ensemble is open.
    """
    need_plugin()
    opened = readers()
    if path is not None:
        same = [r for r in opened if same_file(r.FileName, path)]
        if same:
            return same[-1]
        check_readable(str(path))
        return simple.EnsembleReader(registrationName=PurePath(path).stem, FileName=str(path))
    if not opened:
        raise SceneError("no ensemble is open: open a .pvens file first, then load the scene")
    return opened[-1]


def open_runs(path: str | None = None, groups: str | None = None) -> dict[str, Any]:
    """Return reader, measures and groups of an ensemble; those that are there are used again.

    Parameters
    ----------
    path : str, optional
        See :func:`open_ensemble`.
    groups : str, optional
        Run groups; the worst and the best runs when omitted and there are none yet.

    Returns
    -------
    dict of str to proxy
        ``reader``, ``measures``, ``groups``.
    """
    reader = open_ensemble(path)
    chosen = of_reader(reader, find(GROUPS))
    if chosen and root_of(chosen[-1].Input, MEASURES) is not None:
        runs = chosen[-1]
        if groups is not None:
            runs.Groups = groups
        return {"reader": reader, "measures": root_of(runs, MEASURES), "groups": runs}
    measures = simple.PerformanceMeasures(registrationName="Measures", Input=reader)
    judge_from(measures, EARLY)
    runs = simple.RunGroups(
        registrationName="Groups", Input=measures, Groups=groups or LOW_AND_HIGH
    )
    return {"reader": reader, "measures": measures, "groups": runs}


def readers() -> list[Any]:
    """Return the readers of runs: all but those that only feed tensors to a plot."""
    return [reader for reader in find(READER) if not _feeds_only_tensors(reader)]


def _feeds_only_tensors(reader: Any) -> bool:
    proxy = reader.SMProxy
    ports = {
        proxy.GetConsumerProperty(k).GetXMLName()
        for k in range(proxy.GetNumberOfConsumers())
        if proxy.GetConsumerProperty(k) is not None
    }
    return "Tensors" in ports and "Input" not in ports


def of_reader(reader: Any, sources: list[Any]) -> list[Any]:
    """Those sources that show the runs of a reader."""
    return [source for source in sources if root_of(source).SMProxy == reader.SMProxy]


def find(xml_name: str) -> list[Any]:
    """Return all sources of a kind, in the order in which they were made."""
    sources = simple.GetSources().values()
    kept = [s for s in sources if s.SMProxy.GetXMLName() == xml_name]
    return sorted(kept, key=lambda s: s.SMProxy.GetGlobalID())


def root_of(source: Any, kind: str | None = None) -> Any:
    """Return the source at the upper end of a pipeline, or the first of a kind; else None."""
    while source is not None:
        if kind is not None and source.SMProxy.GetXMLName() == kind:
            return source
        above = getattr(source, "Input", None)
        if above is None:
            return source if kind is None else None
        source = above
    return None


def axes_of(runs: Any) -> list[str]:
    """Names of the hyper-parameters and measures of runs, in order."""
    data = RunsData(fetch(runs))
    return data.hyper_parameters + data.measures


def varying(runs: Any, names: list[str]) -> list[str]:
    """Those columns in which not all runs are equal."""
    cells = fetch(runs).GetCellData()
    kept = []
    for name in names:
        array = cells.GetAbstractArray(name)
        values = [array.GetVariantValue(i).ToString() for i in range(array.GetNumberOfValues())]
        if len(set(values)) > 1:
            kept.append(name)
    return kept


def accuracy_column(runs: Any) -> str | None:
    """The column that holds the accuracy at the present step, or None."""
    cells = fetch(runs).GetCellData()
    return next((m for m in ACCURACY_METRICS if cells.GetArray(m) is not None), None)


def corners(runs: Any, layer: str = "") -> list[str]:
    """The run lowest and the run highest in the hyper-parameters, as values of ``Runs``.

    Of those whose network has a layer, where one is given.
    """
    return [str(run) for run in corner_runs(RunsData(fetch(runs)), layer)] or [""]


def time_steps() -> list[float]:
    """Return ParaView's time steps, ascending; empty where no source has any."""
    times = np.atleast_1d(simple.GetTimeKeeper().TimestepValues)
    return [float(t) for t in times if t is not None]


def judge_from(measures: Any, share: float) -> None:
    """Take P1 at a share of the training, and P2 and P3 from there to the end."""
    times = time_steps()
    if times:
        measures.P1Step = measures.IntervalStart = round(share * times[-1])


def is_metric(runs: Any, column: str) -> bool:
    """Whether a column of runs is a metric at the present step, which has a curve."""
    fields = information(runs).GetFieldDataInformation()
    return fields.GetArrayInformation(curve_array(column)) is not None


def curve_range(runs: Any, metric: str) -> tuple[float, float]:
    """Return the 10th percentile and the maximum of a metric over all runs and steps."""
    values = RunsData(fetch(runs)).curve(metric)[1]
    values = values[np.isfinite(values)]
    return float(np.percentile(values, 10)), float(values.max())


def go_to_last_step() -> None:
    """Let ParaView's time be that of the data, and show its end."""
    times = time_steps()
    if not times:
        return
    scene = simple.GetAnimationScene()
    scene.UpdateAnimationUsingDataTimeSteps()
    scene.PlayMode = "Snap To TimeSteps"
    scene.AnimationTime = times[-1]


def columns(source: Any) -> list[str]:
    """Names of the cell arrays of a source."""
    source.UpdatePipeline()
    cells = information(source).GetCellDataInformation()
    return [cells.GetArrayInformation(i).GetName() for i in range(cells.GetNumberOfArrays())]


def numeric(runs: Any, names: list[str]) -> list[str]:
    """Those columns that hold numbers, with the codes of those that hold text."""
    cells = fetch(runs).GetCellData()
    coded = [n if cells.GetArray(n) is not None else n + CODE_SUFFIX for n in names]
    return [n for n in coded if cells.GetArray(n) is not None]


def range_of(source: Any, column: str) -> tuple[float, float]:
    """Return the smallest and largest finite value of a cell array; (0, 1) where there is none."""
    source.UpdatePipeline()
    return present_range(source, column)


def present_range(source: Any, column: str) -> tuple[float, float]:
    """As :func:`range_of`, of the data as it was updated last."""
    cells = information(source).GetCellDataInformation()
    array = cells.GetArrayInformation(column)
    low, high = array.GetComponentFiniteRange(0) if array is not None else (1.0, 0.0)
    if low < high:
        return low, high
    return (low - 0.5, high + 0.5) if low == high and not 0 <= low <= 1 else (0.0, 1.0)
