"""Every command of the README is run, in its order, as a stranger would."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


# Commands that other tests stand for: this suite is one, and the window is driven with the mouse.
ELSEWHERE = {
    "scripts/test": "is the command that runs this test",
    "scripts/demo": "tests/test_demo.py",
    ". .venv/bin/activate": "PATH below",
    "pvensemble paraview demo/digits.pvens": "tests/gui/test_gui_mouse.py",
    "pvensemble paraview --scene performance,topology demo/digits.pvens": (
        "tests/gui/test_gui_topology.py"
    ),
    "pvensemble paraview --scene weights demo/digits.pvens": "tests/gui/test_gui_weights.py",
    "mpiexec -n 4 pvensemble train mnist --data DIR -o big.pvens": "tests/train/test_ranks.py",
    "mpiexec -n 4 pvensemble pvbatch --sym -- train mnist --data DIR --insitu extracts": (
        "tests/insitu/test_insitu_ranks.py"
    ),
    "pvensemble pvserver": "tests/plugins/test_server.py",
    "pvensemble paraview --server HOST /there/big.pvens": "tests/gui/test_gui_mouse.py",
}


def commands(text: str) -> list[str]:
    """All lines of the sh blocks of a Markdown text."""
    blocks = re.findall(r"^```sh\n(.*?)^```", text, flags=re.M | re.S)
    return [line for block in blocks for line in block.splitlines() if line.strip()]


def test_commands_are_found():
    """Negative control: an empty list would let the test below pass."""
    assert commands("```sh\na b\nc\n```\n```python\nd\n```\n") == ["a b", "c"]
    assert len(commands((ROOT / "README.md").read_text())) >= 12


def test_commands_tested_elsewhere_stand_in_the_readme():
    assert set(ELSEWHERE) <= set(commands((ROOT / "README.md").read_text()))


def test_commands_work_in_their_order(tmp_path):
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    environment = {**os.environ, "PATH": f"{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}"}
    environment.pop("DISPLAY", None)
    (tmp_path / "demo").mkdir()  # what scripts/demo leaves, with fewer steps
    train = ["pvensemble", "train", "digits", "-o", "demo/digits.pvens", "--set", "steps=40"]
    subprocess.run(train, cwd=tmp_path, env=environment, check=True, capture_output=True)
    ran = 0
    for command in commands((ROOT / "README.md").read_text()):
        if command in ELSEWHERE:
            continue
        done = subprocess.run(
            command,
            shell=True,
            cwd=tmp_path,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        ran += 1
    assert ran >= 9
    assert list((tmp_path / "pictures").glob("*.png"))


def test_linked_files_exist():
    text = (ROOT / "README.md").read_text()
    targets = re.findall(r"\]\(([^)#]+)\)", text)
    assert targets
    missing = [t for t in targets if "://" not in t and not (ROOT / t).exists()]
    assert not missing


def test_files_named_in_the_table_exist():
    text = (ROOT / "README.md").read_text()
    named = re.findall(r"`((?:docs|pvensemble|pvplugins|state_files)/[^`]*)`", text)
    assert len(named) >= 3
    assert not [n for n in named if not (ROOT / n).exists()]
