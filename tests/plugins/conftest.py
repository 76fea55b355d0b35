"""Ensemble and helpers for the tests in a real ParaView."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from ensembles import make_ensemble


@pytest.fixture(scope="session")
def truth(tmp_path_factory):
    """A synthetic ensemble: 25 runs in two groups, runs 3 and 20 diverged."""
    path = tmp_path_factory.mktemp("plugins") / "grid.pvens"
    return make_ensemble(path, groups=2, sessions=2, categorical=True, diverged=(3, 20))
