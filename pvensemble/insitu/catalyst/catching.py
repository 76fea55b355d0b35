"""What a script's execution says: exceptions, which ParaView only prints, and VTK's messages."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from vtkmodules.vtkCommonCore import vtkLogger, vtkOutputWindow, vtkStringOutputWindow

from pvensemble.insitu.caught import Caught

NOISE = ("New time step is not after last time step", "returned failure for request")
"""The first is said of each channel's first data set, the second after the reason of a failure."""


@contextmanager
def caught(script: Path | None = None) -> Iterator[Caught]:
    """Catch what is said while a script, or several together, are executed."""
    found = Caught()
    window, before = vtkStringOutputWindow(), vtkOutputWindow.GetInstance()
    hook = sys.excepthook

    def keep(kind: type, error: BaseException, trace: object) -> None:
        found.errors.append(error)
        if found.failure is None:  # those that follow are ParaView's own, about the first
            found.failure = described(error, script)

    verbosity = vtkLogger.GetCurrentVerbosityCutoff()
    vtkLogger.SetStderrVerbosity(vtkLogger.VERBOSITY_OFF)
    vtkOutputWindow.SetInstance(window)
    sys.excepthook = keep
    try:
        yield found
    finally:
        sys.excepthook = hook
        vtkOutputWindow.SetInstance(before)
        vtkLogger.SetStderrVerbosity(verbosity)
        found.messages = _messages(window.GetOutput())


def shared_out(found: Caught, scripts: Mapping[str, Path]) -> dict[str, Caught]:
    """Return what each of several scripts said that were executed together.

    What cannot be told apart (VTK's messages are without their script) goes to the first.
    """
    said = {name: Caught() for name in scripts}
    for error in found.errors:
        names = [name for name, script in scripts.items() if _lines(error, script)]
        for name in (names or [*scripts])[:1]:
            said[name].failure = said[name].failure or described(error, scripts[name])
    for first in [*said.values()][:1]:
        first.messages = found.messages
    return said


def described(error: BaseException, script: Path | None) -> str:
    """Return an exception in one line, with the place in the script where it was raised."""
    lines = _lines(error, script)
    if isinstance(error, SyntaxError):
        lines = [error.lineno]
    place = f" ({script.name}, line {lines[-1]})" if lines else ""
    return f"{type(error).__name__}: {' '.join(str(error).split())}{place}"


def _lines(error: BaseException, script: Path | None) -> list[int]:
    """Return the lines of a script that an exception went through."""
    frames = traceback.extract_tb(error.__traceback__)
    return [frame.lineno for frame in frames if frame.filename == str(script)]


def _messages(text: str) -> list[str]:
    """Return the messages of an output window, each in one line."""
    found = []
    for part in text.split("\n\n"):
        said = " ".join(part.split())
        said = said.partition("): ")[2] if said.startswith(("ERROR: In", "Warning: In")) else said
        if said and not any(noise in said for noise in NOISE):
            found.append(said.removeprefix("ERROR: "))
    return list(dict.fromkeys(found))
