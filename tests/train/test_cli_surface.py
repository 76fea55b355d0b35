"""``pvensemble surface``: what it says, the table, wrong use, interruption."""

from __future__ import annotations

import csv
import io
import os
import signal

import numpy as np
import pytest
from training_cases import tiny_config

from pvensemble.cli import main
from pvensemble.cli._progress import ProgressDisplay
from pvensemble.cli.surface import progress_line
from pvensemble.store import Ensemble
from pvensemble.train.executors import InProcess
from pvensemble.train.loss_surface import SurfaceProgress
from pvensemble.train.trainer import train


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("surface")
    config = tiny_config(folder, "record.networks=all", "steps=6")
    train(config, folder / "tiny.pvens", executor=InProcess)
    return folder / "tiny.pvens"


def surface(path, *arguments) -> int:
    return main(["surface", str(path), "--size", "4", "--device", "cpu", *arguments])


def test_text_and_table(trained, capsys):
    assert surface(trained, "--run", "1", "--directions", "trajectory", "--csv", "-") == 2
    assert "step 0 and 6 only, which is no trajectory" in capsys.readouterr().err
    assert surface(trained, "--run", "1") == 0
    text = capsys.readouterr().out
    for part in ("loss surface run1-random", "4 x 4", "the first 60 of the validation split"):
        assert part in text
    assert "random directions hold almost nothing of it" in text
    assert surface(trained, "--run", "1", "--csv", "-") == 0  # the stored one
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    stored = Ensemble.open(trained).surface("run1-random")
    assert [float(r["loss"]) for r in rows] == stored.loss.ravel().tolist()
    assert [float(r["x"]) for r in rows] == np.tile(stored.x, 4).tolist()
    assert surface(trained, "--runs", "0,1,3") == 0
    assert "loss surface runs0-1-3" in capsys.readouterr().out
    assert main(["info", str(trained)]) == 0
    assert "loss surfaces     run1-random, runs0-1-3" in capsys.readouterr().out


WRONG = [
    (("--runs", "1,2"), "--runs: got '1,2', allowed: three runs"),
    (("--runs", "1,2,x"), "--runs: got '1,2,x', allowed: three numbers"),
    (("--runs", "0,1,2", "--directions", "random"), "through three runs needs none"),
    (("--run", "9"), "there is no run 9"),
    (("--run", "0", "--images", "100"), "images: got 100, allowed: 1 to 60"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG)
def test_wrong_use(trained, capsys, arguments, message):
    assert surface(trained, *arguments) == 2
    said = capsys.readouterr().err
    assert message in said
    assert "Traceback" not in said


def test_an_interrupt_keeps_what_is_there(trained, capsys, monkeypatch):
    calls = []

    def interrupting(display, progress):
        calls.append(progress)
        if progress.done == 8:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(ProgressDisplay, "__call__", interrupting)
    assert surface(trained, "--run", "2") == 130
    said = capsys.readouterr()
    assert "the same command goes on with it" in said.err
    assert "not computed yet" in said.out
    missing = np.isnan(Ensemble.open(trained).surface("run2-random").loss).sum()
    assert 0 < missing < 16
    monkeypatch.undo()
    assert surface(trained, "--run", "2") == 0
    assert np.isfinite(Ensemble.open(trained).surface("run2-random").loss).all()


def test_progress_in_a_line():
    line = progress_line(SurfaceProgress(500, 1000, 12.34, 40.0))
    assert line == " 50 %  500/1,000 networks  12.3/s  0:40 left"
    assert "-- left" in progress_line(SurfaceProgress(0, 10))
