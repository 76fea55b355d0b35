"""Scenes by name and by file; a file that makes none is refused before ParaView starts."""

from __future__ import annotations

import pytest

from pvensemble.errors import SceneError
from pvensemble.launcher.scenes import scene_file, scene_files, scene_folder, scene_names


@pytest.mark.parametrize(
    "text",
    [
        "def build(path, size=(1920, 1200)):\n    return None\n",
        "from other_scenes import make as build\n",
        "import functools\nbuild = functools.partial(print, 5)\n",
        "try:\n    from a import build\nexcept ImportError:\n    def build(path): ...\n",
    ],
)
def test_a_file_of_ones_own_is_found_by_its_path(tmp_path, text):
    scene = tmp_path / "mine.py"
    scene.write_text(text)
    assert scene_file(str(scene)) == scene
    assert scene_files(f"topology,{scene}") == [scene_folder() / "topology.py", scene]


def test_every_scene_of_ours_makes_one():
    for name in scene_names():
        path = scene_folder() / f"{name}.py"
        assert scene_file(name) == scene_file(str(path)) == path


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"def build(:", r"mine\.py is not Python: line 1"),
        (b"x = 1\ndef built(path):\n    build = 5\n", r"mine\.py makes no scene: it has no funct"),
        (b"print(build)", r"mine\.py makes no scene"),
        (b"", r"mine\.py makes no scene"),
        (b"\x00\xff", r"mine\.py (is not Python|cannot be read)"),
        (None, r"no scene file .*mine\.py"),
    ],
)
def test_a_file_that_makes_no_scene_is_refused(tmp_path, content, message):
    scene = tmp_path / "mine.py"
    if content is not None:
        scene.write_bytes(content)
    with pytest.raises(SceneError, match=message):
        scene_file(str(scene))


def test_a_name_that_is_none_is_told():
    with pytest.raises(SceneError, match="no scene 'topolgy'; did you mean 'topology'"):
        scene_file("topolgy")
