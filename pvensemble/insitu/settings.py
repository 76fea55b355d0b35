"""What a pipeline's script is told: the values after its name on the command line.

A script calls ``settings()`` when it is imported or executed::

    from pvensemble.insitu.settings import settings

    OPTIONS = {"color": ("red", "colour of all runs")}  # name: default, what --insitu list says
    color = settings()["color"]

``OPTIONS`` is a plain dictionary: it is read before ParaView is there. A third item says which
values are allowed; see :mod:`pvensemble.insitu.options`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pvensemble.errors import PVEnsembleError


@dataclass(frozen=True)
class Settings:
    """Values for one pipeline.

    Attributes
    ----------
    options
        The pipeline's own options, as texts.
    output
        Folder for what it writes.
    ensemble
        The ``.pvens`` file of the training.
    last_step
        Last step of the longest run.
    """

    options: dict[str, str] = field(default_factory=dict)
    output: Path = Path()
    ensemble: Path = Path()
    last_step: int = 0

    def __getitem__(self, name: str) -> str:
        return self.options[name]

    def names(self, name: str) -> list[str]:
        """Return the names that an option holds, separated by commas."""
        return names_in(self.options[name])


def names_in(text: str) -> list[str]:
    """Return names that are separated by commas."""
    return [name.strip() for name in text.split(",") if name.strip()]


_current: list[Callable[[], Settings]] = []


def settings() -> Settings:
    """Return the settings of the pipeline that is being executed.

    Raises
    ------
    PVEnsembleError
        None is: the script runs outside of ``pvensemble train --insitu``.
    """
    if not _current:
        raise PVEnsembleError("settings() is for scripts of 'pvensemble train --insitu'")
    return _current[-1]()


def current(values: Settings) -> AbstractContextManager[None]:
    """Let ``settings()`` return these."""
    return current_by(lambda: values)


@contextmanager
def current_by(choose: Callable[[], Settings]) -> Iterator[None]:
    """Let ``settings()`` return what a function chooses when a script asks."""
    _current.append(choose)
    try:
        yield
    finally:
        _current.pop()
