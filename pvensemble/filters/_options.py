"""Properties that several filters have: their choices, labels, order of filters and colours."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from vtkmodules.vtkCommonCore import vtkInformationVector
from vtkmodules.vtkCommonDataModel import vtkPolyData

from pvensemble.errors import OptionError, did_you_mean
from pvensemble.filters._base import EnsembleAlgorithm, upstream
from pvensemble.filters._cache import cached
from pvensemble.filters._tensor_filter import TensorFilter
from pvensemble.filters._tensors import Block
from pvensemble.numerics.ordering import LINKAGES, ClusterOrder, cluster_order
from pvensemble.vtkdata.runs import RunsData
from pvensemble.vtkdata.time import publish_time_steps

CLUSTERED, ORIGINAL = "clustered", "original"
ORDERS = (CLUSTERED, ORIGINAL)


def one_of(choices: tuple, value: int | str) -> int | str:
    """Return the text at a position of the choices; anything else as it is."""
    by_number = isinstance(value, int) and 0 <= value < len(choices)
    return choices[value] if by_number else value


def check_choice(option: str, value: object, choices: tuple) -> None:
    """Refuse a value that is not among the choices."""
    if value not in choices:
        raise OptionError(f"{option}: got {value!r}{did_you_mean(str(value), choices)}")


def check_threshold(threshold: float) -> None:
    """Refuse a threshold that no |r| can be compared with."""
    if not 0 <= threshold <= 1:
        raise OptionError(f"Threshold must lie between 0 and 1 (of |r|), got {threshold:g}")


def check_column(option: str, name: str, runs: RunsData) -> None:
    """Refuse a name that is not a column of the runs; "" leaves the choice to the filter."""
    if name and name not in runs.columns:
        raise OptionError(f"{option}: no column {name!r}{did_you_mean(name, runs.columns)}")


def at_step(layer: str, *steps: int) -> str:
    """Return what headings call a layer at one recorded step or at several."""
    return f"{layer}, step {' and '.join(f'{int(step):,}' for step in steps)}"


class Labels(EnsembleAlgorithm):
    """Mixin: the size of all labels."""

    _label_size = 3.6

    def SetLabelSize(self, size: float) -> None:
        """Font size in percent of the height of the plot."""
        self._set("label_size", float(size))

    def check_label_size(self) -> None:
        """Refuse a label size that cannot be drawn."""
        if not (np.isfinite(self._label_size) and self._label_size > 0):
            raise OptionError(f"Label Size must be a positive number, got {self._label_size}")


class FollowsTime(EnsembleAlgorithm):
    """Mixin: whether what is drawn of the runs carries their metrics at the present step.

    What does not is the same at every step and publishes no time steps: ParaView neither asks for
    it nor looks at it again when time moves.
    """

    _follow_time = True

    def SetFollowTime(self, follow: bool) -> None:
        """Give what is drawn of the runs their metrics at the present step as columns."""
        self._set("follow_time", bool(follow))

    def stays(self) -> bool:
        """Whether what is drawn of the runs is the same at every step."""
        return not (self._follow_time or self.measures_follow_time())

    def measures_follow_time(self) -> bool:
        """Whether the runs' measures depend on the step."""
        return any(getattr(a, "measures_the_present", False) for a in upstream(self))

    def leave_time(self, outInfo: vtkInformationVector, *ports: int) -> None:
        """Publish that outputs do not depend on time."""
        for port in ports:
            publish_time_steps(outInfo.GetInformationObject(port), [])

    def drop_present(self, output: vtkPolyData, runs: RunsData) -> None:
        """Leave out the metrics, which are those of whatever step was asked for last."""
        for metric in runs.metric_names:
            output.GetCellData().RemoveArray(metric)


class OrderedFilter(Labels, TensorFilter):
    """Base of filters that show some runs with their layer's filters in an order."""

    def __init__(self, *, n_outputs: int) -> None:
        super().__init__(n_outputs=n_outputs)
        self._runs = ""
        self._order = CLUSTERED
        self._threshold = 0.7
        self._linkage = LINKAGES[0]

    def SetRuns(self, text: str) -> None:
        """Runs that are shown, ``0-4,9``; empty for the first one that has tensors."""
        self._set("runs", text or "")

    def SetOrder(self, order: int | str) -> None:
        """``clustered`` or ``original``, or its position in ``ORDERS``."""
        self._set("order", one_of(ORDERS, order))

    def SetThreshold(self, threshold: float) -> None:
        """|r| above which filters are highly correlated, and at which clusters are cut."""
        self._set("threshold", float(threshold))

    def SetLinkage(self, linkage: int | str) -> None:
        """How clusters are joined, or its position in ``LINKAGES``."""
        self._set("linkage", one_of(LINKAGES, linkage))

    def _check(self) -> None:
        """Refuse options that cannot be used."""
        self.check_label_size()
        check_choice("Order", self._order, ORDERS)
        check_choice("Linkage", self._linkage, LINKAGES)
        check_threshold(self._threshold)


def ordered(block: Block, row: int, threshold: float, linkage: str) -> ClusterOrder:
    """Return the clustered order of one slice's filters that are there, computed once."""

    def compute() -> ClusterOrder:
        there = np.flatnonzero(block.exists(row))
        order = cluster_order(block.slice(row)[np.ix_(there, there)], threshold, linkage)
        return replace(order, permutation=there[order.permutation])

    if block.volume.array is None:  # the slice is in another process, and came over just now
        return compute()
    return cached(block.volume.array, ("cluster_order", row, threshold, linkage), compute)


class TwoColumnColors(EnsembleAlgorithm):
    """Mixin: the two columns of the runs that decide ``lab_color``."""

    _x_parameter = _y_parameter = ""

    def SetXParameter(self, name: str) -> None:
        """First column that decides ``lab_color``; empty for the first that varies."""
        self._set("x_parameter", name or "")

    def SetYParameter(self, name: str) -> None:
        """Second column that decides ``lab_color``; empty for the next that varies."""
        self._set("y_parameter", name or "")

    def color_columns(self, runs: RunsData) -> tuple[str, ...]:
        """Return the names of the one or two columns that decide the colour, () for none."""
        x, y = self._x_parameter, self._y_parameter
        for option, name in (("X Parameter", x), ("Y Parameter", y)):
            check_column(option, name, runs)
        known = [name for name in runs.hyper_parameters if name in runs.columns]
        free = [n for n in known if n not in (x, y) and len(np.unique(runs.columns[n])) > 1]
        x = x or (free.pop(0) if free else "")
        y = y or (free.pop(0) if free else "")
        return tuple(dict.fromkeys(name for name in (x, y) if name))
