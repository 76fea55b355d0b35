"""Finding ParaView's programs."""

from __future__ import annotations

import pytest
from fake_paraview import make_paraview

from pvensemble.errors import ParaViewNotFoundError
from pvensemble.launcher import find_paraview, paraview_version


@pytest.mark.parametrize("inside", ["bin", ".", "Contents/MacOS", "Contents/bin"])
def test_a_program_is_found_in_every_layout_of_an_installation(tmp_path, inside):
    folder = make_paraview(tmp_path / "pv", inside=inside)
    assert find_paraview("pvpython", folder) == folder / inside / "pvpython"


def test_path_is_searched_without_a_prefix(fake_paraview, monkeypatch):
    monkeypatch.setenv("PATH", str(fake_paraview / "bin"))
    assert find_paraview("pvbatch") == fake_paraview / "bin" / "pvbatch"


def test_the_environment_variable_beats_path(fake_paraview, tmp_path, monkeypatch):
    other = make_paraview(tmp_path / "other")
    monkeypatch.setenv("PATH", str(fake_paraview / "bin"))
    monkeypatch.setenv("PVENSEMBLE_PARAVIEW", str(other))
    assert find_paraview("paraview") == other / "bin" / "paraview"


def test_a_missing_paraview_says_how_to_install_it(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ParaViewNotFoundError, match="apt-get install .*paraview.*--paraview DIR"):
        find_paraview("paraview")


def test_a_wrong_folder_is_named(tmp_path):
    with pytest.raises(ParaViewNotFoundError, match="no such folder"):
        find_paraview("paraview", tmp_path / "nowhere")
    with pytest.raises(ParaViewNotFoundError, match="no pvpython in .*looked for"):
        find_paraview("pvpython", tmp_path)


def test_a_program_that_cannot_be_executed_is_not_taken(fake_paraview):
    (fake_paraview / "bin" / "pvpython").chmod(0o644)
    with pytest.raises(ParaViewNotFoundError, match="no pvpython"):
        find_paraview("pvpython", fake_paraview)


def test_the_version_is_what_the_program_says(tmp_path):
    folder = make_paraview(tmp_path / "pv", version="6.1.1")
    assert paraview_version(folder / "bin" / "pvserver") == (6, 1, 1)


def test_no_version_from_a_program_that_says_none(tmp_path):
    program = tmp_path / "pvserver"
    program.write_text("#!/bin/sh\necho nothing\n")
    program.chmod(0o755)
    assert paraview_version(program) is None
    assert paraview_version(tmp_path / "absent") is None
