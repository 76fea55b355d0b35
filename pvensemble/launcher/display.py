"""Give a program that draws a display: ParaView before 6.0 crashes without one."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping, Sequence

from pvensemble.errors import ParaViewNotFoundError

OWN_RENDERING_SINCE = (6, 0)
"""ParaView from this version on chooses EGL or OSMesa by itself where there is no X server."""


def with_display(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    version: tuple[int, ...] | None = None,
    size: tuple[int, int] = (1920, 1200),
) -> list[str]:
    """Return ``argv``, started inside ``xvfb-run`` where there is no X display.

    Parameters
    ----------
    argv
        Command line of the program that draws.
    env
        Its environment; ``os.environ`` when omitted.
    version
        ParaView's version.
    size
        Width and height of the virtual screen, in pixels.

    Raises
    ------
    ParaViewNotFoundError
        There is no display and no ``xvfb-run``, and this ParaView cannot draw without them.
    """
    env = os.environ if env is None else env
    if not sys.platform.startswith("linux") or env.get("DISPLAY"):
        return list(argv)
    xvfb = shutil.which("xvfb-run")
    if xvfb is not None and shutil.which("xauth") is not None:
        screen = f"-screen 0 {size[0]}x{size[1]}x24 -nolisten tcp"
        return [xvfb, "-a", "-s", screen, *argv]
    if version is not None and version >= OWN_RENDERING_SINCE:
        return list(argv)
    raise ParaViewNotFoundError(
        "this ParaView draws only on an X display: DISPLAY is not set and xvfb-run is missing; "
        "'apt-get install xvfb xauth'"
    )
