"""Several processes that train one ensemble: MPI's ranks and processes joined by the file system.

All of them are real; `mpiexec` starts more than there are cores.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from training_cases import TOML, differences, everything, tiny_config

from pvensemble.store import Ensemble
from pvensemble.train.trainer import train

ENVIRONMENT = {
    **os.environ,
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMP_NUM_THREADS": "1",
}
MPIEXEC = ["mpiexec", "--oversubscribe", "-n"]
PVENSEMBLE = [sys.executable, "-m", "pvensemble"]
PREAMBLE = f"""
import os, signal, sys, time
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pvensemble.train import training
training.PROGRESS_SECONDS = 0.0
rank = int(os.environ.get("OMPI_COMM_WORLD_RANK", 0))
"""
"""Programs that tests run in the place of `pvensemble` begin with it."""


@pytest.fixture
def config(tmp_path) -> Path:
    """File of a configuration of four runs of twelve steps."""
    file = tmp_path / "tiny.toml"
    file.write_text(TOML)
    return file


def run(command: list, timeout: float = 100.0, cwd: Path | None = None):
    """Run a command; return it with its output, or fail after a time."""
    return subprocess.run(
        [str(word) for word in command],
        env=ENVIRONMENT,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def on_ranks(n: int, *arguments, program: str = "", **options):
    """Run `pvensemble`, with other Python before it when given, on so many ranks."""
    if not program:
        return run([*MPIEXEC, n, *PVENSEMBLE, *arguments], **options)
    main = "\nfrom pvensemble.cli import main\nsys.exit(main(sys.argv[1:]))\n"
    code = PREAMBLE + program + main
    return run([*MPIEXEC, n, sys.executable, "-c", code, *arguments], **options)


def mistakes(done) -> list[str]:
    """Lines of standard error by which pvensemble says what is wrong."""
    return [line for line in done.stderr.splitlines() if "pvensemble: " in line]


def shares(done) -> list[str]:
    """Return what each rank said it did, in any order; mpiexec may put two into one line."""
    return re.findall(r"\[rank \d+\] (?:trained|had)[^\[\n]*", done.stdout)


def whole(tmp_path: Path, *overrides: str) -> dict:
    """Return everything of an ensemble that one process trained without a break."""
    path = tmp_path / "whole.pvens"
    train(tiny_config(tmp_path, *overrides), path, workers=0)
    return everything(path)


@pytest.mark.parametrize("n_ranks", [2, 3])
def test_ranks_train_what_one_process_does(tmp_path, config, n_ranks):
    path = tmp_path / "ranks.pvens"
    done = on_ranks(n_ranks, "train", config, "-o", path)
    assert done.returncode == 0, done.stderr
    assert f"over {n_ranks} ranks" in done.stdout
    assert "OMPI_MCA_odls_base_sigkill_timeout=15 in its environment" in done.stdout
    assert f"{path}: complete 4" in done.stdout
    assert differences(everything(path), whole(tmp_path)) == []
    ensemble = Ensemble.open(path)
    assert [len(group.runs) for group in ensemble.groups] == [1, 1, 1, 1]
    said = shares(done)
    assert len(said) == n_ranks
    for group in ensemble.groups:  # each was trained by exactly one rank
        assert sum(group.name in line for line in said) == 1, said
    check = run([*PVENSEMBLE, "check", path])
    assert check.returncode == 0, check.stdout
    assert "problem" not in check.stdout


def test_shapes_are_measured_and_the_costliest_comes_first(tmp_path, config):
    """Two shapes of the same number of runs: that with large layers takes most of the time."""
    path = tmp_path / "e.pvens"
    settings = ["session.0.space.momentum=[0.9]", "session.0.space.fc1=[8, 4000]"]
    done = on_ranks(2, "train", config, "-o", path, "--set", *settings)
    assert done.returncode == 0, done.stderr
    assert f"{path}: complete 4" in done.stdout
    ensemble = Ensemble.open(path)
    seconds = sorted(ensemble.provenance["seconds_per_step"].values())
    assert len(seconds) == 2
    assert 0 < 2 * seconds[0] < seconds[1]
    sizes = [group.runs[0].params["fc1"] for group in ensemble.groups]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes.count(4000) >= sizes.count(8)
    assert differences(everything(path), whole(tmp_path, *settings)) == []


KILLED = """
from pvensemble.train.executors.events import Report
handle = training.Training._handle
def die(self, event):
    handle(self, event)
    if rank == 0 and isinstance(event, Report):
        time.sleep(0.2)  # or it takes over the dead rank's group before the job ends
    if rank == 1 and isinstance(event, Report) and event.stop == 160:
        time.sleep(0.5)  # the store writes while training goes on
        os.kill(os.getpid(), signal.SIGKILL)
training.Training._handle = die
training.CHECKPOINT_SECONDS = 0.02
"""


def test_a_killed_rank_ends_the_job_and_resuming_with_other_ranks_goes_on(tmp_path, config):
    path = tmp_path / "e.pvens"
    settings = ["steps=300", "record.every=20", "evaluate.every=20"]
    arguments = ["train", config, "-o", path, "--set", *settings]
    begin = time.monotonic()
    done = on_ranks(2, *arguments, program=KILLED)
    assert done.returncode not in (0, 2)
    assert time.monotonic() - begin < 60
    left = Ensemble.open(path)
    assert [len(group.runs) for group in left.groups] == [1] * 4
    assert any("COMPLETE" not in [s.state for s in g.index.states] for g in left.groups)
    before = {g.name: g.index.last_step for g in left.groups}
    assert any(0 < step < 300 for step in before.values()), before

    done = on_ranks(3, *arguments, "--resume")
    assert done.returncode == 0, done.stderr
    assert f"{path}: complete 4" in done.stdout
    assert sum(_run_steps(text) for text in shares(done)) < 4 * 301  # it did not begin again
    assert differences(everything(path), whole(tmp_path, *settings)) == []


def _run_steps(text: str) -> int:
    found = re.search(r"([\d,]+) run-steps", text)
    return int(found[1].replace(",", "")) if found else 0


def test_a_mistake_is_told_once_and_ends_all_ranks(tmp_path, config):
    path = tmp_path / "e.pvens"
    done = on_ranks(3, "train", config, "-o", path, "--set", "train.batch_size=500")
    assert done.returncode == 2
    (said,) = mistakes(done)
    assert "train.batch_size: got 500, allowed: at most the 200" in said
    assert "Traceback" not in done.stderr
    assert not path.exists()
    path.write_text("nothing of ours")
    done = on_ranks(2, "train", config, "-o", path)
    assert done.returncode == 2
    (said,) = mistakes(done)
    assert f"{path}: this ensemble exists" in said


ONE_SEES_NO_DATA = """
from pvensemble.train import trainer
from pvensemble.errors import DataError
def missing(config, specs, data_dir):
    raise DataError("/scratch/MNIST: no such directory")
if rank == 1:
    trainer.load_all_data = missing
"""


def test_a_mistake_on_another_rank_is_told_with_its_number(tmp_path, config):
    done = on_ranks(2, "train", config, "-o", tmp_path / "e.pvens", program=ONE_SEES_NO_DATA)
    assert done.returncode == 2
    assert mistakes(done) == ["pvensemble: rank 1: /scratch/MNIST: no such directory"]


BUG = """
def fail(self, output):
    raise ZeroDivisionError("a bug")
if rank == 1:
    training.Training._handle = fail
"""


def test_an_exception_on_one_rank_ends_the_job(tmp_path, config):
    begin = time.monotonic()
    arguments = ["train", config, "-o", tmp_path / "e.pvens", "--set", "steps=100000"]
    done = on_ranks(2, *arguments, program=BUG)
    assert done.returncode == 1
    assert time.monotonic() - begin < 60
    assert "ZeroDivisionError: a bug" in done.stderr


LOCAL_LOCKS = """
from pvensemble.store import locks
if rank == 1:  # as on a mount that keeps locks on each node
    locks.fcntl.flock = lambda descriptor, operation: None
"""


def test_where_locks_do_not_reach_all_nodes_groups_are_dealt_out(tmp_path, config):
    path = tmp_path / "e.pvens"
    done = on_ranks(2, "train", config, "-o", path, program=LOCAL_LOCKS)
    assert done.returncode == 0, done.stderr
    assert "locks on this file system do not reach all nodes" in done.stderr
    assert sorted(shares(done)) == [
        f"[rank {i}] trained {names}: 26 run-steps in {seconds} s"
        for i, names in enumerate(["g000, g002", "g001, g003"])
        for seconds in re.findall(rf"rank {i}\].* in (\d+) s", "\n".join(shares(done)))
    ]
    assert differences(everything(path), whole(tmp_path)) == []


def test_processes_join_without_mpi(tmp_path, config):
    """Two that begin at once, and one that comes when all is done."""
    path = tmp_path / "e.pvens"
    command = [*PVENSEMBLE, "train", config, "-o", path, "--join", "2", "--workers", "0"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    two = [subprocess.Popen(list(map(str, command)), env=ENVIRONMENT, **pipes) for _ in range(2)]
    said = [process.communicate(timeout=100) for process in two]
    assert [process.returncode for process in two] == [0, 0], said
    assert all("over 2 processes" in out for out, _ in said)
    names = [g.name for g in Ensemble.open(path).groups]
    assert len(names) == 4
    for name in names:
        assert sum(name in out for out, _ in said) == 1, said
    assert differences(everything(path), whole(tmp_path)) == []
    late = run(command)
    assert late.returncode == 0
    assert "had nothing to train" in late.stdout
    assert f"{path}: complete 4" in late.stdout


def test_a_stopped_process_leaves_its_group_to_the_others(tmp_path, config):
    """SIGUSR1, as a batch system sends it, keeps the state; whoever joins next goes on from it."""
    path = tmp_path / "e.pvens"
    settings = ["steps=400", "record.every=20", "evaluate.every=20"]
    command = [*PVENSEMBLE, "train", config, "-o", path, "--join", "2", "--workers", "0"]
    command = [str(word) for word in (*command, "--set", *settings)]
    process = subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not (path.exists() and Ensemble.open(path).recorded_steps[3:]):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGUSR1)
    process.send_signal(signal.SIGUSR1)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "--join 2" in said
    assert "--resume" not in said
    done = run(command)
    assert done.returncode == 0, done.stderr
    assert _run_steps(done.stdout) < 4 * 401
    assert differences(everything(path), whole(tmp_path, *settings)) == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--join", "0"], "--join: got 0, allowed: 1 and more"),
        (["--join", "2", "--resume"], "--join: goes on with what is there by itself"),
    ],
)
def test_options_that_do_not_go_together(tmp_path, config, options, said):
    done = run([*PVENSEMBLE, "train", config, "-o", tmp_path / "e.pvens", *options])
    assert done.returncode == 2
    assert said in done.stderr
    assert not (tmp_path / "e.pvens").exists()


def test_a_launcher_that_mpi4py_does_not_know_is_told(tmp_path, config):
    """As `srun` without --mpi: every task would take itself for the only one."""
    environment = {**ENVIRONMENT, "SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "0"}
    command = [*PVENSEMBLE, "train", str(config), "-o", str(tmp_path / "e.pvens")]
    for rank, lines in (("0", 1), ("3", 0)):
        environment["SLURM_PROCID"] = rank
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 2
        assert done.stderr.count("4 tasks were started, but mpi4py sees 1") == lines
    assert not (tmp_path / "e.pvens").exists()
