"""The scripts for SLURM, on a real cluster of this machine (scripts/slurm/try-local)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from small_network import NETWORK

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = ROOT / "scripts" / "slurm"
TOML = f"""
name = "tiny"
steps = 3000
{NETWORK}[evaluate]
every = 500
[record]
every = 500
probe = 24
[[session]]
name = "grid"
[session.space]
learning_rate = [0.01, 0.05]
momentum = [0.5, 0.9]
"""


@pytest.mark.parametrize("name", ["train.sbatch", "train-array.sbatch", "try-local"])
def test_scripts_parse_and_say_how_they_are_used(name):
    script = SCRIPTS / name
    assert subprocess.run(["bash", "-n", script], check=False).returncode == 0
    done = subprocess.run(["bash", script], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"{name}" in done.stderr


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Start SLURM; return a function that runs a command in a directory under it."""
    missing = [p for p in ("sbatch", "slurmctld", "munged") if not _found(p)]
    if missing or os.geteuid() != 0:
        pytest.skip(f"needs root and slurm-wlm, munge, libpmix-dev: there is no {missing}")
    directory = tmp_path_factory.mktemp("slurm")
    (directory / "tiny.toml").write_text(TOML)
    # It tells where its configuration is and lives until its standard input ends.
    command = [SCRIPTS / "try-local", "bash", "-c", "echo $SLURM_CONF; cat >/dev/null"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    process = subprocess.Popen(command, **pipes)
    try:
        place = process.stdout.readline().strip()
        assert place, "the cluster does not come up"
        environment = {**os.environ, "SLURM_CONF": place}
        environment["PVENSEMBLE"] = str(Path(sys.executable).with_name("pvensemble"))

        def run(*words: str) -> str:
            done = subprocess.run(
                words,
                cwd=directory,
                env=environment,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert done.returncode == 0, done.stderr
            return done.stdout.strip() or done.stderr.strip()

        run.directory = directory
        yield run
    finally:
        process.stdin.close()
        process.stdout.close()
        process.wait(60)


def _found(program: str) -> bool:
    return shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin") is not None


def submit(cluster, script: str, output: str, *options: str) -> str:
    """Submit a training and wait until it records; return the job's number."""
    path = str(SCRIPTS / script)
    assert "to start at" in cluster("sbatch", "--test-only", path, "tiny.toml", output)
    job = cluster("sbatch", "--parsable", *options, path, "tiny.toml", output)
    _until(lambda: list((cluster.directory / f"{output}.d").glob("g*/conv1.weight/*.vtkhdf")))
    return job


def _until(condition, seconds: float = 240.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def ended(cluster, job: str) -> None:
    """Wait until a job is not in the queue any more."""
    _until(lambda: not cluster("squeue", "--noheader", f"--jobs={job}", "--states=PD,R,CG,CF"))


@pytest.mark.slow
def test_a_job_that_is_signalled_queues_again_and_completes(cluster):
    job = submit(cluster, "train.sbatch", "job.pvens", "--ntasks=2")
    cluster("scancel", "--signal=USR1", job)
    ended(cluster, job)
    said = (cluster.directory / f"pvensemble-{job}.log").read_text()
    assert said.count("over 2 ranks") == 2, said
    assert "queueing again: job.pvens is not complete" in said
    assert said.count("[rank 1] trained") == 2
    assert "job.pvens: complete 4" in said


@pytest.mark.slow
def test_a_task_of_an_array_that_is_preempted_queues_again(cluster):
    """An urgent job takes three of four CPUs: one of two tasks has to go."""
    job = submit(cluster, "train-array.sbatch", "array.pvens", "--array=0-1")
    urgent = ["--parsable", "--partition=urgent", "--ntasks=3", "--wrap=sleep 2"]
    cluster("sbatch", *urgent)
    ended(cluster, job)
    logs = [p.read_text() for p in sorted(cluster.directory.glob(f"pvensemble-{job}_*.log"))]
    assert len(logs) == 2
    assert sum("queueing again: array.pvens" in text for text in logs) == 1, logs
    assert any("array.pvens: complete 4" in text for text in logs), logs
    assert sum(text.count("over 2 processes") for text in logs) == 3
