"""Whether there is something new to show, which all processes of a server must decide alike.

ParaView asks live sources (``GetNeedsUpdate``) in every process, at the same moment: on its way to
the first process of a pvserver the question is passed on to all others. So they may talk to each
other there. Whoever marked itself modified alone would be updated alone, and wait for the others.
"""

from __future__ import annotations

from collections.abc import Callable

from pvensemble.vtkdata.parallel import FIRST, Message, processes


def first_finds(look: Callable[[], bool]) -> bool:
    """Return what the first process finds when it looks; all processes must ask."""
    among = processes()
    if among is None:
        return look()
    if among.rank > FIRST:
        return among.broadcast().head["found"]
    found = False
    try:
        found = look()
    finally:
        among.broadcast(Message({"found": found}))
    return found
