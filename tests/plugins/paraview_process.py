"""Run a script in a real ParaView and get back what it found."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from pvensemble.launcher import environment, find_paraview
from pvensemble.launcher.display import virtual_screen

PRELUDE = """
import json, sys
from vtkmodules.vtkCommonCore import vtkOutputWindow, vtkStringOutputWindow

arguments = json.loads(sys.argv[1])
result = {}

class messages:
    '''Collect what reaches ParaView's output window, in .text.'''
    def __enter__(self):
        self.before, self.window = vtkOutputWindow.GetInstance(), vtkStringOutputWindow()
        vtkOutputWindow.SetInstance(self.window)
        return self
    def __exit__(self, *exception):
        vtkOutputWindow.SetInstance(self.before)
        self.text = self.window.GetOutput()

with messages() as all_messages:
"""
EPILOGUE = """
import pathlib
assert "ERR" not in all_messages.text, all_messages.text
pathlib.Path(sys.argv[2]).write_text(json.dumps(result))
"""


def require_paraview(program: str = "pvpython") -> Path:
    """Return the program, or skip the test where there is none or no display can be made."""
    path = shutil.which(program)
    if path is None or shutil.which("Xvfb") is None:
        pytest.skip(f"needs {program} and Xvfb")
    return find_paraview(program)


@contextmanager
def started(command: list, **options: object) -> Iterator[subprocess.Popen]:
    """Start a program of ParaView on a screen of its own; kill it and its children at the end."""
    with virtual_screen((1280, 1024)) as screen:
        process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            env={**options.pop("env", environment()), **screen},
            start_new_session=True,
            **options,
        )
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def run_in_paraview(
    body: str,
    folder: Path,
    *,
    timeout: float = 150,
    env: dict | None = None,
    cwd: Path | None = None,
    **arguments: object,
) -> dict:
    """Run statements in pvpython, with the plugin loaded as ``pvensemble pvpython`` does.

    Parameters
    ----------
    body : str
        Python statements. ``arguments`` is a dict of what is given here, ``result`` one to fill
        with what JSON can hold, ``messages()`` a context that catches the output window. A VTK
        error outside such a context fails the run.
    folder : Path
        For the script and its result.
    env, cwd : optional
        Environment other than the launcher's, and working directory.

    Returns
    -------
    dict
        The script's ``result``, with all it printed as ``stdout``.

    Raises
    ------
    AssertionError
        When it fails, says an error, crashes or does not end in time; with its output.
    """
    program = require_paraview()
    script, answer = folder / "script.py", folder / "answer.json"
    indented = "".join(f"    {line}\n" for line in body.strip("\n").splitlines())
    script.write_text(PRELUDE + indented + EPILOGUE)
    answer.unlink(missing_ok=True)
    command = [program, script, json.dumps(arguments), answer]
    with started(
        command,
        env=environment() if env is None else env,
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        try:
            output, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, _ = process.communicate()
            raise AssertionError(f"ParaView did not end in {timeout} s:\n{output}") from None
    if process.returncode != 0 or not answer.is_file():
        raise AssertionError(f"ParaView ended with {process.returncode}:\n{output}")
    return {"stdout": output, **json.loads(answer.read_text())}
