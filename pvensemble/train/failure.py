"""A run that raises ends itself, not the training: what is said of it, and where it is caught."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pvensemble.errors import PVEnsembleError

_LONGEST = 400


def place(error: BaseException) -> str:
    """Return an error in one line: type, message, file and line.

    The place is the innermost one outside of installed packages: that of the user's code.
    """
    text = " ".join(str(error).split())
    text = text if len(text) <= _LONGEST else text[: _LONGEST - 2] + " …"
    named = ": ".join(filter(None, (type(error).__name__, text)))
    frames = traceback.extract_tb(error.__traceback__)
    for frame in ([f for f in frames if _is_own(f.filename)] or frames)[-1:]:
        return f"{named} ({frame.filename}, line {frame.lineno})"
    return named


def _is_own(file: str) -> bool:
    return not file.startswith("<") and not {"site-packages", "dist-packages"} & {*Path(file).parts}


class Guard:
    """Catches, as a ``with`` statement, the exception that ends one run.

    Attributes
    ----------
    reason
        What was caught last, for people; "" when nothing was.
    """

    def __init__(self) -> None:
        self.reason = ""
        self._lifted = False

    def __enter__(self) -> Guard:
        self.reason = ""
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, traceback: object) -> bool:
        if self._lifted or not isinstance(error, (Exception, SystemExit)):
            return False
        self.reason = str(error) if isinstance(error, PVEnsembleError) else place(error)
        return True

    @contextmanager
    def lifted(self) -> Iterator[None]:
        """Let through what is raised meanwhile: it is not the run's."""
        self._lifted = True
        yield
        self._lifted = False
