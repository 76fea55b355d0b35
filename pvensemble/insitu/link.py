"""The link of a training to a ParaView that waits for it.

ParaView's own (``EnableCatalystLive``) says nothing where nobody waits, and while it is paused no
signal reaches the training: it waits for the window in C++. So the steps of
``vtkCPPythonScriptV2Helper::DoLive`` are taken here.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from vtkmodules.vtkCommonCore import vtkObject

from pvensemble.errors import PipelineError
from pvensemble.insitu.ranks import Alone, all_ranks

LOOK_MILLISECONDS = 200
"""While it is paused: between looks whether the training is to end."""
PATIENT_SECONDS = 10.0
"""A host that lets us wait longer than this for its "no" would do so at every step."""


class Link:
    """The link, made by all ranks together.

    Parameters
    ----------
    host, port
        Where a ParaView may wait.
    say
        Gets lines for people, on the first rank.
    ending
        Whether the training is to end.
    link, events, ranks, clock
        ``vtkLiveInsituLink``, ``vtkNetworkAccessManager``, the ranks and seconds; replaced by
        tests.
    """

    def __init__(
        self,
        host: str,
        port: int,
        say: Callable[[str], None],
        ending: Callable[[], bool],
        *,
        link: Any = None,
        events: Any = None,
        ranks: Alone | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._address, self._say, self._ending, self._now = f"{host}:{port}", say, ending, clock
        self._link = link or _link()
        self._events = events or _events()
        self._ranks = ranks or all_ranks()
        self._link.SetHostname(host)
        self._link.SetInsituPort(port)
        self._connected: bool | None = None

    def show(self, proxies: Any, step: int) -> None:
        """Send what is extracted there; wait while the training is paused there.

        Parameters
        ----------
        proxies
            The session's proxy manager, whose sources are offered.

        Raises
        ------
        PipelineError
            The host does not even answer.
        """
        if not self._connect(proxies):
            return
        while True:
            self._link.InsituUpdate(float(step), step)
            self._link.InsituPostProcess(float(step), step)
            if not self._link.GetSimulationPaused() or not self._changes():
                return

    def _connect(self, proxies: Any) -> bool:
        """Return whether somebody is there; say it when it is news."""
        begin = self._now()
        connected = bool(self._link.Initialize(proxies))
        waited = self._now() - begin
        if not connected and waited > PATIENT_SECONDS:
            raise PipelineError(f"{self._address} did not answer for {waited:.0f} s")
        if connected != self._connected and self._ranks.rank == 0:
            self._say(self._news(connected))
        self._connected = connected
        return connected

    def _news(self, connected: bool) -> str:
        if connected:
            return f"connected to the ParaView at {self._address}"
        gone = f"the ParaView at {self._address} has gone"
        none = f"no ParaView of this version waits at {self._address} (Catalyst > Connect)"
        what = gone if self._connected else none
        return f"{what}; the training goes on and looks again at the next steps"

    def _changes(self) -> bool:
        """Wait until the window wants something; return False when the training is to end."""
        while True:
            wants = self._ranks.rank == 0 and self._hears()
            every = self._ranks.gathered((wants, self._ending()))
            if any(stops for _, stops in every):
                return False
            if any(wants for wants, _ in every):
                return True

    def _hears(self) -> bool:
        """Wait a moment for the window; return whether it wants something, or has gone."""
        shown = vtkObject.GetGlobalWarningDisplay()
        vtkObject.GlobalWarningDisplayOff()  # that it has gone is said once, by the next step
        try:
            return self._events.ProcessEvents(LOOK_MILLISECONDS) != 0
        finally:
            vtkObject.SetGlobalWarningDisplay(shown)


def _link() -> Any:
    from paraview.modules.vtkRemotingLive import vtkLiveInsituLink

    return vtkLiveInsituLink()


def _events() -> Any:
    from paraview.modules.vtkRemotingCore import vtkProcessModule

    return vtkProcessModule.GetProcessModule().GetNetworkAccessManager()
