"""Signals that ask a long computation to keep what it has and end."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def stop_on_signals() -> Iterator[threading.Event]:
    """Turn the first SIGINT or SIGTERM into a flag, and any SIGUSR1; a second one acts as usual.

    SIGUSR1 is what batch systems are asked to send before they end a job; it may come twice.
    """
    stop = threading.Event()
    before = {}

    def handle(number: int, frame: object) -> None:
        stop.set()
        for signal_number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(signal_number, before[signal_number])

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        # ParaView's own handlers are none of Python's: those are not put back.
        before[number] = signal.signal(number, handle) or signal.SIG_DFL
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
