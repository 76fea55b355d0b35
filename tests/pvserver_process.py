"""A pvserver of its own for a test."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from pvensemble.launcher import command

START_SECONDS = 60
OF_RANKS = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_mpi_yield_when_idle": "1",  # ranks that wait leave the core to others
}


@contextmanager
def pvserver(
    folder: Path,
    *,
    n_ranks: int = 1,
    config: Path | str | None = None,
    extra: Mapping[str, str] | None = None,
) -> Iterator[str]:
    """Start ``pvensemble pvserver`` and yield its address; kill it at the end.

    Parameters
    ----------
    folder
        Where its messages go: ``server.log``.
    n_ranks
        Number of MPI processes.
    config
        Plugins that it loads instead of ours; "" for none.
    extra
        Further environment, like a display.
    """
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    argv, env, _ = command("pvserver", [f"--server-port={port}"])
    if config is not None:
        env["PV_PLUGIN_CONFIG_FILE"] = str(config)
    env.update(OF_RANKS, **(extra or {}))
    if n_ranks > 1:
        if shutil.which("mpiexec") is None:
            pytest.skip("mpiexec is not installed")
        argv = ["mpiexec", "--oversubscribe", "-n", str(n_ranks), *argv]
    log = folder / "server.log"
    with log.open("w") as sink:
        process = subprocess.Popen(
            argv,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            start_new_session=True,
        )
    try:
        end = time.monotonic() + START_SECONDS
        while "Accepting connection" not in log.read_text():
            assert process.poll() is None, f"pvserver ended: {log.read_text()}"
            assert time.monotonic() < end, f"pvserver did not start: {log.read_text()}"
            time.sleep(0.1)
        yield f"localhost:{port}"
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
