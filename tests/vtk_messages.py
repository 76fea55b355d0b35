"""Catch what VTK writes to its output window, where errors would otherwise go unseen."""

from __future__ import annotations

from contextlib import contextmanager


class Messages:
    """Errors and warnings that VTK reported while the context was open."""

    def __init__(self) -> None:
        self.errors: list[str] = []
        self.warnings: list[str] = []


@contextmanager
def vtk_messages():
    """Yield a `Messages` that fills while the context is open."""
    from vtkmodules.vtkCommonCore import vtkOutputWindow, vtkStringOutputWindow

    messages = Messages()
    window = vtkStringOutputWindow()
    before = vtkOutputWindow.GetInstance()
    vtkOutputWindow.SetInstance(window)
    try:
        yield messages
    finally:
        vtkOutputWindow.SetInstance(before)
        for part in window.GetOutput().split("\n\n"):
            if "ERROR" in part or "ERR|" in part or "Traceback" in part:
                messages.errors.append(part.strip())
            elif "Warning" in part or "WARN|" in part:
                messages.warnings.append(part.strip())
