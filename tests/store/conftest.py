from __future__ import annotations

import pytest
from store_samples import write_sample


@pytest.fixture
def sample(tmp_path):
    """Path of a finished ensemble: 4 runs, steps 0, 20, 40."""
    return write_sample(tmp_path / "sample.pvens")
