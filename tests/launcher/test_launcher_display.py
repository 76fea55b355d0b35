"""A display for programs that draw."""

from __future__ import annotations

import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pvensemble.launcher.display import display, virtual_screen

needs_xvfb = pytest.mark.skipif(shutil.which("Xvfb") is None, reason="Xvfb is not installed")


@pytest.fixture(autouse=True)
def linux(monkeypatch):
    monkeypatch.setattr("sys.platform", "linux")


def size_of(screen: dict[str, str]) -> str:
    """What an X client of the display says of the screen."""
    if shutil.which("xdotool") is None:
        pytest.skip("xdotool is not installed")
    done = subprocess.run(
        ["xdotool", "getdisplaygeometry"], env={**os.environ, **screen}, capture_output=True
    )
    return done.stdout.decode().strip() or done.stderr.decode().strip()


def test_a_display_that_is_there_is_used():
    with display({"DISPLAY": ":0", "A": "b"}) as env:
        assert env == {"DISPLAY": ":0", "A": "b"}


@needs_xvfb
def test_a_screen_of_the_size_asked_for_is_made_and_goes_away():
    with display({"PATH": os.environ["PATH"]}, size=(640, 480)) as env:
        assert size_of(env) == "640 480"
        number = env["DISPLAY"][1:]
    assert not Path(f"/tmp/.X11-unix/X{number}").exists()
    assert not Path(env["XAUTHORITY"]).exists()


@needs_xvfb
def test_only_who_holds_the_cookie_can_connect(tmp_path):
    with virtual_screen((64, 64)) as screen:
        assert size_of(screen) == "64 64"
        (tmp_path / "empty").touch()
        assert size_of({**screen, "XAUTHORITY": str(tmp_path / "empty")}) != "64 64"
        assert Path(screen["XAUTHORITY"]).stat().st_mode & 0o077 == 0


@needs_xvfb
def test_many_screens_start_at_once():
    def start(k: int) -> tuple[int, str]:
        with virtual_screen((100 + k, 100)) as screen:
            return k, size_of(screen)

    with ThreadPoolExecutor(6) as pool:
        sizes = dict(pool.map(start, range(6)))
    assert sizes == {k: f"{100 + k} 100" for k in range(6)}


def test_without_xvfb_old_paraviews_are_refused_and_new_ones_draw_themselves(tmp_path):
    env = {"PATH": str(tmp_path)}
    with display(env, version=(6, 1, 1)) as got:
        assert got == env
    with (
        pytest.raises(FileNotFoundError, match="apt-get install xvfb"),
        display(env, version=(5, 11, 0)),
    ):
        pass


def test_an_x_server_that_does_not_start_says_why(tmp_path, monkeypatch):
    (tmp_path / "Xvfb").write_text("#!/bin/sh\necho no more memory >&2; exit 1\n")
    (tmp_path / "Xvfb").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    says_why = pytest.raises(FileNotFoundError, match="Xvfb did not start: no more memory")
    with says_why, display({"PATH": str(tmp_path)}):
        pass
