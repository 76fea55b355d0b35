"""Steering a training over several ranks: each deals with its groups, one with what is of none."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

from training_cases import differences, everything, tiny_config

from pvensemble.store import Ensemble
from pvensemble.store.log import acknowledged_by, is_answered, send_request
from pvensemble.store.steering import add_request, record_request, stop_request
from pvensemble.train.trainer import train

SETTINGS = ("steps=2000", "train.engine=torch", "record.every=200", "evaluate.every=200")
PATIENCE = 120
ENVIRONMENT = {
    **os.environ,
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMP_NUM_THREADS": "1",
}


def wait_for(condition, process):
    give_up = time.monotonic() + PATIENCE
    while not condition():
        assert process.poll() is None or condition(), process.communicate()[1].decode()
        assert time.monotonic() < give_up, "it did not happen"
        time.sleep(0.05)


def two_in_their_first_half(path):
    """Return the only runs of two groups that are between their second and sixth of 11 steps."""
    groups = Ensemble.open(path).groups if path.exists() else []
    runs = [int(g.run_indices[0]) for g in groups if 1 < len(g.index.recorded_steps) < 6]
    return runs if len(runs) == 2 else []


def test_ranks_do_their_part_and_one_adds_runs(tmp_path):
    config, path = tiny_config(tmp_path, *SETTINGS), tmp_path / "e.pvens"
    words = ["mpiexec", "--oversubscribe", "-n", "2", sys.executable, "-m", "pvensemble", "train"]
    words += [str(tmp_path / "tiny.toml"), "-o", str(path), "--set", *SETTINGS]
    process = subprocess.Popen(
        words,
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        # One rank may have ended a group before the other has begun its first.
        both = []
        wait_for(lambda: both.extend(two_in_their_first_half(path)) or both, process)
        ensemble = Ensemble.open(path)
        requests = [
            send_request(ensemble, stop_request(both)),
            send_request(ensemble, record_request(kinds=["weight"])),
            send_request(ensemble, add_request({"learning_rate": [0.03], "momentum": [0.5]})),
        ]
        for request in requests:
            wait_for(lambda r=request: is_answered(Ensemble.open(path), r), process)
        output, errors = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, errors.decode()
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    ensemble = Ensemble.open(path)
    table = ensemble.run_table()
    assert [table["state"][i] for i in both] == ["PRUNED"] * 2
    assert sorted(table["state"]) == ["COMPLETE"] * 3 + ["PRUNED"] * 2
    assert list(table["session"]) == ["grid"] * 4 + ["added 3"]
    assert list(acknowledged_by(ensemble, 3).values()) == ["accepted"]
    assert sorted(acknowledged_by(ensemble, 1).values()) == ["accepted"] * 2
    going_on = {
        g.name for g in ensemble.groups if "PRUNED" not in {s.state for s in g.index.states}
    }
    assert set(acknowledged_by(ensemble, 2)) >= going_on
    assert len(going_on) == 3
    train(config, tmp_path / "whole.pvens", workers=2)
    others = set(table["run_id"][[i for i in range(4) if i not in both]])
    mine, theirs = everything(path), everything(tmp_path / "whole.pvens")
    common = {n for n in theirs if n.split()[-1] in others and " weight " in n}
    assert len(common) == 2 * 2 * 11
    assert differences({n: mine[n] for n in common}, {n: theirs[n] for n in common}) == []
