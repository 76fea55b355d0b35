"""``pvensemble render``."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pvserver_process import pvserver
from synthetic_ensemble import write_ensemble

from pvensemble.launcher.display import virtual_screen
from pvensemble.launcher.pictures import join_frames

needs_paraview = [
    pytest.mark.paraview,
    pytest.mark.skipif(shutil.which("pvpython") is None, reason="ParaView is not installed"),
]
PICTURES = ("performance", "parallel_coordinates", "heat_map", "loss_accuracy")


def render(*arguments, **env: str) -> subprocess.CompletedProcess:
    argv = [sys.executable, "-m", "pvensemble", "render", *map(str, arguments)]
    base = {k: v for k, v in os.environ.items() if k != "DISPLAY"}
    return subprocess.run(argv, capture_output=True, text=True, env={**base, **env})


def pixels(file: Path) -> np.ndarray:
    image = pytest.importorskip("PIL.Image")
    with image.open(file) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


def has_color(picture: np.ndarray, color: tuple[int, int, int]) -> bool:
    return bool((np.abs(picture - color).max(axis=2) < 30).sum() > 30)


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    """Pictures and an animation of 5 x 5 runs, one of them diverged."""
    folder = tmp_path_factory.mktemp("render")
    ensemble = write_ensemble(folder / "grid.pvens", 5, diverged=1)
    out = folder / "pictures"
    done = render(ensemble, "-o", out, "--size", "1000x700", "--animate", "--frames", "4")
    assert done.returncode == 0, done.stderr
    return done, out


class TestPictures:
    pytestmark = needs_paraview

    @pytest.mark.slow
    def test_a_server_s_ensemble_gives_the_same_pictures(self, rendered, tmp_path):
        _, out = rendered
        with virtual_screen((640, 480)) as screen, pvserver(tmp_path, extra=screen) as address:
            there = ["--server", address, out.parent / "grid.pvens"]
            done = render(*there, "-o", tmp_path / "far", "--size", "1000x700")
        assert done.returncode == 0, done.stderr
        for name in PICTURES:
            near, far = (pixels(folder / f"{name}.png") for folder in (out, tmp_path / "far"))
            assert np.array_equal(near, far), name

    def test_every_file_is_printed_and_there(self, rendered):
        done, out = rendered
        printed = [Path(line) for line in done.stdout.splitlines()]
        assert all(file.is_file() for file in printed)
        names = {file.name for file in printed}
        assert {f"{name}.png" for name in PICTURES} < names
        assert "native_parallel_coordinates.png" in names
        assert not list(out.glob(".rendering-*"))

    def test_the_layout_has_the_size_asked_for(self, rendered):
        assert pixels(rendered[1] / "performance.png").shape == (700, 1000, 3)

    def test_the_pictures_are_white_with_black_axes_and_the_colours_of_the_groups(self, rendered):
        for name in PICTURES:
            picture = pixels(rendered[1] / f"{name}.png")
            assert (picture.min(axis=2) > 250).mean() > 0.2
            assert has_color(picture, (0, 0, 0))
            assert has_color(picture, (0xD6, 0x27, 0x28))
            assert has_color(picture, (0x2C, 0xA0, 0x2C))

    def test_the_spreadsheet_is_a_table_of_all_runs(self, rendered):
        lines = (rendered[1] / "spreadsheet.csv").read_text().splitlines()
        header = lines[0].replace('"', "").split(",")
        assert len(lines) == 26
        assert {"learning_rate", "momentum", "P1", "combined", "state"} <= set(header)
        assert not {"group_color", "state_code"} & set(header)

    def test_there_are_as_many_frames_as_asked_for(self, rendered):
        frames = sorted((rendered[1] / "frames").iterdir())
        assert [f.name for f in frames] == ["0000.png", "0001.png", "0002.png", "0003.png"]

    def test_the_playhead_moves_with_the_frames(self, rendered):
        frames = sorted((rendered[1] / "frames").iterdir())
        first, last = pixels(frames[0]), pixels(frames[-1])
        red = [np.abs(p - (200, 30, 30)).max(axis=2) < 30 for p in (first, last)]
        more = red[1][350:, 450:].sum(axis=0) - red[0][350:, 450:].sum(axis=0)  # in the graph
        assert more.argmin() < more.argmax() - 200

    def test_the_frames_are_joined(self, rendered):
        films = list(rendered[1].glob("animation.*"))
        assert len(films) == 1
        assert films[0].stat().st_size > 5000

    def test_one_run_is_rendered_beside_its_ensemble(self, tmp_path):
        ensemble = write_ensemble(tmp_path / "one.pvens", 1)
        done = render(ensemble, "--size", "600x400")
        assert done.returncode == 0, done.stderr
        picture = pixels(tmp_path / "one-performance" / "performance.png")
        assert has_color(picture, (0, 0, 0))

    @pytest.mark.slow
    def test_a_large_picture_looks_like_a_small_one(self, tmp_path):
        """Lines and text grow with the picture: each takes about the same share of it."""
        ensemble = write_ensemble(tmp_path / "nine.pvens", 3)
        share = []
        for size in ("1920x1200", "3840x2400"):
            done = render(ensemble, "-o", tmp_path / size, "--size", size)
            assert done.returncode == 0, done.stderr
            share.append((pixels(tmp_path / size / "performance.png").max(axis=2) < 120).mean())
        assert share[1] == pytest.approx(share[0], rel=0.25)

    def test_a_file_that_is_no_ensemble_is_an_error_with_its_name(self, tmp_path):
        (tmp_path / "bad.pvens").write_text("not an ensemble")
        done = render(tmp_path / "bad.pvens", "-o", tmp_path / "out")
        assert done.returncode == 2
        assert "bad.pvens" in done.stderr
        assert "Traceback" not in done.stderr
        assert not (tmp_path / "out").exists()


def test_mistakes_are_named_before_paraview_starts(tmp_path):
    ensemble = write_ensemble(tmp_path / "x.pvens", 1)
    for arguments, message in (
        ((tmp_path / "y.pvens",), "no ensemble"),
        ((ensemble, "--scene", "performanze"), "did you mean 'performance'"),
        ((ensemble, "--size", "12"), "expected WxH"),
        ((ensemble, "--frames", "0"), "expected a positive number"),
        ((ensemble, "--paraview", tmp_path), "no pvpython in"),
    ):
        done = render(*arguments)
        assert done.returncode == 2
        assert message in done.stderr
        assert "Traceback" not in done.stderr


def test_a_paraview_that_crashes_is_quoted(tmp_path):
    program = tmp_path / "pv" / "bin" / "pvpython"
    program.parent.mkdir(parents=True)
    program.write_text(
        "#!/bin/sh\n[ $1 = --version ] && echo paraview version 6.1.1 && exit\n"
        "echo out of memory >&2; exit 9\n"
    )
    program.chmod(0o755)
    write_ensemble(tmp_path / "x.pvens", 1)
    done = render(tmp_path / "x.pvens", "--paraview", tmp_path / "pv", DISPLAY=":99")
    assert done.returncode == 2
    assert "status 9" in done.stderr
    assert "out of memory" in done.stderr


@pytest.fixture
def frames(tmp_path) -> list[Path]:
    image = pytest.importorskip("PIL.Image")
    files = []
    for k in range(3):
        files.append(tmp_path / f"{k:04d}.png")
        image.new("RGB", (65, 41), (80 * k, 0, 0)).save(files[-1])
    return files


def test_without_ffmpeg_the_film_is_a_gif(frames, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    film = join_frames(frames, tmp_path / "film", rate=5)
    assert film == tmp_path / "film.gif"
    image = pytest.importorskip("PIL.Image")
    with image.open(film) as picture:
        assert picture.n_frames == 3


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")
def test_with_ffmpeg_the_film_is_an_mp4_also_at_odd_sizes(frames, tmp_path):
    film = join_frames(frames, tmp_path / "film", rate=5)
    assert film == tmp_path / "film.mp4"
    assert b"ftyp" in film.read_bytes()[:16]


def test_without_frames_there_is_no_film(tmp_path):
    assert join_frames([], tmp_path / "film", rate=5) is None
