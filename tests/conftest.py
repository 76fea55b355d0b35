"""Fixtures for all tests.

``vtk_errors_fail`` makes any test fail during which VTK reported an error; a test that provokes
one on purpose is marked ``expect_vtk_errors`` and then fails when none came.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from vtk_messages import vtk_messages

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def vtk_errors_fail(request):
    if "vtkmodules" not in sys.modules:
        yield
        return
    with vtk_messages() as messages:
        yield
    expected = request.node.get_closest_marker("expect_vtk_errors")
    if expected and not messages.errors:
        pytest.fail("this test expects a VTK error, and VTK reported none")
    if messages.errors and not expected:
        pytest.fail("VTK reported errors:\n" + "\n".join(messages.errors))


@pytest.fixture(scope="session")
def repository() -> Path:
    """Root of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Directory of the real data sets (MNIST …); skips the test where there is none."""
    for candidate in (os.environ.get("PVENSEMBLE_DATA"), ROOT.parent / "shared" / "data"):
        if candidate and Path(candidate).is_dir():
            return Path(candidate)
    pytest.skip("no real data sets here: set PVENSEMBLE_DATA to a directory that holds MNIST/raw …")
