"""Give a program that draws a display: ParaView before 6.0 crashes without one."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import select
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from pvensemble.errors import ParaViewNotFoundError

OWN_RENDERING_SINCE = (6, 0)
"""ParaView from this version on chooses EGL or OSMesa by itself where there is no X server."""
START_SECONDS = 60
_WILD = 65535  # any host, in an Xauthority file


@contextlib.contextmanager
def display(
    env: Mapping[str, str] | None = None,
    *,
    version: tuple[int, ...] | None = None,
    size: tuple[int, int] = (1920, 1200),
    lasting: bool = False,
) -> Iterator[dict[str, str]]:
    """Yield the environment of a program that draws, with a virtual screen where none is there.

    Parameters
    ----------
    env
        What it starts from; ``os.environ`` when omitted.
    version
        ParaView's version.
    size
        Width and height of the virtual screen, in pixels.
    lasting
        Keep the screen until this process has ended: for a program that draws in this process,
        which aborts when its screen goes first.

    Raises
    ------
    ParaViewNotFoundError
        There is no display and no ``Xvfb``, and this ParaView cannot draw without them.
    """
    env = dict(os.environ if env is None else env)
    if not sys.platform.startswith("linux") or env.get("DISPLAY"):
        yield env
    elif shutil.which("Xvfb", path=env.get("PATH")) and lasting:
        yield {**env, **lasting_screen(size)}
    elif shutil.which("Xvfb", path=env.get("PATH")):
        with virtual_screen(size) as screen:
            yield {**env, **screen}
    elif version is not None and version >= OWN_RENDERING_SINCE:
        yield env
    else:
        raise ParaViewNotFoundError(
            "this ParaView draws only on an X display: DISPLAY is not set and Xvfb is missing; "
            "'apt-get install xvfb'"
        )


@contextlib.contextmanager
def virtual_screen(size: tuple[int, int]) -> Iterator[dict[str, str]]:
    """Run an X server without a screen; yield ``DISPLAY`` and ``XAUTHORITY`` for it.

    The server chooses its number itself, so any number of them can start at once (``xvfb-run -a``
    fails then), and only who holds the cookie can connect.

    Raises
    ------
    ParaViewNotFoundError
        The server does not start.
    """
    with tempfile.TemporaryDirectory(prefix="pvensemble-x-") as folder:
        secret = secrets.token_bytes(16)
        for_server = _write_cookie(Path(folder) / "server", secret)
        log = Path(folder) / "log"
        reading, writing = os.pipe()
        screen = ["-screen", "0", f"{size[0]}x{size[1]}x24", "-nolisten", "tcp", "-noreset"]
        with log.open("wb") as sink:
            server = subprocess.Popen(
                ["Xvfb", "-displayfd", str(writing), "-auth", str(for_server), *screen],
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                pass_fds=[writing],
            )
        os.close(writing)
        try:
            number = _first_line(reading, START_SECONDS)
            if not number:
                said = log.read_text(errors="replace").strip().splitlines()
                raise ParaViewNotFoundError(
                    f"Xvfb did not start: {said[-1] if said else 'it said nothing'}"
                )
            # With its number, so that clients do not show the cookie to other servers.
            for_clients = _write_cookie(Path(folder) / "Xauthority", secret, number)
            yield {"DISPLAY": f":{number}", "XAUTHORITY": str(for_clients)}
        finally:
            os.close(reading)
            server.terminate()
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def lasting_screen(size: tuple[int, int]) -> dict[str, str]:
    """Start a virtual screen that ends with this process, however that ends.

    Returns
    -------
    dict
        ``DISPLAY`` and ``XAUTHORITY``.

    Raises
    ------
    ParaViewNotFoundError
        The server does not start.
    """
    # A bare descriptor, which only the system closes, at the very end of this process.
    theirs, _ours = os.pipe()
    reading, writing = os.pipe()
    subprocess.Popen(
        [sys.executable, "-m", __name__, *map(str, size)],
        stdin=theirs,
        stdout=writing,
        start_new_session=True,  # a Ctrl-C in the terminal does not end it
    )
    os.close(theirs)
    os.close(writing)
    line = _first_line(reading, START_SECONDS)
    os.close(reading)
    if not line:
        raise ParaViewNotFoundError("the virtual screen did not start")
    return json.loads(line)


def _keep(size: tuple[int, int]) -> None:
    """Run a screen until standard input ends."""
    with virtual_screen(size) as screen:
        sys.stdout.write(json.dumps(screen) + "\n")
        sys.stdout.flush()
        sys.stdin.read()


def _first_line(descriptor: int, seconds: float) -> str:
    """Read a line; empty when the other side closes or is silent for too long."""
    text = b""
    while not text.endswith(b"\n"):
        ready, _, _ = select.select([descriptor], [], [], seconds)
        chunk = os.read(descriptor, 64) if ready else b""
        if not chunk:
            return ""
        text += chunk
    return text.decode().strip()


def _write_cookie(file: Path, secret: bytes, number: str = "") -> Path:
    """Write an Xauthority file: family, then address, number (any if empty), method, secret."""
    fields = (b"", number.encode(), b"MIT-MAGIC-COOKIE-1", secret)
    file.touch(mode=0o600)
    file.write_bytes(
        struct.pack(">H", _WILD) + b"".join(struct.pack(">H", len(f)) + f for f in fields)
    )
    return file


if __name__ == "__main__":
    _keep((int(sys.argv[1]), int(sys.argv[2])))
