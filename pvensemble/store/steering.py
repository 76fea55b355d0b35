"""Requests to a training that runs: a small file each in ``X.pvens.d/steering``, never changed.

Whoever may write there asks; the trainer looks about once a second, does it, and acknowledges in
the index of every group that a request concerns (:class:`pvensemble.store.Acknowledgement`). What
the files say is checked when they are written and again when they are read.
"""

from __future__ import annotations

import getpass
import json
import os
import platform
import re
import stat
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from pvensemble.errors import SteeringError
from pvensemble.schema import STEERING_DIR
from pvensemble.store.files import create_file, sync_directory, unreadable, unwritable
from pvensemble.store.locks import lock
from pvensemble.store.steering_text import (
    check_recording,
    check_runs,
    check_settings,
    recording_text,
    runs_text,
    settings_text,
)

ACTIONS = ("stop", "record", "add")
MAX_BYTES = 256 * 1024
"""Size of a request at most; one that stops 13,000 runs takes 80 kB."""


@dataclass(frozen=True)
class Request:
    """What somebody asks of a training.

    Attributes
    ----------
    number
        From 1 on, in the order of arrival.
    action
        ``stop`` ends runs, ``record`` changes what is recorded, ``add`` adds runs; "" when the file
        is not understood.
    runs
        For ``stop``: run indices.
    recording
        For ``record``: ``every`` (steps), ``layers`` and ``kinds`` (texts), those that change.
    settings
        For ``add``: name of a setting to its values; all combinations are added.
    reason
        Why, for people; "" when nobody said.
    time, by
        When (seconds since 1970), and who (``user@host``).
    problem
        Why the file is not understood, "" when it is.
    """

    number: int
    action: str
    runs: tuple[int, ...] = ()
    recording: Mapping = field(default_factory=dict)
    settings: Mapping = field(default_factory=dict)
    reason: str = ""
    time: float = 0.0
    by: str = ""
    problem: str = ""

    @property
    def text(self) -> str:
        """What is asked, in a line."""
        if self.problem:
            return "a request that is not understood"
        said = {
            "stop": lambda: f"stop {runs_text(self.runs)}",
            "record": lambda: f"record {recording_text(self.recording)}",
            "add": lambda: f"add {settings_text(self.settings)}",
        }[self.action]()
        return f"{said} ({self.reason})" if self.reason else said


def stop_request(runs: Iterable[int], reason: str = "") -> Request:
    """Return a request to stop runs, given by index.

    Raises
    ------
    SteeringError
        It makes no sense whatever the ensemble is; likewise of the other requests.
    """
    return _from_json(0, {"action": "stop", "runs": list(runs), "reason": reason, **_origin()})


def record_request(
    every: int | None = None,
    layers: Collection[str] | None = None,
    kinds: Collection[str] | None = None,
) -> Request:
    """Return a request to record every so many steps, these layers, these kinds; None: as now."""
    wanted = {"every": every, "layers": layers, "kinds": kinds}
    given = {k: v if k == "every" else list(v) for k, v in wanted.items() if v is not None}
    return _from_json(0, {"action": "record", **given, **_origin()})


def add_request(settings: Mapping[str, Collection]) -> Request:
    """Return a request to add runs: all combinations of the values of some settings."""
    listed = {name: list(values) for name, values in settings.items()}
    return _from_json(0, {"action": "add", "settings": listed, **_origin()})


def steering_directory(data_directory: Path) -> Path:
    """Return where the requests of an ensemble lie, given its data directory."""
    return data_directory / STEERING_DIR


def write_request(directory: Path, request: Request) -> Request:
    """Write a request durably under the next free number; return it with that number.

    Raises
    ------
    StoreError
        The system refuses.
    """
    data = (json.dumps(_to_json(request)) + "\n").encode()
    try:
        if not directory.is_dir():
            directory.mkdir(exist_ok=True)
            sync_directory(directory.parent)
        number = max(request_numbers(directory), default=0) + 1
        while not create_file(directory / _file_name(number), data):
            number += 1
    except OSError as error:
        raise unwritable(directory, error, what="a request") from error
    return replace(request, number=number)


def request_numbers(directory: Path) -> list[int]:
    """Return the numbers of the requests that are there, ascending; cheap.

    Raises
    ------
    StoreError
        The system refuses.
    """
    try:
        names = [entry.name for entry in os.scandir(directory)]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise unreadable(directory, error, what="the directory of requests") from error
    found = (re.fullmatch(r"([0-9]{6,12})\.json", name) for name in names)
    numbers = sorted(int(match[1]) for match in found if match)
    return [number for number in numbers if number and _file_name(number) in names]


def read_requests(directory: Path) -> list[Request]:
    """Return all requests by number; of those that are not understood, ``problem`` says why."""
    return [_read(directory / _file_name(number), number) for number in request_numbers(directory)]


@contextmanager
def exclusive(directory: Path) -> Iterator[bool]:
    """Let one process at a time deal with what no group has to itself; gives False to others.

    A process that is killed gives way at once.
    """
    try:
        descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise unwritable(directory, error, what="the lock of the requests") from error
    try:
        try:
            lock(descriptor, 0.0)  # without locks, as of indexes, nobody can tell
            alone = True
        except BlockingIOError:
            alone = False
        yield alone
    finally:
        os.close(descriptor)


# -- private ---------------------------------------------------------------------------------------


def _file_name(number: int) -> str:
    return f"{number:06d}.json"


def _origin() -> dict:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a process without a user, as in some containers
        user = str(os.getuid())
    return {"time": round(time.time(), 3), "by": f"{user}@{platform.node()}"}


def _read(path: Path, number: int) -> Request:
    try:
        text = _content(path)
        content = json.loads(text)
        if not isinstance(content, dict):
            raise SteeringError("it is no JSON object")
        return _from_json(number, content)
    except (SteeringError, OSError, ValueError, RecursionError) as error:
        when = _time_of(path)
        return Request(number, "", time=when, problem=f"{path.name}: {_one_line(error)}")


def _content(path: Path) -> bytes:
    """Return the bytes of a plain file of no unreasonable size; anything else is refused."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise SteeringError("it is no plain file")
        if status.st_size > MAX_BYTES:
            raise SteeringError(f"it has {status.st_size:,} bytes, allowed: {MAX_BYTES:,}")
        return os.read(descriptor, MAX_BYTES)
    finally:
        os.close(descriptor)


def _time_of(path: Path) -> float:
    try:
        return path.lstat().st_mtime
    except OSError:
        return 0.0


def _one_line(error: Exception) -> str:
    text = " ".join((getattr(error, "strerror", None) or str(error)).split())
    return text if len(text) <= 200 else text[:199] + "…"


def _to_json(request: Request) -> dict:
    parts = {
        "stop": lambda: {"runs": list(request.runs), "reason": request.reason},
        "record": lambda: dict(request.recording),
        "add": lambda: {"settings": dict(request.settings)},
    }
    origin = {"time": request.time, "by": request.by}
    return {"action": request.action, **parts[request.action](), **origin}


def _from_json(number: int, content: Mapping) -> Request:
    """Return the request that a file says.

    Raises
    ------
    SteeringError
        It says something else.
    """
    action = content.get("action")
    if action not in ACTIONS:
        raise SteeringError(f"action: got {_short(action)}, allowed: {', '.join(ACTIONS)}")
    when, by, reason = content.get("time"), content.get("by"), content.get("reason", "")
    if isinstance(when, bool) or not isinstance(when, (int, float)) or not 0 <= when < 2**40:
        raise SteeringError(f"time: got {_short(when)}, allowed: seconds since 1970")
    for name, text in (("by", by), ("reason", reason)):
        if not isinstance(text, str) or len(text) > 200 or not (text.isprintable() or not text):
            raise SteeringError(f"{name}: got {_short(text)}, allowed: a line of text")
    checked = {
        "stop": lambda: {"runs": check_runs(content.get("runs"))},
        "record": lambda: {"recording": check_recording(content)},
        "add": lambda: {"settings": check_settings(content.get("settings"))},
    }[action]()
    return Request(number, action, reason=reason, time=float(when), by=by, **checked)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"
