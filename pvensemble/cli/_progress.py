"""The progress of a training on a terminal (one line, rewritten) or in a log (a line at times)."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Mapping
from typing import Any, TextIO

from pvensemble import schema

LOG_INTERVAL = 10.0
"""Seconds between the lines of a log."""
TERMINAL_INTERVAL = 0.2


class ProgressDisplay:
    """Shows progress; a callable for ``train(on_progress=…)``.

    Parameters
    ----------
    stream
        Where to write, usually standard error.
    clock
        Seconds; replaced by tests.
    line
        What a moment is in one line; of a training when omitted.
    """

    def __init__(
        self,
        stream: TextIO,
        clock: Callable[[], float] = time.monotonic,
        line: Callable[[Any], str] | None = None,
    ) -> None:
        self._stream = stream
        self._clock = clock
        self._text = line or progress_line
        self._rewrite = stream.isatty() and os.environ.get("TERM") != "dumb"
        self._shown: float | None = None
        self._width = 0
        self._last: str | None = None
        self._message = ""

    def __call__(self, progress: Any) -> None:
        """Show one moment of a training; a new message gets a line of its own."""
        if progress.message and progress.message != self._message:
            self._line(progress.message)
        self._message = progress.message
        self._last = self._text(progress)
        interval = TERMINAL_INTERVAL if self._rewrite else LOG_INTERVAL
        now = self._clock()
        if self._shown is None or now - self._shown >= interval:
            self._shown = now
            self._show()

    def say(self, text: str) -> None:
        """Write a line that stays, whatever the progress is."""
        self._line(text)

    def close(self) -> None:
        """Show the newest state and end the line."""
        if self._last is None:
            return
        self._show()
        if self._rewrite:
            self._stream.write("\n")
            self._stream.flush()
        self._last, self._width = None, 0

    def _line(self, text: str) -> None:
        """Write a line that stays."""
        self._stream.write(f"\r{text:<{self._width}}\n" if self._rewrite else f"{text}\n")
        self._stream.flush()
        self._width = 0

    def _show(self) -> None:
        """Write the newest state."""
        text = self._last
        if not self._rewrite:
            self._stream.write(f"{text}\n")
        else:
            text = text[: shutil.get_terminal_size().columns - 1]
            self._stream.write(f"\r{text:<{self._width}}")
            self._width = len(text)
        self._stream.flush()


def progress_line(progress: Any) -> str:
    """Return share, speed, remaining time, runs by state and size in one line."""
    share = 100 * progress.step // max(progress.total, 1)
    remaining = "--" if progress.remaining is None else duration(progress.remaining)
    return (
        f"{share:3d} %  {progress.step:,}/{progress.total:,} run-steps  "
        f"{progress.run_steps_per_second:,.0f}/s  {remaining} left  "
        f"{states_text(progress.states)}  {size(progress.bytes_written)}"
    )


def states_text(states: Mapping[str, int]) -> str:
    """Return the number of runs by state, as ``complete 12, running 2``."""
    known = [s for s in schema.STATES if states.get(s)]
    return ", ".join(f"{s.lower()} {states[s]}" for s in known) or "no runs"


def duration(seconds: float) -> str:
    """Return seconds as ``h:mm:ss`` or ``m:ss``."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def size(n_bytes: float) -> str:
    """Return a number of bytes with its unit (powers of 1000)."""
    for unit in ("B", "kB", "MB", "GB"):
        if n_bytes < 1000:
            return f"{n_bytes:.0f} {unit}" if unit == "B" else f"{n_bytes:.1f} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:.1f} TB"
