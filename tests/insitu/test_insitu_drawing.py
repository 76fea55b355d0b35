"""Pipelines with views run in a process of their own beside the training."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from multiprocessing import Pipe
from pathlib import Path

import numpy as np
import pytest
from insitu_cases import TOML, picture, train
from test_insitu_train import rows, script
from training_cases import differences, everything

from pvensemble.insitu.drawing.messages import receive, send
from pvensemble.insitu.news import News
from pvensemble.launcher import find_paraview
from pvensemble.launcher.display import OWN_RENDERING_SINCE
from pvensemble.launcher.find import paraview_version

CRASHING = """
import os, signal
from paraview import catalyst
options = catalyst.Options()
def catalyst_execute(info):
    if info.timestep == 10:
        os.kill(os.getpid(), signal.SIGKILL)
    open(f"drawn_{info.timestep}", "w").close()
"""
SLOW = """
import os, time
from paraview import catalyst
options = catalyst.Options()
def catalyst_execute(info):
    with open("drawing.txt", "w") as file:
        file.write(str(os.getpid()))
    time.sleep(2)
    open(f"drawn_{info.timestep}", "w").close()
"""
MPIEXEC = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}


@pytest.mark.paraview
def test_pictures_show_the_training_and_those_of_two_ranks_are_those_of_one(tmp_path):
    """The second rank trains half of the runs; 15 is not recorded."""
    pipeline = "--insitu=images:every=15,tensors=yes,scene=performance,topology,size=640x400"
    pictures = []
    for n in (1, 2):
        before = ("mpiexec", "--oversubscribe", "-n", str(n)) if n > 1 else ()
        (tmp_path / str(n)).mkdir()
        done = train(tmp_path / str(n), pipeline, "--workers", 0, before=before, env=MPIEXEC)
        assert done.returncode == 0, done.stderr
        assert "in situ" not in done.stderr
        folder = tmp_path / str(n) / "e.insitu" / "images"
        index = rows(folder / "data.csv")
        assert [row.pop("timestep") for row in index] == ["0", "15", "20"]
        assert {"FILE_performance", "FILE_topology"} <= {*index[0]}
        pictures.append({name: picture(folder / name) for row in index for name in row.values()})
        assert {p.name for p in folder.iterdir()} == {*pictures[-1], "data.csv"}
    one, two = pictures
    assert one.keys() == two.keys()
    for name, shown in one.items():
        assert shown.shape == (400, 640, 3)
        assert len(np.unique(shown.reshape(-1, 3), axis=0)) > 50
        np.testing.assert_array_equal(two[name], shown, err_msg=name)
    assert len({shown.tobytes() for shown in one.values()}) == len(one)


@pytest.mark.paraview
def test_a_crash_of_the_process_that_draws_is_told_and_training_goes_on(tmp_path, plain):
    name = script(tmp_path, "crashing.py", CRASHING)
    done = train(tmp_path, "--insitu", f"{name}:every=5")
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stderr.splitlines() if "in situ" in line] == [
        "in situ pipeline 'crashing' failed at step 10 and is switched off: the process that "
        "draws has ended with signal SIGKILL"
    ]
    assert (tmp_path / "drawn_5").exists()
    assert differences(everything(tmp_path / "e.pvens"), plain) == []


@pytest.mark.paraview
def test_a_crash_as_pipelines_finish_is_told(tmp_path):
    text = CRASHING.replace("info.timestep == 10", "False")
    name = script(tmp_path, "late.py", text + "def catalyst_finalize(): os.kill(os.getpid(), 9)\n")
    done = train(tmp_path, "--insitu", f"{name}:every=20")
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stderr.splitlines() if "in situ" in line] == [
        "in situ pipeline 'late' at the end: the process that draws has ended with signal SIGKILL"
    ]
    assert (tmp_path / "drawn_20").exists()


def begin(folder: Path) -> tuple[subprocess.Popen, int]:
    """Start a training whose pipeline takes its time; return it and the process that draws."""
    script(folder, "slow.py", SLOW)
    (folder / "small.toml").write_text(TOML)
    command = [sys.executable, "-m", "pvensemble", "train", "small.toml", "--insitu"]
    training = subprocess.Popen(
        [*command, "slow.py:every=1", "--workers", "0"],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while not (folder / "drawing.txt").exists() or not (folder / "drawing.txt").read_text():
        assert time.monotonic() < deadline
        assert training.poll() is None
        time.sleep(0.05)
    return training, int((folder / "drawing.txt").read_text())


def wait_until_gone(process: int) -> None:
    deadline = time.monotonic() + 30
    while Path(f"/proc/{process}").exists():
        assert time.monotonic() < deadline, "the process that draws outlives its training"
        time.sleep(0.05)


@pytest.mark.paraview
def test_an_interrupt_waits_for_what_is_drawn(tmp_path):
    training, drawing = begin(tmp_path)
    os.killpg(training.pid, signal.SIGINT)  # as Ctrl-C in a terminal does
    _, said = training.communicate(timeout=60)
    assert training.returncode == 130, said
    assert "in situ" not in said
    assert (tmp_path / "drawn_0").exists()
    assert len([*tmp_path.glob("drawn_*")]) < 21
    wait_until_gone(drawing)


@pytest.mark.paraview
def test_no_process_is_left_when_the_training_is_killed(tmp_path):
    training, drawing = begin(tmp_path)
    training.kill()
    training.communicate(timeout=60)
    wait_until_gone(drawing)


@pytest.mark.paraview
def test_scripts_that_draw_find_a_screen_and_no_display_is_named(tmp_path):
    name = script(tmp_path, "mine.py", "from paraview import catalyst\n")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "pvpython").symlink_to(find_paraview("pvpython"))
    missing = train(tmp_path, "--insitu", name, env={"PATH": str(tmp_path / "bin")})
    if paraview_version(find_paraview("pvpython")) >= OWN_RENDERING_SINCE:
        assert missing.returncode == 0, missing.stderr
        return
    assert missing.returncode == 2, missing.stderr
    assert "DISPLAY is not set and Xvfb is missing" in missing.stderr
    assert not (tmp_path / "e.pvens").exists()


def test_messages_hold_arrays_of_any_shape_and_are_not_pickles():
    here, there = Pipe()
    arrays = [np.arange(6, dtype=np.int64).reshape(2, 3).T, np.full((0, 4), np.nan, np.float32)]
    send(here, {"do": "x", "rows": [["loss", *arrays]], "path": Path("/a/b"), "n": None})
    found = receive(there)
    for expected, array in zip(arrays, found.pop("rows")[0][1:]):
        np.testing.assert_array_equal(array, expected)
        assert array.dtype == expected.dtype
    assert found == {"do": "x", "path": "/a/b", "n": None}
    with pytest.raises(TypeError, match="cannot hold object"):
        send(here, {"do": object()})
    here.close()
    with pytest.raises(EOFError):
        receive(there)


def test_news_keep_all_rows_but_only_the_newest_tensors():
    news = News(tensors=True)
    rows = {"loss": (np.array([0]), np.zeros((1, 2)))}
    tensors = {("conv1", "weight"): np.zeros((2, 1, 1, 1, 1), np.float32)}
    news.add("g000", 0, rows, tensors, recorded=True)
    news.add("g000", 5, rows, tensors, recorded=False)
    news.add("g001", 5, rows, {}, recorded=False)
    items = [item[:3] for item in news.taken()]
    assert items == [
        ["add", "g000", 0],
        ["add", "g000", 5],
        ["add", "g001", 5],
        ["tensors", "g000", 5],
    ]
    assert news.taken() == []
    unwanted = News(tensors=False)
    unwanted.add("g000", 0, rows, tensors, recorded=True)
    unwanted.add("g000", 5, rows, tensors, recorded=False)
    assert [item[:3] for item in unwanted.taken()][2:] == [["stored", "g000", 0]]
