"""Steering a training that runs in processes of its own, from others: as people do it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time

import pytest
from training_cases import differences, everything, tiny_config

from pvensemble.cli import main
from pvensemble.store import Ensemble
from pvensemble.store.log import is_answered, send_request
from pvensemble.store.steering import add_request, record_request, stop_request

SETTINGS = ("steps=2400", "train.engine=torch", "record.every=240", "evaluate.every=240")
PATIENCE = 120


def command(directory, path, *more):
    words = [sys.executable, "-m", "pvensemble", "train", str(directory / "tiny.toml")]
    words += ["-o", str(path), "--workers", "2", "--set", *SETTINGS, *more]
    return words


@contextlib.contextmanager
def training(directory, path, *more):
    """Give a training once it has recorded something; it is killed at the end if it is there."""
    process = subprocess.Popen(
        command(directory, path, *more), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    try:
        wait_for(lambda: path.exists() and len(Ensemble.open(path).recorded_steps) > 1, process)
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def wait_for(condition, process):
    give_up = time.monotonic() + PATIENCE
    while not condition():
        assert process.poll() is None, process.communicate()[1].decode()
        assert time.monotonic() < give_up, "it did not happen"
        time.sleep(0.05)


def ask(path, request, process):
    """Send a request and wait until it is acknowledged; return what was said."""
    request = send_request(Ensemble.open(path), request)
    wait_for(lambda: is_answered(Ensemble.open(path), request), process)
    groups = Ensemble.open(path).groups
    return [a for g in groups for a in g.index.acknowledged if a.request == request.number]


def test_what_was_acknowledged_survives_a_kill(tmp_path):
    tiny_config(tmp_path)
    path, whole = tmp_path / "e.pvens", tmp_path / "whole.pvens"
    with training(tmp_path, path) as process:
        (stopped,) = ask(path, stop_request([1]), process)
        (changed,) = ask(path, record_request(every=100, kinds=["weight"]), process)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert stopped.outcome == changed.outcome == "accepted"
    (state, *_) = [s for s in Ensemble.open(path).groups[0].index.states if s.state == "PRUNED"]
    assert 0 < state.step <= changed.step < 2400
    send_request(Ensemble.open(path), add_request({"learning_rate": [0.03], "momentum": [0.5]}))
    done = subprocess.run(command(tmp_path, path, "--resume"), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert b"complete 4, pruned 1" in done.stdout
    subprocess.run(command(tmp_path, whole), capture_output=True, check=True)
    table = Ensemble.open(path).run_table()
    assert list(table["state"]) == ["COMPLETE", "PRUNED", *["COMPLETE"] * 3]
    assert table["last_step"][1] == state.step
    group = Ensemble.open(path).groups[0]
    expected = [s for s in range(0, 2401, 240) if s < changed.step]
    expected += [s for s in range(0, 2401, 100) if s >= changed.step]
    assert group.recorded_steps("conv1", "weight") == expected
    others = {table["run_id"][i] for i in (0, 2, 3)}
    mine, theirs = everything(path), everything(whole)
    common = {n for n in theirs if n in mine and n.split()[-1] in others}
    assert any(" weight 2400 " in n for n in common)
    assert any(" gradient 240 " in n for n in common)
    assert differences({n: mine[n] for n in common}, {n: theirs[n] for n in common}) == []


def test_the_command_line_asks_waits_and_shows_the_log(tmp_path, capsys):
    tiny_config(tmp_path)
    path = tmp_path / "e.pvens"
    with training(tmp_path, path) as process:
        assert main(["steer", str(path), "stop", "0-1", "--reason", "dull", "--wait", "100"]) == 0
        answer = capsys.readouterr().out.splitlines()
        assert answer[0] == "request 1: stop runs 0-1 (dull)"
        assert all(line.startswith("g000: accepted: run") for line in answer[1:])
        assert len(answer) == 2
        process.send_signal(signal.SIGINT)
        process.wait(60)
    assert main(["log", str(path), "--json"]) == 0
    entries = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [e["event"] for e in entries][:2] == ["process", "request"]
    assert sorted(e["event"] for e in entries)[-2:] == ["stopped", "stopped"] or any(
        e["event"] == "stopped" and "runs 0-1" in e["text"] for e in entries
    )
    assert [e["time"] for e in entries] == sorted(e["time"] for e in entries)
    assert main(["log", str(path)]) == 0
    assert "#1" in capsys.readouterr().out
    assert main(["steer", str(path), "record", "--every", "7", "--wait", "0.3"]) == 3
    assert "no process on this machine trains it" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["stop", "9"], "there is no run 9; there are runs 0 to 3"),
        (["stop", "x"], "neither a run like 7 nor a range"),
        (["record"], "record: nothing is changed; give every, layers or kinds"),
        (["record", "--every", "0"], "every: got 0, allowed: a number of steps"),
        (["record", "--layers", "conv7"], "layers: got 'conv7'; did you mean 'conv2'?"),
        (["record", "--kinds", "wait"], "kinds: got 'wait'; did you mean 'weight'?"),
        (["add", "momentum"], "add: got 'momentum', allowed: settings with values"),
        (["add", "momentm=0.5"], "no such setting of a run; did you mean 'momentum'?"),
        (["add", "momentum=2"], "add: train.momentum: got 2.0, allowed: less than 1"),
        (["add", "learning_rate=0.01", "momentum=0.5"], "is in the ensemble already"),
        (["stop", "2"], "run 2 ended before: COMPLETE"),
    ],
)
def test_a_mistake_gives_one_line_and_no_request(ended, words, message, capsys):
    assert main(["steer", str(ended), *words]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert not captured.out
    assert not (ended.with_name("ended.pvens.d") / "steering").exists()


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """An ensemble whose runs have all ended."""
    from pvensemble.train.trainer import train

    directory = tmp_path_factory.mktemp("ended")
    train(tiny_config(directory, "steps=1"), directory / "ended.pvens", workers=0)
    return directory / "ended.pvens"


def test_ensembles_that_are_not_trained_cannot_be_steered(tmp_path, capsys):
    (tmp_path / "r.csv").write_text("lr,accuracy\n0.1,0.5\n")
    path = tmp_path / "r.pvens"
    words = ["import", str(tmp_path / "r.csv"), "-o", str(path)]
    assert main([*words, "--parameters", "lr", "--metrics", "accuracy"]) == 0
    assert main(["steer", str(path), "stop", "0"]) == 2
    assert "`pvensemble train` did not make it" in capsys.readouterr().err
