"""Runs in pvpython: the process that draws, on the side of ParaView; see ``drawing.py``."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path

from pvensemble.errors import PVEnsembleError
from pvensemble.insitu.catalyst.backends import start
from pvensemble.insitu.caught import Caught
from pvensemble.insitu.drawing.messages import receive, send
from pvensemble.insitu.feed import Feed
from pvensemble.insitu.news import apply
from pvensemble.insitu.pipeline import Pipeline
from pvensemble.insitu.settings import Settings
from pvensemble.insitu.trigger import Trigger

DISK_SECONDS = 60.0
LOOK_SECONDS = 0.05


class Drawer:
    """Does what it is told.

    Parameters
    ----------
    connection
        To the trainer.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        told = receive(connection)
        self._backend = told["backend"]
        self._pipelines = {
            name: Pipeline(name, Path(script), {}, Trigger()) for name, script in told["pipelines"]
        }

    def run(self) -> None:
        """Work until the trainer says that it has ended."""
        while True:
            told = receive(self._connection)
            what = told["do"]
            if what == "begin":
                send(self._connection, self._begin(Path(told["path"])))
            elif what == "execute":
                found = self._execute(told)
                send(self._connection, {"failure": found.failure, "messages": found.messages})
            elif what == "switch off":
                self._switch_off(told["name"])
            else:
                send(self._connection, {"said": self._end(told["settings"])})
                return

    def _begin(self, path: Path) -> dict:
        """Read what stands in the files, before more does."""
        try:
            self._bridge = start(self._backend, [*self._pipelines.values()])
            self._feed = Feed.open(path)
            self._hold_all()
        except PVEnsembleError as error:
            return {"error": str(error)}
        self._bridge.begin(self._feed)
        return {}

    def _hold_all(self) -> None:
        """Hold the tensors of all groups, also of those that were added."""
        for group in self._feed.groups:
            if not group.here:
                group.begin(())
                group.metric_rows()

    def _execute(self, told: dict) -> Caught:
        """Take in the news, and run a pipeline unless it is switched off."""
        stored = apply(told["news"], self._feed, tensors=True)
        self._hold_all()
        pipeline = self._pipelines.get(told["name"])
        if pipeline is None:
            return Caught()
        late = [name for name, step in stored.items() if not self._on_disk(name, step)]
        if told["news"]:
            self._feed.changed()
        found = self._bridge.execute(pipeline, told["step"], _settings(told["settings"]))
        if late:
            found.messages.append(
                f"tensors of {', '.join(late)} were not on the disk after {DISK_SECONDS:.0f} s: "
                "those of an earlier step are shown"
            )
        if found.failure is not None:
            self._switch_off(pipeline.name)
        return found

    def _on_disk(self, name: str, step: int) -> bool:
        """Wait until the files have what a group has recorded."""
        group = self._feed.named(name)
        begin = time.monotonic()
        while not group.has_stored(step):
            if time.monotonic() - begin > DISK_SECONDS:
                return False
            time.sleep(LOOK_SECONDS)
        return True

    def _switch_off(self, name: str) -> None:
        pipeline = self._pipelines.pop(name, None)
        if pipeline is not None:
            self._bridge.switch_off(pipeline)

    def _end(self, settings: dict) -> list:
        said = self._bridge.end(
            [*self._pipelines.values()], lambda pipeline: _settings(settings[pipeline.name])
        )
        return [[name, found.failure, found.messages] for name, found in said.items()]


def _settings(values: dict) -> Settings:
    paths = {key: Path(values[key]) for key in ("output", "ensemble")}
    return Settings(**{**values, **paths})


def main() -> None:
    """Serve the trainer at the other end of the descriptor that is the only argument."""
    with suppress(EOFError, BrokenPipeError):  # the trainer has gone: nobody waits for pictures
        Drawer(Connection(int(sys.argv[1]))).run()


if __name__ == "__main__":
    main()
