"""Run ParaView without a window to save pictures of a scene, and make a film of the frames."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from pvensemble.errors import RenderError
from pvensemble.launcher.display import display
from pvensemble.launcher.environment import environment, package_folder
from pvensemble.launcher.find import find_paraview, paraview_version
from pvensemble.launcher.scenes import check_ensemble, scene_file


def render(
    ensemble: str | os.PathLike,
    out: str | os.PathLike,
    *,
    scene: str,
    size: tuple[int, int] = (1920, 1200),
    frames: int = 0,
    fps: int = 10,
    prefix: str | os.PathLike | None = None,
) -> list[Path]:
    """Save pictures of an ensemble in a scene.

    Parameters
    ----------
    ensemble
        ``X.pvens``.
    out
        Folder for the pictures; made where it is missing. Files of the same names are replaced,
        once all pictures are there.
    scene
        Name of the scene.
    size
        Width and height of a layout in pixels.
    frames
        Largest number of frames of an animation over the training; 0 for none.
    fps
        Frames a second of the film.
    prefix
        ParaView's installation folder.

    Returns
    -------
    list of Path
        What was written; the film last.

    Raises
    ------
    SceneError
        No such ensemble or scene.
    ParaViewNotFoundError
        No ParaView, or no display for it.
    RenderError
        ParaView failed; the message holds what it said last.
    """
    ensemble, scene_path = check_ensemble(ensemble), scene_file(scene)
    program = find_paraview("pvpython", prefix)
    out = _folder(Path(out))
    with tempfile.TemporaryDirectory(prefix=".rendering-", dir=out) as staging:
        options = {
            "scene": str(scene_path),
            "ensemble": str(ensemble),
            "folder": staging,
            "size": size,
            "frames": frames,
        }
        with display(environment(), version=paraview_version(program)) as env:
            _run(program, {**env, "PVENSEMBLE_PICTURES": json.dumps(options)})
        film = _film(Path(staging), fps)
        return _move(Path(staging), out, last=film)


def _folder(path: Path) -> Path:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RenderError(f"{path}: cannot be made a folder: {error.strerror}") from error
    return path


def _run(program: Path, env: dict[str, str]) -> None:
    script = package_folder() / "views" / "pictures.py"
    done = subprocess.run(
        [str(program), str(script)],
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        said = (done.stderr + done.stdout).strip().splitlines()
        raise RenderError(
            f"ParaView ended with status {done.returncode} while rendering: "
            f"{said[-1] if said else 'it said nothing'}"
        )


def _film(staging: Path, fps: int) -> str | None:
    """Join the frames with ffmpeg, where it is; the frames stay beside the film."""
    frames = staging / "frames"
    ffmpeg = shutil.which("ffmpeg")
    if not frames.is_dir() or ffmpeg is None:
        return None
    name = "animation.mp4"
    encode = ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-crf", "20"]
    even = ["-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2"]
    subprocess.run(
        [ffmpeg, "-v", "error", "-y", "-framerate", str(fps), "-i", str(frames / "frame%04d.png")]
        + [*even, *encode, str(staging / name)],
        stdin=subprocess.DEVNULL,
        check=True,
    )
    return name


def _move(staging: Path, out: Path, last: str | None) -> list[Path]:
    """Put everything from the staging folder in its place."""
    written = []
    for path in sorted(staging.rglob("*"), key=lambda p: (p.name == last, p)):
        if path.is_file():
            target = out / path.relative_to(staging)
            target.parent.mkdir(exist_ok=True)
            path.replace(target)
            written.append(target)
    return written
