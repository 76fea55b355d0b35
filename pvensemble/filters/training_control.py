"""Training Control: ask the training of an ensemble for something, and see what becomes of it.

Requests are files beside the data, so this works where the files are: on the server of a
client-server connection. The output is the ensemble's log, line by line, also of a training that
goes on.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from vtkmodules.vtkCommonCore import vtkOutputWindow
from vtkmodules.vtkCommonDataModel import vtkTable

from pvensemble.errors import MissingArrayError, PVEnsembleError
from pvensemble.filters._base import EnsembleAlgorithm, upstream
from pvensemble.filters._news import first_finds
from pvensemble.numerics.runs import parse_runs
from pvensemble.store import Ensemble
from pvensemble.store.log import LogEntry, ensemble_log, send_request
from pvensemble.store.steering import (
    Request,
    add_request,
    record_request,
    request_numbers,
    steering_directory,
    stop_request,
)
from pvensemble.store.steering_text import parse_names, parse_settings
from pvensemble.vtkdata.arrays import strings_to_vtk, to_vtk
from pvensemble.vtkdata.parallel import FIRST, processes

LOOK_SECONDS = 1.0
"""Seconds between looks at the files; ParaView 5.11 asks up to 100 times a second."""
NOT_SENT = "not sent"


class TrainingControl(EnsembleAlgorithm):
    """Runs -> the log of their ensemble, a row a line."""

    keeps_steps = False  # files may change

    def __init__(self) -> None:
        super().__init__(output_type="vtkTable")
        self._runs_to_stop = self._reason = ""
        self._record_every = 0
        self._record_layers = self._record_kinds = self._runs_to_add = ""
        self._ensemble: Ensemble | None = None
        self._numbers: list[int] = []
        self._mistakes: list[LogEntry] = []
        self._looked = float("-inf")
        self._answer = ""

    def SetRunsToStop(self, text: str) -> None:
        """Run indices to stop, like ``3,5-7``."""
        self._set("runs_to_stop", text or "")

    def SetReason(self, text: str) -> None:
        """Why they are stopped, for the run table."""
        self._set("reason", text or "")

    def SetRecordEvery(self, every: int) -> None:
        """Steps between recorded steps; 0 leaves it as it is."""
        self._set("record_every", int(every))

    def SetRecordLayers(self, names: str) -> None:
        """Layers to record; empty leaves them as they are."""
        self._set("record_layers", names or "")

    def SetRecordKinds(self, names: str) -> None:
        """Kinds to record; empty leaves them as they are."""
        self._set("record_kinds", names or "")

    def SetRunsToAdd(self, text: str) -> None:
        """Settings with values, like ``learning_rate=0.01,0.02 momentum=0.9``."""
        self._set("runs_to_add", text or "")

    def GetAnswer(self) -> str:
        """What was sent last, or why it was not; for scripts."""
        return self._answer

    # -- buttons ---------------------------------------------------------------------------------
    def StopRuns(self) -> None:
        """Ask to stop the runs of ``RunsToStop``."""
        self._send(
            lambda ensemble: stop_request(
                parse_runs(self._runs_to_stop, ensemble.n_runs).tolist(), self._reason
            )
        )

    def ChangeRecording(self) -> None:
        """Ask for another recording."""
        self._send(
            lambda ensemble: record_request(
                self._record_every or None,
                parse_names(self._record_layers) or None,
                parse_names(self._record_kinds) or None,
            )
        )

    def AddRuns(self) -> None:
        """Ask for more runs."""
        self._send(lambda ensemble: add_request(parse_settings(self._runs_to_add)))

    def Refresh(self) -> None:
        """Read the log anew."""
        self.Modified()

    def _send(self, make: Callable[[Ensemble], Request]) -> None:
        """Send a request once, whatever the number of processes; say so, or what is wrong."""
        self.Modified()  # in all processes: they are updated together
        among = processes()
        if among is not None and among.rank > FIRST:
            return
        try:
            ensemble = self._opened()
            ensemble.refresh()
            request = send_request(ensemble, make(ensemble))
        except PVEnsembleError as error:
            self._answer = f"not sent: {error}"
            self._mistakes.append(LogEntry(time.time(), NOT_SENT, str(error)))
            self._show(error)
        else:
            self._answer = f"request {request.number}: {request.text}"
            vtkOutputWindow.GetInstance().DisplayText(f"Training Control: {self._answer}\n")

    # -- pipeline --------------------------------------------------------------------------------
    def GetNeedsUpdate(self) -> bool:
        """Tell ParaView's live sources that the log has grown."""
        if not first_finds(self._has_news):
            return False
        self.Modified()
        return True

    def _has_news(self) -> bool:
        now = time.monotonic()
        if self._ensemble is None or now - self._looked < LOOK_SECONDS:
            return False
        self._looked = now
        try:
            numbers = request_numbers(steering_directory(self._ensemble.directory))
            changed = self._ensemble.refresh() or numbers != self._numbers
        except PVEnsembleError as error:
            self._show(error)
            return False
        self._numbers = numbers
        return changed

    def RequestData(self, request, inInfo, outInfo) -> int:
        self.runs_input(inInfo)
        ensemble = self._opened()
        ensemble.refresh()
        self._numbers = request_numbers(steering_directory(ensemble.directory))
        log = sorted([*ensemble_log(ensemble), *self._mistakes], key=lambda entry: entry.time)
        write_log(self.output(outInfo), log)
        return 1

    def _opened(self) -> Ensemble:
        """Return the ensemble that the runs come from."""
        reader = next((a for a in upstream(self) if hasattr(a, "GetLayers")), None)
        name = reader.GetFileName() if reader is not None else ""
        if not name:
            raise MissingArrayError("needs runs that Ensemble Reader reads from a file")
        if self._ensemble is None or str(self._ensemble.path) != name:
            self._ensemble = Ensemble.open(name)
        return self._ensemble


def write_log(output: vtkTable, log: list[LogEntry]) -> None:
    """Write the columns time, event, request (0: none), group, text and unix_time (seconds)."""
    times = [time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(entry.time)) for entry in log]
    output.AddColumn(strings_to_vtk(times, "time"))
    output.AddColumn(strings_to_vtk([entry.event for entry in log], "event"))
    output.AddColumn(to_vtk(np.array([e.request for e in log], np.int64), "request"))
    output.AddColumn(strings_to_vtk([entry.group for entry in log], "group"))
    output.AddColumn(strings_to_vtk([entry.text for entry in log], "text"))
    output.AddColumn(to_vtk(np.array([e.time for e in log], np.float64), "unix_time"))
