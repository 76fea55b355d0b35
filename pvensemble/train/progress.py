"""How far a training is: what the command line shows and a caller may poll."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Progress:
    """A moment of a training.

    Attributes
    ----------
    step, total
        Run-steps done and in all (a run-step is one optimizer step of one run).
    run_steps_per_second
        Over about the last ten seconds; 0 before the first step.
    remaining
        Seconds left at that speed; None while unknown.
    states
        Number of runs by state.
    bytes_written
        Bytes of tensors handed to the store so far.
    message
        The newest event worth a line (a diverged run, a skipped step, a fallback), or "".
    """

    step: int
    total: int
    run_steps_per_second: float = 0.0
    remaining: float | None = None
    states: dict[str, int] = field(default_factory=dict)
    bytes_written: int = 0
    message: str = ""


class Speed:
    """Speed over a sliding window."""

    def __init__(self, window: float = 10.0) -> None:
        self._window = window
        self._seen: deque[tuple[float, int]] = deque()

    def update(self, done: int, now: float | None = None) -> float:
        """Add a count at a moment (seconds) and return the speed, 0 while unknown."""
        now = time.monotonic() if now is None else now
        self._seen.append((now, done))
        while len(self._seen) > 2 and now - self._seen[0][0] > self._window:
            self._seen.popleft()
        seconds = now - self._seen[0][0]
        return (done - self._seen[0][1]) / seconds if seconds > 0 else 0.0
