"""Ensemble Reader: an ensemble on disk as runs and volumes at a step.

Port 0, "Runs": cell i is the i-th chosen run; ``run_index`` is its number in the ensemble. They are
equal unless a session or group is left out: what refers to a run by number means ``run_index``.
Each metric has a column of its name with the value at the last evaluated step at or before the
time, so that colouring by it animates; the whole curves are field data.

Port 1, "Tensors": one volume (x, y = matrix, z = run) for each checked layer and kind of each
chosen group, named ``g000/conv1.weight``. Only what is checked is read, by default nothing. Its
field data ``run_index`` says which run each slice is, ``step`` the recorded step and ``shape`` what
a slice was before it was tiled. Activations bring the images that they are of, one slice for all
runs: ``g000/probe.image``. Where filters are merged during training, any kind of a layer brings
which filter stands for which: ``g000/conv1.filter_group``.

In several processes "Runs" are all in the first one, and each has a share of every volume.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from time import monotonic
from typing import NamedTuple
from weakref import ref

import numpy as np
from vtkmodules.vtkCommonCore import vtkDataArraySelection, vtkInformation
from vtkmodules.vtkCommonDataModel import (
    vtkCompositeDataSet,
    vtkPolyData,
)

import pvensemble
from pvensemble import schema
from pvensemble.errors import PVEnsembleError, StoreError
from pvensemble.filters._base import EnsembleAlgorithm
from pvensemble.filters._news import first_finds
from pvensemble.filters._shares import joined_plans, plan_of, read_share
from pvensemble.filters._sources import open_ensemble
from pvensemble.numerics.measures import value_at
from pvensemble.store import Ensemble
from pvensemble.vtkdata import time
from pvensemble.vtkdata.arrays import to_numpy, to_vtk
from pvensemble.vtkdata.parallel import Message, processes
from pvensemble.vtkdata.runs_output import runs_to_polydata

LIVE_INTERVAL = 1.0
"""Seconds between looks at the files; ParaView 5.11 asks for news up to 100 times a second."""

SELECTIONS = ("sessions", "groups", "layers", "kinds")


class EnsembleReader(EnsembleAlgorithm):
    """Read ``my.pvens``; recorded steps are the time steps."""

    def __init__(self) -> None:
        super().__init__(
            n_inputs=0, n_outputs=2, output_type=("vtkPolyData", "vtkMultiBlockDataSet")
        )
        self._file_name = ""
        self._live = True
        self._ensemble: Ensemble | None = None
        self._runs: vtkPolyData | None = None
        self._looked = float("-inf")
        self.generation = 0
        self._selections = {name: vtkDataArraySelection() for name in SELECTIONS}
        for selection in self._selections.values():
            selection.AddObserver("ModifiedEvent", partial(_selection_changed, ref(self)))

    # -- properties ------------------------------------------------------------------------------
    def SetFileName(self, name: str | None) -> None:
        """Choose the ensemble: the ``.pvens`` file."""
        if (name or "") != self._file_name:
            self._file_name = name or ""
            self._ensemble = None
            self.Modified()

    def GetFileName(self) -> str:
        return self._file_name

    def GetSessions(self) -> vtkDataArraySelection:
        """Sessions whose runs are read; all by default."""
        return self._selections["sessions"]

    def GetGroups(self) -> vtkDataArraySelection:
        """Groups whose runs and tensors are read; all by default."""
        return self._selections["groups"]

    def GetLayers(self) -> vtkDataArraySelection:
        """Layers whose tensors are read; none by default."""
        return self._selections["layers"]

    def GetKinds(self) -> vtkDataArraySelection:
        """Kinds of tensors that are read of the chosen layers; all by default."""
        return self._selections["kinds"]

    def GetProblem(self) -> str | None:
        """Why the file cannot be opened, asked without running the pipeline; None if it can.

        Of several processes the first one is asked alone, so nothing of the reader changes.
        """
        try:
            _ = self._ensemble or self._find()
        except PVEnsembleError as error:
            return str(error)
        return None

    def GetPackageVersion(self) -> str:
        """Version of pvensemble here, where the data are; a client may have another."""
        return pvensemble.__version__

    def GetTensorNames(self) -> list[str] | None:
        """What is recorded of which layer, like ``conv1.weight``, layers in network order."""
        if self._ensemble is None:
            return None
        layers = [layer for group in self._ensemble.groups for layer in group.layers]
        names = [schema.tensor_name(info.name, kind) for info in layers for kind in info.kinds]
        return list(dict.fromkeys(names))

    def SetLiveUpdate(self, on: int) -> None:
        """Look for new steps every second while training goes on."""
        self._live, self._looked = bool(on), float("-inf")

    def GetLiveUpdate(self) -> int:
        return int(self._live)

    def GetTimestepValues(self) -> list[float] | None:
        """Recorded steps, for ParaView's time controls."""
        return [float(s) for s in self._steps()] if self._ensemble is not None else None

    def GetNeedsUpdate(self) -> bool:
        """Tell ParaView's live sources whether new steps were committed."""
        if not self._live or not first_finds(self._has_news):
            return False
        self._read_anew()
        return True

    def _has_news(self) -> bool:
        now = monotonic()
        if now - self._looked < LIVE_INTERVAL:
            return False
        self._looked = now
        return self._changed()

    def Refresh(self) -> None:
        """Read what was committed since; nothing happens when there is nothing new.

        One of several processes acts as if there were: they have to be updated together, and
        another one may have found something.
        """
        self._looked = float("-inf")
        if processes() is not None or self._changed():
            self._read_anew()

    def _changed(self) -> bool:
        """Tell whether there is anything new in the index."""
        try:
            return self._ensemble is not None and self._ensemble.refresh()
        except PVEnsembleError as error:
            self._looked = float("inf")  # otherwise the message would come every second
            self._show(error)
            return False

    def _read_anew(self) -> None:
        """Read the index anew, and with it all that comes of it."""
        self._changed()
        self._runs = None
        self.generation += 1
        if self._ensemble is not None:
            self._list_choices()
        self.Modified()

    # -- pipeline --------------------------------------------------------------------------------
    def RequestInformation(
        self, _request: vtkInformation, _inInfo: tuple, outInfo: vtkInformation
    ) -> int:
        if not self._file_name:  # ParaView asks before it has told; RequestData will complain
            return 1
        self._open()
        for port in range(2):
            time.publish_time_steps(outInfo.GetInformationObject(port), self._steps())
        return 1

    def RequestData(self, request: vtkInformation, _inInfo: tuple, outInfo: vtkInformation) -> int:
        self._open()
        asked = time.requested_time(request, outInfo)
        steps = self._steps()
        recorded = time.snap(steps, asked) if len(steps) else asked
        now = recorded if asked is None else asked  # metrics are evaluated between recorded steps
        runs = self.output(outInfo, 0)
        self._output_runs(runs, now)
        self._output_tensors(recorded)
        time.set_data_time(runs, now)
        return 1

    def _open(self) -> None:
        if self._ensemble is not None:
            return
        self._ensemble = self._find()
        self._runs = None
        self._list_choices()

    def _find(self) -> Ensemble:
        if not self._file_name:
            raise StoreError("no file is chosen; choose the .pvens file of an ensemble")
        return open_ensemble(Path(self._file_name))

    def _list_choices(self) -> None:
        """Offer what the ensemble holds; what was chosen before (a saved state) stays chosen."""
        ensemble = self._ensemble
        kinds = {
            kind for group in ensemble.groups for layer in group.layers for kind in layer.kinds
        }
        there_is = {
            "sessions": [session.name for session in ensemble.sessions],
            "groups": [group.name for group in ensemble.groups],
            "layers": list(ensemble.layers),
            "kinds": [k for k in schema.KINDS if k in kinds] + sorted(kinds - {*schema.KINDS}),
        }
        for name, selection in self._selections.items():
            for entry in there_is[name]:
                selection.AddArray(entry, name != "layers")
            for entry in {*_entries(selection)} - {*there_is[name]}:
                selection.RemoveArrayByName(entry)

    def _steps(self) -> list[int]:
        """Steps that are published as time."""
        ensemble = self._ensemble
        steps = list(ensemble.recorded_steps)
        if not steps and ensemble.accuracy_metric:
            steps = [int(s) for s in ensemble.curve(ensemble.accuracy_metric).steps]
        return steps

    # -- runs ------------------------------------------------------------------------------------
    def _output_runs(self, output: vtkPolyData, step: float | None) -> None:
        if self._runs is None:
            self._runs = self._read_runs()
        output.ShallowCopy(self._runs)
        cell_data = output.GetCellData()
        for metric, curve in self._curves.items():
            if not cell_data.HasArray(metric):
                cell_data.AddArray(to_vtk(value_at(curve.steps, curve.values, step), metric))

    def _read_runs(self) -> vtkPolyData:
        """Read table and curves of the chosen runs, once until something changes."""
        ensemble = self._ensemble
        table = ensemble.run_table()
        chosen = self._chosen_runs(table)
        if not chosen.all():
            table = {name: column[chosen] for name, column in table.items()}
        self._curves = {}
        for name in ensemble.metric_names:
            curve = ensemble.curve(name)
            values = curve.values if chosen.all() else curve.values[chosen]
            self._curves[name] = _Curve(curve.steps, values)
        return runs_to_polydata(table, self._curves, ensemble.hyper_parameters, name=ensemble.name)

    def _chosen(self, name: str) -> list[str]:
        """Return what is chosen of the sessions, groups, layers or kinds."""
        selection = self._selections[name]
        if self._ensemble.stands_in and name in ("sessions", "groups"):
            return [*_entries(selection)]  # what was chosen of another ensemble means nothing here
        return _enabled(selection)

    def _chosen_runs(self, table: dict) -> np.ndarray:
        """(n_runs,) bool: runs of the chosen sessions and groups."""
        chosen = np.isin(table[schema.SESSION], self._chosen("sessions"))
        groups = {*self._chosen("groups")}
        for group in self._ensemble.groups:
            if group.name not in groups:
                chosen &= ~np.isin(table[schema.RUN_INDEX], group.run_indices)
        return chosen

    # -- tensors ---------------------------------------------------------------------------------
    def _output_tensors(self, step: float | None) -> None:
        """Let each process read its share of the tensors."""
        chosen = {name: self._chosen(name) for name in ("layers", "kinds")}
        there = {*_entries(self._selections["groups"])}
        chosen["left_out"] = sorted(there - {*self._chosen("groups")})
        run_index = _run_index(self._runs)
        if self._ensemble.distributed:
            plan = joined_plans(
                self.everywhere("plan", {**chosen, "step": step}, [run_index]), run_index
            )
        else:
            plan = plan_of(self._ensemble, chosen, step, run_index)
        self.everywhere("read", {**plan.head, "step": step}, plan.arrays)

    def part_plan(self, options: dict, arrays: Sequence[np.ndarray]) -> Message:
        """Tell which volumes this process holds slices of."""
        self._open()
        return plan_of(self._ensemble, options, options["step"], arrays[0])

    def part_read(self, options: dict, arrays: Sequence[np.ndarray]) -> Message:
        """Read this process's share of the volumes of a plan."""
        self._open()
        output = self.output(self._update[2], 1)
        output.Initialize()
        output.SetNumberOfBlocks(len(options["volumes"]))
        for position, volume in enumerate(options["volumes"]):
            if self.aborted():
                return Message({})
            self.report(position / len(options["volumes"]), f"Reading {volume['name']}")
            output.GetMetaData(position).Set(vtkCompositeDataSet.NAME(), volume["name"])
            output.SetBlock(position, read_share(self._ensemble, volume, arrays, *self.place))
        time.set_data_time(output, options["step"])
        return Message({})

    def _choose_anew(self) -> None:
        self._runs = None
        self.Modified()


class _Curve(NamedTuple):
    """A metric of the chosen runs."""

    steps: np.ndarray
    values: np.ndarray  # (n_runs, n_steps)


def _selection_changed(reader_ref: ref, _caller: object, _event: str) -> None:
    reader = reader_ref()
    if reader is not None:
        reader._choose_anew()


def _entries(selection: vtkDataArraySelection) -> Iterable[str]:
    return [selection.GetArrayName(i) for i in range(selection.GetNumberOfArrays())]


def _enabled(selection: vtkDataArraySelection) -> list[str]:
    return [name for name in _entries(selection) if selection.ArrayIsEnabled(name)]


def _run_index(runs: vtkPolyData) -> np.ndarray:
    return to_numpy(runs.GetCellData().GetArray(schema.RUN_INDEX))
