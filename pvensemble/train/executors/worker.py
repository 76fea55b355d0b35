"""A worker process: ``python -m pvensemble.train.executors.worker``; only :mod:`.pool` starts it.

It is a program of its own rather than a ``multiprocessing`` child, so that a user's script needs no
``__main__`` guard, memory settings are in place before torch is loaded, and it ends with its
parent whatever happens to that.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Mapping
from multiprocessing.connection import Connection


def main(argv: list[str]) -> None:
    """Train the jobs that come through the connection, until it is closed.

    Parameters
    ----------
    argv
        Number of this worker, number of workers, descriptors of the connection and of the control
        page, device, whether to vectorize, and whether the jobs go in step.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the trainer decides what Ctrl-C means
    threading.Thread(target=_end_with_parent, daemon=True).start()
    number, n_workers, fd, page_fd = (int(a) for a in argv[:4])
    connection = Connection(fd)
    sys.excepthook = _tell(connection, sys.excepthook)

    import torch

    from pvensemble.train.config import DataConfig
    from pvensemble.train.executors.device_data import DeviceData
    from pvensemble.train.executors.engine import worker_arithmetic
    from pvensemble.train.executors.events import SavedAll
    from pvensemble.train.executors.job_list import train_jobs
    from pvensemble.train.executors.shared import ControlPage, WorkerControl, attach

    control = WorkerControl(ControlPage(n_workers, page_fd), number)
    control.in_step = argv[6] == "1"
    device = torch.device(argv[4])
    with worker_arithmetic(device):
        while True:
            try:
                shared, jobs = connection.recv()
            except EOFError:  # there is nothing more to do
                return

            def load(config: DataConfig, shared: Mapping = shared) -> DeviceData:
                return DeviceData(attach(shared[config]), device)

            control.renew()
            connection.send(SavedAll(control.save))  # of what was asked before there is nothing
            for event in train_jobs(jobs, load, control, vectorized=argv[5] == "1"):
                connection.send(event)
            connection.send(None)


def _end_with_parent() -> None:
    """End as soon as the parent has: its end of our standard input is then closed."""
    while os.read(0, 4096):
        pass
    os._exit(1)


def _tell(connection: Connection, hook):
    """Return an exception hook that also tells the trainer; a user's mistake has no traceback."""

    def tell(kind, value, traceback) -> None:
        from pvensemble.errors import PVEnsembleError
        from pvensemble.train.failure import place

        mistake = issubclass(kind, PVEnsembleError)
        if not issubclass(kind, (BrokenPipeError, ConnectionResetError)):
            connection.send(("error", str(value) if mistake else place(value), mistake))
            if not mistake:
                hook(kind, value, traceback)

    return tell


if __name__ == "__main__":
    main(sys.argv[1:])
