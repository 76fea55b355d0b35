"""The built package works on its own: installed without extras, away from the checkout."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ensembles import make_ensemble

ROOT = Path(__file__).resolve().parent.parent
PARTS = ("pvensemble", "pvplugins", "state_files", "pyproject.toml", "README.md")


def run(*command: object, cwd: Path) -> subprocess.CompletedProcess:
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """Folder of the programs of an environment that holds the built package."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    for part in PARTS:
        if (ROOT / part).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / part, source / part, ignore=ignored)
        else:
            shutil.copy(ROOT / part, source / part)
    pip = ("-m", "pip", "-q", "--disable-pip-version-check")
    options = ("--no-deps", "--no-build-isolation", "-w", folder)
    run(sys.executable, *pip, "wheel", *options, source, cwd=folder)
    run("/usr/bin/python3", "-m", "venv", "--system-site-packages", folder / "venv", cwd=folder)
    programs = folder / "venv" / "bin"
    wheel = next(folder.glob("*.whl"))
    run(programs / "python", *pip, "install", "--no-deps", wheel, cwd=folder)
    return programs


def test_package_analyses_and_renders_without_torch(installed, tmp_path):
    make_ensemble(tmp_path / "grid.pvens")
    program = installed / "pvensemble"
    assert "torch" in run(program, "doctor", cwd=tmp_path).stdout
    assert "25" in run(program, "info", "grid.pvens", cwd=tmp_path).stdout
    run(program, "render", "grid.pvens", "-o", "pictures", cwd=tmp_path)
    assert (tmp_path / "pictures" / "performance.png").stat().st_size > 50_000


def test_training_without_torch_says_what_to_install(installed, tmp_path):
    done = subprocess.run(
        [installed / "pvensemble", "train", "digits", "-o", "x.pvens"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "pvensemble[train]" in done.stderr
    assert "Traceback" not in done.stderr
