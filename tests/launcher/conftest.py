"""Fixtures for the tests of the launcher."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from fake_paraview import make_paraview

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "views"))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    """A cache folder of the test's own, and no ParaView named by the environment."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("PVENSEMBLE_PARAVIEW", raising=False)
    return tmp_path / "cache"


@pytest.fixture
def fake_paraview(tmp_path) -> Path:
    return make_paraview(tmp_path / "ParaView-5.11")
