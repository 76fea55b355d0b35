"""Helpers of the tests of training are at hand."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent / "train"))

import pytest
from insitu_cases import train
from training_cases import everything


@pytest.fixture(scope="session")
def plain(tmp_path_factory) -> dict:
    """All that is stored by a training without in situ."""
    folder = tmp_path_factory.mktemp("plain")
    assert train(folder).returncode == 0
    return everything(folder / "e.pvens")
