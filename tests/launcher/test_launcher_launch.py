"""Starting ParaView's programs: what they are given."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from fake_paraview import make_paraview, said
from synthetic_ensemble import write_ensemble

from pvensemble.errors import SceneError
from pvensemble.launcher import command
from pvensemble.launcher.environment import package_folder

START = str(package_folder() / "views" / "start.py")


def start(name: str, *args: str, **env: str) -> subprocess.CompletedProcess:
    argv = [sys.executable, "-m", "pvensemble", name, *map(str, args)]
    return subprocess.run(argv, capture_output=True, text=True, env={**os.environ, **env})


@pytest.fixture
def ensemble(tmp_path):
    return write_ensemble(tmp_path / "my runs.pvens", 1)


def test_everything_passes_through_and_the_exit_status_comes_back(fake_paraview):
    done = start("pvpython", "--paraview", fake_paraview, "script.py", "-x", "--scene", "theirs")
    assert done.returncode == 7
    assert said(done.stdout)["argv"][1:] == ["script.py", "-x", "--scene", "theirs"]


def test_an_option_after_two_dashes_is_paraviews(fake_paraview):
    done = start("paraview", f"--paraview={fake_paraview}", "--", "--help")
    assert said(done.stdout)["argv"][1:] == ["--help"]


def test_help_is_our_own(fake_paraview):
    done = start("pvpython", "--help")
    assert done.returncode == 0
    assert "usage: pvensemble pvpython" in done.stdout
    assert "performance" in done.stdout


def test_an_ensemble_opens_in_the_default_scene(fake_paraview, ensemble):
    done = start("paraview", "--paraview", fake_paraview, ensemble, "--dr")
    got = said(done.stdout)
    assert got["argv"][1:] == [f"--script={START}", "--dr"]
    assert got["env"]["PVENSEMBLE_FILE"] == str(ensemble)
    assert got["env"]["PVENSEMBLE_SCENE"].endswith("/state_files/performance.py")
    assert got["env"]["PV_PLUGIN_CONFIG_FILE"].endswith("pvplugins/paraview.plugins.xml")


def test_a_window_without_ensemble_links_the_states_that_are_loaded(fake_paraview):
    argv, env, _ = command("paraview", ["--state=my.pvsm"], prefix=fake_paraview)
    assert argv[1:] == [f"--script={START}", "--state=my.pvsm"]
    assert "PVENSEMBLE_SCENE" not in env
    argv, _, _ = command("paraview", ["--script=mine.py"], prefix=fake_paraview)
    assert argv[1:] == ["--script=mine.py"]


def test_a_program_without_window_gets_the_script_as_its_argument(fake_paraview, ensemble):
    argv, env, _ = command("pvbatch", [str(ensemble)], prefix=fake_paraview)
    assert argv[1:] == [START]
    assert env["PVENSEMBLE_FILE"] == str(ensemble)


def test_an_ensemble_after_a_script_is_the_scripts(fake_paraview):
    argv, env, _ = command("pvpython", ["script.py", "x.pvens"], prefix=fake_paraview)
    assert argv[1:] == ["script.py", "x.pvens"]
    assert "PVENSEMBLE_FILE" not in env


def test_an_unknown_scene_fails_before_a_window_opens(fake_paraview, ensemble):
    with pytest.raises(SceneError, match="no scene 'performanc'; did you mean 'performance'"):
        command("paraview", [str(ensemble)], prefix=fake_paraview, scene="performanc")


def test_an_ensemble_that_is_not_there_fails_before_a_window_opens(fake_paraview, ensemble):
    done = start("paraview", "--paraview", fake_paraview, ensemble.with_name("mine.pvens"))
    assert done.returncode == 2
    assert "no ensemble" in done.stderr
    assert "my runs.pvens" in done.stderr


def test_a_file_that_is_no_ensemble_fails_before_a_window_opens(fake_paraview, tmp_path):
    (tmp_path / "bad.pvens").write_text("not an ensemble")
    done = start("paraview", "--paraview", fake_paraview, tmp_path / "bad.pvens")
    assert done.returncode == 2
    assert "bad.pvens" in done.stderr
    assert "Traceback" not in done.stderr


def test_no_paraview_is_a_message_and_status_2(tmp_path):
    done = start("paraview", "--paraview", tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("pvensemble: no paraview in ")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("given", "expected"), [("far", "far:11111"), ("far:2", "far:2")])
def test_an_ensemble_of_a_server_is_a_path_there(fake_paraview, given, expected):
    done = start("paraview", "--paraview", fake_paraview, "--server", given, "/there/x.pvens")
    got = said(done.stdout)
    assert got["argv"][1:] == [f"--script={START}"]
    assert got["env"]["PVENSEMBLE_SERVER"] == expected
    assert got["env"]["PVENSEMBLE_FILE"] == "/there/x.pvens"
    assert got["env"]["PVENSEMBLE_SCENE"].endswith("/state_files/performance.py")


def test_a_path_on_a_server_is_not_made_absolute_here(fake_paraview):
    _, env, _ = command("paraview", ["x.pvens"], prefix=fake_paraview, server="far")
    assert env["PVENSEMBLE_FILE"] == "x.pvens"


@pytest.mark.parametrize("given", ["", ":1", "far:", "far:x", "far:70000", "cs://far:1", "::1"])
def test_what_is_no_address_is_refused(fake_paraview, given):
    done = start("paraview", "--paraview", fake_paraview, f"--server={given}")
    assert done.returncode == 2
    assert f"--server got {given!r}, expected HOST or HOST:PORT" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("program", "given"),
    [
        ("pvserver", []),
        ("pvbatch", ["x.pvens"]),
        ("pvpython", ["script.py"]),
        ("paraview", ["--script=s.py"]),
    ],
)
def test_a_server_is_refused_where_nothing_would_connect(fake_paraview, program, given):
    with pytest.raises(SceneError, match=r"connects by simple.Connect"):
        command(program, given, prefix=fake_paraview, server="far")


@pytest.mark.parametrize(
    ("version", "given", "expected"),
    [
        ("5.13.2", ["--sp=11111"], ["--bind-address=127.0.0.1", "--sp=11111"]),
        ("6.1.1", ["--bind-address=10.0.0.1"], ["--bind-address=10.0.0.1"]),
    ],
)
def test_a_server_is_bound_to_this_machine_where_it_can_be(tmp_path, version, given, expected):
    folder = make_paraview(tmp_path / "pv", version=version)
    argv, _, warnings = command("pvserver", given, prefix=folder)
    assert argv[1:] == expected
    assert warnings == []


def test_a_server_that_listens_to_the_world_is_warned_of(fake_paraview):
    done = start("pvserver", "--paraview", fake_paraview)
    assert done.returncode == 7
    assert "listens on every network interface" in done.stderr
    assert said(done.stdout)["argv"][1:] == []


def test_what_a_program_starts_is_of_the_same_installation(fake_paraview):
    program = fake_paraview / "bin" / "pvbatch"
    program.write_text('#!/bin/sh\nprintf %s "$PVENSEMBLE_PARAVIEW"\n')
    code = (
        f"from pvensemble.launcher import launch; launch('pvbatch', prefix={str(fake_paraview)!r})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == str(fake_paraview)
