"""SIGKILL at random moments loses nothing that was acknowledged (`scripts/kill-test` does more)."""

from __future__ import annotations

import shutil

import pytest
from kill_harness import kill_at_every_call, kill_randomly


@pytest.mark.parametrize("design", ["store", "background"])
def test_killed_writer_loses_nothing(design, tmp_path):
    outcomes = kill_randomly(design, tmp_path, 4, seed=1)
    assert outcomes == [[]] * 4
    assert any(tmp_path.rglob("*.vtkhdf"))  # they did write before they were killed


def test_unsafe_writer_is_noticed(tmp_path):
    """Negative control: one HDF5 file that grows in place must not pass."""
    outcomes = kill_randomly("unsafe", tmp_path, 3, seed=1, longest=0.3, per_ensemble=1)
    assert sum(bool(failures) for failures in outcomes) >= 2, outcomes


@pytest.mark.slow
def test_killed_at_every_system_call_loses_nothing(tmp_path):
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    outcomes = kill_at_every_call("store", tmp_path)
    assert len(outcomes) > 60
    assert {point: f for point, f in outcomes.items() if f} == {}
