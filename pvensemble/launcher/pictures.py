"""Render a scene in a process of ParaView's, and join frames to a film."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pvensemble.errors import RenderError
from pvensemble.launcher.display import display
from pvensemble.launcher.environment import environment, package_folder
from pvensemble.launcher.find import find_paraview, paraview_version
from pvensemble.launcher.launch import server_address
from pvensemble.launcher.scenes import check_ensemble, scene_file

REPORT = "report.json"
SIZES = "WxH like 1920x1200, from 300x200 to 16384x16384"
"""What `picture_size` takes."""


@dataclass(frozen=True)
class Pictures:
    """What was written.

    Attributes
    ----------
    files : list of Path
        Pictures of the layout and of each view, and tables.
    frames : list of Path
        Pictures of the layout over time, in order.
    """

    files: list[Path]
    frames: list[Path]


def picture_size(text: str) -> tuple[int, int] | None:
    """Return width and height of a picture in pixels; None when a text is no possible size."""
    found = re.fullmatch(r"(\d{3,5})x(\d{3,5})", text.lower())
    if found:
        width, height = map(int, found.groups())
        if 300 <= width <= 16384 and 200 <= height <= 16384:
            return width, height
    return None


def render(
    ensemble: str | Path,
    folder: str | Path,
    *,
    scene: str,
    size: tuple[int, int],
    n_frames: int = 0,
    prefix: str | Path | None = None,
    server: str | None = None,
) -> Pictures:
    """Write pictures of an ensemble in a scene.

    Parameters
    ----------
    ensemble
        The ``.pvens`` file.
    folder
        Where to write; made when it is not there. Files of the same names are replaced, once all
        pictures are there.
    scene
        Name of the scene.
    size
        Width and height of the layout in pixels.
    n_frames
        Largest number of frames of an animation over the training; 0: none.
    prefix
        ParaView's installation; see :func:`pvensemble.launcher.find_paraview`.
    server
        ``HOST[:PORT]`` of a pvserver where the ensemble is; the pictures are written here.

    Raises
    ------
    SceneError
        There is no such ensemble or scene, it cannot be shown, or no server answers.
    ParaViewNotFoundError
        No ParaView, or none that can draw here.
    RenderError
        ParaView failed.
    """
    path, file = (ensemble if server else check_ensemble(ensemble)), scene_file(scene)
    program = find_paraview("pvpython", prefix)
    folder = Path(folder).absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RenderError(f"cannot make the folder {folder}: {error.strerror}") from error
    with tempfile.TemporaryDirectory(prefix=".rendering-", dir=folder) as staging:
        options = {
            "ensemble": str(path),
            "scene": str(file),
            "folder": staging,
            "size": list(size),
            "frames": n_frames,
            "server": None if server is None else server_address(server),
        }
        version = paraview_version(program)
        with display(environment(), version=version, size=size) as env:
            made = _run(program, env, options)
        for old in (folder / "frames").glob("[0-9][0-9][0-9][0-9].png"):
            old.unlink()  # of an animation with more frames
        return Pictures(
            [_move(Path(staging), folder, name) for name in made["files"]],
            [_move(Path(staging), folder, name) for name in made["frames"]],
        )


def _run(program: Path, env: dict[str, str], options: dict) -> dict:
    """Run ParaView and return its report."""
    done = subprocess.run(
        [str(program), str(package_folder() / "views" / "render.py"), json.dumps(options)],
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    report = Path(options["folder"]) / REPORT
    if not report.is_file():
        said = "\n".join((done.stderr or done.stdout).strip().splitlines()[-12:])
        raise RenderError(f"{program} ended with status {done.returncode} and said:\n{said}")
    made = json.loads(report.read_text())
    if "error" in made:
        raise RenderError(made["error"])
    return made


def _move(staging: Path, folder: Path, name: str) -> Path:
    """Put a finished file in its place."""
    target = folder / name
    target.parent.mkdir(exist_ok=True)
    return (staging / name).replace(target)


def join_frames(frames: Sequence[Path], target: Path, *, rate: float) -> Path | None:
    """Join frames to ``target.mp4`` with ffmpeg, else to ``target.gif`` with Pillow.

    Parameters
    ----------
    frames
        Pictures of equal size, in order, numbered from 0 in one folder.
    target
        Path without suffix.
    rate
        Frames a second.

    Returns
    -------
    Path or None
        The film; None when neither ffmpeg nor Pillow is there or works.
    """
    if not frames:
        return None
    return _mp4(frames, target.with_suffix(".mp4"), rate) or _gif(
        frames, target.with_suffix(".gif"), rate
    )


def _mp4(frames: Sequence[Path], film: Path, rate: float) -> Path | None:
    ffmpeg = shutil.which("ffmpeg")
    if ffmpeg is None:
        return None
    even = "pad=ceil(iw/2)*2:ceil(ih/2)*2:color=white"  # H.264 wants even sizes
    argv = [ffmpeg, "-y", "-loglevel", "error", "-framerate", str(rate)]
    argv += ["-i", str(frames[0].parent / "%04d.png"), "-vf", even]
    argv += ["-c:v", "libx264", "-crf", "18", "-pix_fmt", "yuv420p", "-movflags", "+faststart"]
    done = subprocess.run([*argv, str(film)], stdin=subprocess.DEVNULL, capture_output=True)
    if done.returncode == 0 and film.is_file():
        return film
    film.unlink(missing_ok=True)
    return None


def _gif(frames: Sequence[Path], film: Path, rate: float) -> Path | None:
    try:
        from PIL import Image
    except ImportError:
        return None
    pictures = []
    for frame in frames:
        with Image.open(frame) as picture:
            pictures.append(picture.convert("P", palette=Image.Palette.ADAPTIVE))
    pictures[0].save(
        film, save_all=True, append_images=pictures[1:], duration=round(1000 / rate), loop=0
    )
    return film
