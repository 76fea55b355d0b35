"""Worker processes from one run of the executor to the next."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest
from training_cases import tiny_config

from pvensemble.train.executors.events import Control, Report
from pvensemble.train.executors.pool import Pool
from pvensemble.train.preparation import load_all_data, make_job
from pvensemble.train.search import sample_runs


@pytest.fixture
def trained(tmp_path):
    """A pool of two workers, and a function that trains four runs and returns their losses."""
    config = tiny_config(tmp_path)
    specs = sample_runs(config)
    data = load_all_data(config, specs, None)
    pool = Pool(data, ["cpu", "cpu"])

    def train() -> dict:
        control = Control()
        events = list(pool.run([make_job(config, specs, 0, data)], control))
        assert control.done == 52
        return {
            (event.positions, event.stop): event.metrics["train_loss"][1].tobytes()
            for event in events
            if isinstance(event, Report)
        }

    yield pool, train
    pool.close()


def processes(pool):
    return [running.process for running in pool._idle.values()]


def test_workers_wait_for_the_next_run_and_end_with_the_pool(trained):
    pool, train = trained
    first = train()
    assert len(first) == 4 * 5
    before = processes(pool)
    assert [p.poll() for p in before] == [None, None]
    assert train() == first
    assert processes(pool) == before
    pool.close()
    assert all(p.poll() is not None for p in before)
    assert train() == first


def test_a_worker_that_died_while_it_waited_is_replaced(trained):
    pool, train = trained
    first = train()
    before = processes(pool)
    os.kill(before[0].pid, signal.SIGKILL)
    before[0].wait()
    assert train() == first
    assert processes(pool)[1] == before[1]
    assert processes(pool)[0] != before[0]
    assert np.all([p.poll() is None for p in processes(pool)])
