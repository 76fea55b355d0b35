"""Errors that users meet.

Every message says what is wrong, what was got, what is allowed and where. The command line prints
the message alone and exits with status 2; ParaView shows it in Output Messages. Each class also
inherits the builtin that a caller would expect.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class PVEnsembleError(Exception):
    """Root of all errors that name a user's mistake or a bad file."""

    def __str__(self) -> str:
        # KeyError.__str__ would show the repr of the message.
        return Exception.__str__(self)


class ConfigError(PVEnsembleError, ValueError):
    """A training configuration says something that cannot be done."""


class DataError(PVEnsembleError, ValueError):
    """A data set is missing, truncated, corrupt or of the wrong shape."""


class TrainingError(PVEnsembleError, RuntimeError):
    """Training cannot go on: a worker process died or failed."""


class SteeringError(PVEnsembleError, ValueError):
    """A request to a running training says something that cannot be done."""


class RankError(PVEnsembleError, RuntimeError):
    """Something is wrong on one of several ranks; raised on all of them."""


class StoreError(PVEnsembleError, OSError):
    """An ensemble on disk cannot be read or written."""

    def __init__(self, message: str) -> None:
        super().__init__(message)


class GroupBusyError(StoreError):
    """A live process writes this group."""


class SchemaError(StoreError, ValueError):
    """A file is not an ensemble, or one of a schema version that this release does not read."""


class CorruptFileError(StoreError):
    """A file's content differs from what the index says of it."""


class NotRecordedError(PVEnsembleError, KeyError):
    """A run, layer, kind, step or metric was asked for that the ensemble does not hold."""


class MeasureError(PVEnsembleError, ValueError):
    """A performance measure was asked for with unusable options."""


class ExpressionError(PVEnsembleError, ValueError):
    """A selection expression does not parse or names an unknown column."""


class OptionError(PVEnsembleError, ValueError):
    """A filter or plot was given an option that it cannot use."""


class MissingArrayError(PVEnsembleError, KeyError):
    """A filter's input lacks an array that it needs."""


class PipelineError(PVEnsembleError, RuntimeError):
    """A VTK pipeline failed; the cause is chained."""


class RenderError(PVEnsembleError, RuntimeError):
    """ParaView could not make the pictures of a scene."""


class ParaViewNotFoundError(PVEnsembleError, FileNotFoundError):
    """No usable ParaView was found."""


class SceneError(PVEnsembleError, ValueError):
    """A scene does not exist or cannot be shown."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for a near miss, else the known names, else ``""``."""
    known = [str(k) for k in known]
    near = [k for k in known if k.lower() == str(name).lower()]
    near = near or difflib.get_close_matches(str(name), known, n=1)
    if near:
        return f"; did you mean {near[0]!r}?"
    if known:
        shown = ", ".join(known[:12]) + (", …" if len(known) > 12 else "")
        return f"; there are: {shown}"
    return ""
