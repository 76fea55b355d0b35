"""``scripts/demo`` trains the default ensemble and renders it; a second run keeps it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def run(*command: str) -> str:
    done = subprocess.run(
        command,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=540,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_demo_trains_renders_and_says_where(tmp_path):
    out = tmp_path / "demo"
    said = run("scripts/demo", str(out))
    assert f"pvensemble paraview --scene performance,topology {out}/digits.pvens" in said
    info = json.loads(run(".venv/bin/pvensemble", "info", str(out / "digits.pvens"), "--json"))
    assert info["n_runs"] == 121
    assert info["states"] == {"COMPLETE": 121}
    pictures = {p.name for p in (out / "pictures").glob("*.png")}
    assert len(pictures) >= 5
    assert {p.suffix for p in (out / "pictures").iterdir()} & {".mp4", ".gif"}
    topology = {p.name for p in (out / "topology").glob("*.png")}
    assert topology >= {"topology.png", "run_similarity.png", "activation_maps.png"}
    weights = {p.name for p in (out / "weights").glob("*.png")}
    assert weights >= {"weights.png", "weight_boxes.png", "weight_images.png"}
    again = run("scripts/demo", str(out))
    assert f"pvensemble paraview --scene performance,topology {out}/digits.pvens" in again
