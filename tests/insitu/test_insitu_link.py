"""What a training does while the ParaView that it is linked to does this or that."""

from __future__ import annotations

import pytest

from pvensemble.errors import PipelineError
from pvensemble.insitu.link import Link
from pvensemble.insitu.ranks import Alone


class Window:
    """A link and its network, as a window makes them behave.

    Parameters
    ----------
    waits
        Whether a window waits, at one attempt after the other.
    paused
        Whether it wants a pause, at one exchange after the other.
    events
        What the network finds, at one look after the other.
    """

    def __init__(self, waits=(True,), paused=(False,), events=()) -> None:
        self.waits, self.paused, self.events = iter(waits), iter(paused), iter(events)
        self.shown = []
        self.now = 0.0

    def SetHostname(self, host):
        self.host = host

    def SetInsituPort(self, port):
        self.port = port

    def Initialize(self, _proxies):
        return next(self.waits)

    def InsituUpdate(self, time, step):
        self.shown.append(("update", time, step))

    def InsituPostProcess(self, time, step):
        self.shown.append(("process", time, step))

    def GetSimulationPaused(self):
        return next(self.paused)

    def ProcessEvents(self, _milliseconds):
        return next(self.events)

    def clock(self):
        return self.now


def link_to(window: Window, ending=lambda: False) -> tuple[Link, list[str]]:
    said: list[str] = []
    parts = {"link": window, "events": window, "ranks": Alone(), "clock": window.clock}
    return Link("there", 22222, said.append, ending, **parts), said


def test_each_step_is_shown_with_its_time():
    window = Window(waits=(True, True), paused=(False, False))
    link, said = link_to(window)
    assert (window.host, window.port) == ("there", 22222)
    for step in (0, 5):
        link.show(None, step)
    exchanges = [(what, float(step), step) for step in (0, 5) for what in ("update", "process")]
    assert window.shown == exchanges
    assert said == ["connected to the ParaView at there:22222"]


def test_a_window_that_comes_late_and_goes_is_told_of_at_each_change():
    window = Window(waits=(False, False, True, False), paused=(False,))
    link, said = link_to(window)
    for step in range(4):
        link.show(None, step)
    goes_on = "; the training goes on and looks again at the next steps"
    assert said == [
        f"no ParaView of this version waits at there:22222 (Catalyst > Connect){goes_on}",
        "connected to the ParaView at there:22222",
        f"the ParaView at there:22222 has gone{goes_on}",
    ]
    assert {step for _, _, step in window.shown} == {2}


def test_a_pause_lasts_until_the_window_wants_something():
    window = Window(paused=(True, True, False), events=(0, 0, 1, 1))
    link, _ = link_to(window)
    link.show(None, 7)
    assert len(window.shown) == 3 * 2  # shown anew whenever the window wants something
    assert list(window.events) == []


def test_a_connection_that_breaks_in_a_pause_ends_it():
    window = Window(paused=(True, False), events=(-1,))
    link, _ = link_to(window)
    link.show(None, 7)
    assert len(window.shown) == 2 * 2


def test_a_training_that_is_to_end_leaves_a_pause():
    stops = iter((False, True))
    window = Window(paused=(True,), events=(0, 0))
    link, _ = link_to(window, lambda: next(stops))
    link.show(None, 7)
    assert len(window.shown) == 2


def test_a_host_that_gives_no_answer_ends_the_pipeline():
    window = Window()
    link, said = link_to(window)

    def slow(_proxies):
        window.now += 127
        return False

    window.Initialize = slow
    with pytest.raises(PipelineError, match="there:22222 did not answer for 127 s"):
        link.show(None, 0)
    assert said == []
