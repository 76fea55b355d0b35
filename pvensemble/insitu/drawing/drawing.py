"""The process that draws: pipelines with views run in a pvpython beside the first rank.

So the trainer needs no display and does not wait for pictures, a renderer that crashes ends no
training, and the views of an ensemble that several ranks train are drawn by one process from whole
data. It is told what the runs have measured, reads recorded tensors from the files once they are
there, and gets others through the pipe.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import asdict
from multiprocessing import Pipe
from pathlib import Path
from typing import NamedTuple

from pvensemble.errors import PVEnsembleError
from pvensemble.insitu.caught import Caught
from pvensemble.insitu.drawing.messages import receive, send
from pvensemble.insitu.pipeline import Pipeline
from pvensemble.insitu.settings import Settings
from pvensemble.launcher.display import display
from pvensemble.launcher.environment import environment, package_folder
from pvensemble.launcher.find import find_paraview, paraview_version
from pvensemble.mpi_environment import outside_mpi

SCREEN = (1920, 1200)
WAITING = 2
"""Executions that may wait to be drawn; then the training waits."""
END_SECONDS = 20


class Drawn(NamedTuple):
    """What an execution has said.

    Attributes
    ----------
    name
        Of the pipeline.
    step
        None: as it was finished.
    found
        What was caught.
    """

    name: str
    step: int | None
    found: Caught


class Drawing:
    """The process that draws, seen from the trainer.

    Parameters
    ----------
    pipelines
        All that will be run there. They are imported as they are first executed.
    backend
        The way to ParaView Catalyst there.

    Raises
    ------
    ParaViewNotFoundError
        There is no ParaView, or none that can draw here.
    PVEnsembleError
        It does not start.
    """

    def __init__(self, pipelines: Sequence[Pipeline], backend: str = "bridge") -> None:
        program = find_paraview("pvpython")
        self._connection, theirs = Pipe()
        script = package_folder() / "insitu" / "drawing" / "drawer.py"
        started_by = environment(outside_mpi(os.environ))
        with display(
            started_by, version=paraview_version(program), size=SCREEN, lasting=True
        ) as env:
            self._process = subprocess.Popen(
                [str(program), "--no-mpi", str(script), str(theirs.fileno())],
                env=env,
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # a Ctrl-C in the terminal does not end it
            )
        theirs.close()
        self._names = [p.name for p in pipelines]
        self._pending: list[tuple[str, int]] = []
        self._done: list[Drawn] = []
        self._lost = ""
        scripts = [[p.name, str(p.script)] for p in pipelines]
        self._send({"backend": backend, "pipelines": scripts})

    def begin(self, path: Path) -> None:
        """Let it read what was recorded before, and wait until it has."""
        self._send({"do": "begin", "path": str(path.absolute())})
        answer = self._answer()
        if self._lost:
            raise PVEnsembleError(f"--insitu: {self._lost}")
        if "error" in answer:
            raise PVEnsembleError(answer["error"])

    def execute(self, pipeline: Pipeline, step: int, settings: Settings, news: list) -> None:
        """Let a pipeline be run at a step; wait only while others wait.

        Parameters
        ----------
        news
            What :class:`pvensemble.insitu.news.News` has collected since the last execution.
        """
        while len(self._pending) >= WAITING:
            self._take()
        self._pending.append((pipeline.name, step))
        self._send(
            {
                "do": "execute",
                "name": pipeline.name,
                "step": step,
                "news": news,
                "settings": asdict(settings),
            }
        )

    def finished(self) -> list[Drawn]:
        """Return what has been executed since the last question."""
        while self._pending and (self._lost or self._connection.poll()):
            self._take()
        done, self._done = self._done, []
        return done

    def switch_off(self, pipeline: Pipeline) -> None:
        """Never run a pipeline again."""
        self._names.remove(pipeline.name)
        self._send({"do": "switch off", "name": pipeline.name})

    def end(self, settings: Callable[[str], Settings]) -> list[Drawn]:
        """Wait for what is still drawn, and let the pipelines finish."""
        while self._pending:
            self._take()
        values = {name: asdict(settings(name)) for name in self._names}
        lost_before = self._lost  # then that was said
        self._send({"do": "end", "settings": values})
        for name, failure, messages in self._answer().get("said", []):
            self._done.append(Drawn(name, None, Caught(failure, messages)))
        if self._lost and not lost_before:
            self._done += [Drawn(name, None, Caught(self._lost)) for name in self._names]
        self._connection.close()
        self._ended()
        return self.finished()

    # -- the pipe ---------------------------------------------------------------------------------
    def _take(self) -> None:
        """Wait for what the oldest execution has said."""
        answer = self._answer()
        found = Caught(self._lost or answer["failure"], answer.get("messages", []))
        self._done.append(Drawn(*self._pending.pop(0), found))

    def _send(self, message: dict) -> None:
        if not self._lost:
            try:
                send(self._connection, message)
            except OSError:
                self._lose()

    def _answer(self) -> dict:
        """Wait for an answer; an empty one when the process has gone."""
        if not self._lost:
            try:
                return receive(self._connection)
            except (EOFError, OSError):
                self._lose()
        return {}

    def _lose(self) -> None:
        """Note how it ended."""
        status = self._ended()
        how = f"signal {signal.Signals(-status).name}" if status < 0 else f"status {status}"
        self._lost = f"the process that draws has ended with {how}"

    def _ended(self) -> int:
        """Wait until it has ended, and return its status."""
        try:
            return self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()  # all is written: it hangs as it leaves its renderer
            return self._process.wait()
