"""A training in the window, over its own Catalyst menu, by mouse and keyboard."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from window import WindowError, open_window

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "insitu"))

from insitu_cases import TOML

from pvensemble.launcher import find_paraview, paraview_version
from pvensemble.store import Ensemble

pytestmark = [pytest.mark.gui, pytest.mark.paraview, pytest.mark.slow]

CATALYST = "alt+c"
"""The key that opens the menu. Its first entry that is enabled is Connect. When a training is
connected this is Disconnect, since ParaView 6, before Pause Simulation or Continue."""
ICONS = 12
"""Pixels from the left edge to the column of icons in the pipeline browser."""


@pytest.fixture
def alone(tmp_path, programs):
    with open_window(tmp_path, None, None, 0) as opened:
        yield opened


@contextlib.contextmanager
def training(folder: Path, port: int):
    """Train for longer than a test lasts."""
    (folder / "small.toml").write_text(TOML)
    command = [sys.executable, "-m", "pvensemble", "train", "small.toml", "-o", "e.pvens"]
    command += ["--set", "steps=1000000", "--set", "record.every=500", "--workers", "1"]
    command += ["--insitu", f"live:every=250,port={port}"]
    log = folder / "train.log"
    with log.open("w") as sink:
        process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def extract(window, name: str) -> None:
    """Click the icon beside what is the lowest in the pipeline browser and not extracted yet."""
    for height in range(420, 150, -9):
        window.click((ICONS, height))
        if window.wait_for(lambda: f"Extract: {name}" in window.ask("extracts"), 0.7):
            return
    raise WindowError(f"no click extracted {name}")


def last_steps(window) -> list[int]:
    return window.ask("extracts")["Extract: runs"]


def test_the_window_shows_and_pauses_a_training(alone, tmp_path):
    window = alone
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    window.choose(CATALYST, lambda: window.dialogs("Catalyst Server Port"))
    window.mouse("windowfocus", "--sync", *window.dialogs("Catalyst Server Port"))
    window.mouse("key", "ctrl+a")
    window.mouse("type", port)
    window.mouse("key", "Return")
    window.wait(lambda: f":{port}\n" in window.log(), 60, "open port")
    with training(tmp_path, port) as process:
        log = tmp_path / "train.log"
        told = f"connected to the ParaView at localhost:{port}"
        window.wait(lambda: told in log.read_text() or process.poll(), 90, "connection")
        assert process.poll() is None, log.read_text()
        extract(window, "tensors")
        extract(window, "runs")
        before = window.wait(lambda: last_steps(window), 30, "runs")
        window.wait(lambda: min(last_steps(window)) > max(before), 60, "later steps")

        pause(window)
        window.choose(CATALYST, lambda: not window.ask("pausing"), after_disconnect())
        after = last_steps(window)
        window.wait(lambda: min(last_steps(window)) > max(after), 60, "steps after the pause")

        pause(window)
        shown = window.ask("extracts")
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130, log.read_text()
    assert window.ask("extracts") == shown
    compare(shown, Ensemble.open(tmp_path / "e.pvens"))
    assert "Not all meta data" not in window.log()


def after_disconnect() -> int:
    return int((paraview_version(find_paraview("pvpython")) or (0,)) >= (6,))


def pause(window) -> None:
    """Pause the training; wait until nothing changes any more."""
    window.choose(CATALYST, lambda: window.ask("pausing"), after_disconnect())
    seen = [last_steps(window)]

    def still() -> bool:
        time.sleep(2)
        seen.append(last_steps(window))
        return seen[-1] == seen[-2]

    window.wait(still, 60, "end of all changes")


def compare(shown: dict, ensemble: Ensemble) -> None:
    """Compare what the window showed with what is stored."""
    assert len(shown["Extract: runs"]) == ensemble.n_runs == 4
    volumes = shown["Extract: tensors"]
    assert {name.split("/")[0] for name in volumes} == {group.name for group in ensemble.groups}
    for group in ensemble.groups:
        volume = volumes[f"{group.name}/conv1.weight"]
        (step,) = volume["step"]
        assert step > 0
        stored = group.tensor("conv1", "weight", step)
        np.testing.assert_array_equal(volume["values"], stored.ravel())
