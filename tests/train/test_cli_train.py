"""``pvensemble train``: what it prints, its exit statuses, and stopping by signals."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from pvensemble.cli import main
from pvensemble.cli._progress import ProgressDisplay, duration, progress_line, size
from pvensemble.store import Ensemble
from pvensemble.train.progress import Progress

SMALL = ["steps=4", "record.every=2", "evaluate.every=2", "session.space.momentum=0.5,0.9"]
SMALL += ["session.space.learning_rate=0.01,0.02"]


@pytest.fixture
def in_empty_directory(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PVENSEMBLE_DATA", raising=False)
    return tmp_path


def test_training_writes_an_ensemble(in_empty_directory, capsys):
    status = main(["train", "digits", "-o", "x.pvens", "--workers", "0", "--set", *SMALL])
    out = capsys.readouterr()
    assert status == 0, out.err
    assert "digits: 4 runs of 4 steps in 1 group\n" in out.out
    assert "session grid: 4 runs, grid over train.learning_rate, train.momentum" in out.out
    assert "x.pvens: complete 4" in out.out
    ensemble = Ensemble.open("x.pvens")
    assert ensemble.recorded_steps == [0, 2, 4]
    table = ensemble.run_table()
    np.testing.assert_array_equal(table["momentum"], [0.5, 0.9, 0.5, 0.9])
    assert set(table["state"]) == {"COMPLETE"}
    assert re.search(r"recording: [\d.]+ .?B in \d+ files, 3 recorded steps", out.out)
    assert out.out.index("recording:") < out.out.index("complete")


def test_stated_size_is_the_size_on_disk(in_empty_directory, capsys):
    arguments = ["train", "digits", "-o", "x.pvens", "--workers", "0", "--set", *SMALL]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    number, unit, files = re.search(r"recording: ([\d.]+) (.?B) in (\d+) files", out).groups()
    stated = float(number) * {"B": 1, "kB": 1e3, "MB": 1e6}[unit]
    written = [p for p in Path("x.pvens.d/g000").rglob("*") if p.suffix in (".vtkhdf", ".hdf")]
    on_disk = sum(p.stat().st_size for p in written)
    assert len(written) == int(files)
    assert 0.5 * on_disk < stated < 2 * on_disk


def test_dry_run_shows_the_size_and_writes_nothing(in_empty_directory, capsys):
    assert main(["train", "--dry-run", "--set", "steps=40", "record.every=20"]) == 0
    out = capsys.readouterr().out
    assert "digits: 121 runs of 40 steps" in out
    assert re.search(r"recording: [\d.]+ MB in \d+ files, 3 recorded steps", out)
    assert list(in_empty_directory.iterdir()) == []


def test_repeated_runs_are_reported(in_empty_directory, capsys):
    Path("my.toml").write_text(
        'name = "my"\n[record]\nprobe = 10\n[model]\nname = "mlp"\n'
        '[[session]]\nname = "a"\nspace = {momentum = [0.1, 0.2]}\n'
        '[[session]]\nname = "b"\nspace = {momentum = [0.2, 0.3]}\n'
    )
    assert main(["train", "my.toml", "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "my: 3 runs" in out
    assert "1 run repeated in the search space; each is trained once" in out
    assert "session b: 1 run, grid over train.momentum" in out
    assert "-> my.pvens" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "got 'nothing', allowed: a TOML file or a preset"),
        (["digits", "-o", "x.vtu"], "--output: got 'x.vtu', allowed: a name that ends in .pvens"),
        (["digits", "-o", "none/x.pvens"], "--output: no directory"),
        (["digits", "--workers", "-1"], "--workers: got -1"),
        (["digits", "--set", "steps=0"], "steps: got 0, allowed: at least 1"),
        (["digits", "--set", "record.layers=conv9"], "conv9"),
        (["digits", "--set", "data.train=5000"], "data.train: got 5000"),
        (["mnist"], "mnist: no file train-images"),
        (["mnist", "--data", "none"], "none: no such directory"),
        (["digits", "--set", "model.name=no_such_module_for_test:f"], "cannot import"),
    ],
)
def test_mistake_is_told_without_a_traceback(in_empty_directory, capsys, arguments, message):
    assert main(["train", *arguments]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert "Traceback" not in err
    assert list(in_empty_directory.iterdir()) == []


@pytest.mark.parametrize("setting", ["train.batch_size=1198", "record.probe=301"])
def test_dry_run_finds_what_training_would(in_empty_directory, capsys, setting):
    assert main(["train", "digits", "--dry-run", "--set", setting]) == 2
    assert setting.partition("=")[0] in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["model.activation=tanh"], "train.engine: got 'native', but .*tanh"),
        (["train.precision=bf16"], "in float32, not in bf16"),
    ],
)
def test_dry_run_refuses_an_engine_that_training_would(
    in_empty_directory, capsys, arguments, message
):
    settings = ["train.engine=native", *SMALL, *arguments]
    said = []
    for dry in (["--dry-run"], ["--workers", "0", "-o", "x.pvens"]):
        assert main(["train", "digits", *dry, "--set", *settings]) == 2
        said.append(capsys.readouterr().err)
        assert list(in_empty_directory.glob("*.d/g*")) == []
    assert re.search(message, said[0]) or "there is no g++" in said[0]
    assert said[0] == said[1]


def test_resume_of_nothing_says_that_it_begins(in_empty_directory, capsys):
    arguments = ["-o", "x.pvens", "--workers", "0", "--resume", "--set", *SMALL, "steps=1"]
    assert main(["train", "digits", *arguments]) == 0
    out = capsys.readouterr().out
    assert "digits: 4 runs of 1 step in" in out
    assert "there is no x.pvens to resume; the training starts at step 0" in out


def test_existing_ensemble_is_not_overwritten(in_empty_directory, capsys):
    arguments = ["train", "digits", "-o", "x.pvens", "--workers", "0", "--set", *SMALL]
    assert main(arguments) == 0
    before = Path("x.pvens").read_bytes()
    assert main(arguments) == 2
    assert "x.pvens" in capsys.readouterr().err
    assert Path("x.pvens").read_bytes() == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_keeps_everything_and_resume_finishes(in_empty_directory, number):
    command = [sys.executable, "-m", "pvensemble", "train", "digits", "-o", "x.pvens"]
    options = ["--workers", "1", "--set", "steps=1600", "record.every=40", "evaluate.every=40"]
    options += SMALL[3:]
    process = subprocess.Popen([*command, *options], stderr=subprocess.PIPE, text=True)
    try:
        index = Path("x.pvens.d/g000/index.pvj")
        deadline = time.monotonic() + 60
        while not (index.exists() and list(Path("x.pvens.d").rglob("s*40.vtkhdf"))):
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        if number == signal.SIGTERM:  # a batch system sends it to every process of a job
            lists = Path(f"/proc/{process.pid}/task").glob("*/children")
            workers = [int(pid) for file in lists for pid in file.read_text().split()]
            assert workers
            for worker in workers:
                os.kill(worker, number)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
        process.stderr.close()
    assert process.returncode == 130, err
    assert "failed" not in err
    assert "interrupted; everything recorded is safe in x.pvens" in err
    resume = re.search(r"go on with: (pvensemble train .*--resume)", err).group(1)
    assert "--set record.every=40" in resume
    stopped = Ensemble.open("x.pvens")
    assert 40 in stopped.recorded_steps
    assert 1600 not in stopped.recorded_steps
    if number == signal.SIGTERM:
        return
    done = subprocess.run(
        [sys.executable, "-m", *resume.split()], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert set(Ensemble.open("x.pvens").run_table()["state"]) == {"COMPLETE"}
    assert Ensemble.open("x.pvens").recorded_steps[-1] == 1600


# -- the display -----------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def moment(step, **changes):
    values = {"step": step, "total": 1000, "run_steps_per_second": 50.0, "remaining": 61.0}
    values["states"] = {"RUNNING": 2, "COMPLETE": 3, "WAITING": 0}
    return Progress(**{**values, "bytes_written": 2_500_000, **changes})


def test_line_has_share_speed_remaining_states_and_size():
    assert progress_line(moment(250)) == (
        " 25 %  250/1,000 run-steps  50/s  1:01 left  running 2, complete 3  2.5 MB"
    )
    assert "-- left" in progress_line(moment(0, remaining=None))


def test_terminal_gets_one_line_rewritten(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    stream, now = Terminal(), [0.0]
    display = ProgressDisplay(stream, clock=lambda: now[0])
    for step in (100, 200, 300):
        display(moment(step))
        now[0] += 1
    assert stream.getvalue().count("\r") == 3
    assert "\n" not in stream.getvalue()
    display.close()
    assert stream.getvalue().endswith("2.5 MB\n")


def test_terminal_line_never_wraps(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "30")
    stream = Terminal()
    ProgressDisplay(stream)(moment(100))
    assert len(stream.getvalue().strip("\r")) == 29


def test_log_gets_a_line_now_and_then():
    stream, now = io.StringIO(), [0.0]
    display = ProgressDisplay(stream, clock=lambda: now[0])
    for step in range(250):
        now[0] = step / 10
        display(moment(step))
    lines = stream.getvalue().splitlines()
    assert [int(re.search(r"(\d+)/1,000", line).group(1)) for line in lines] == [0, 100, 200]
    assert "\r" not in stream.getvalue()
    display.close()
    assert "249/1,000" in stream.getvalue().splitlines()[-1]


def test_message_is_shown_once(monkeypatch):
    stream = io.StringIO()
    display = ProgressDisplay(stream, clock=lambda: 0.0)
    for _ in range(3):
        display(moment(1, message="run 3 diverged"))
    display(moment(2, message=""))
    display(moment(2, message="run 4 diverged"))
    assert [line for line in stream.getvalue().splitlines() if "diverged" in line] == [
        "run 3 diverged",
        "run 4 diverged",
    ]


def test_units():
    assert [duration(s) for s in (0, 59.6, 3599, 3600, 36_000)] == [
        "0:00", "1:00", "59:59", "1:00:00", "10:00:00",
    ]  # fmt: skip
    assert [size(b) for b in (0, 999, 1500, 2.5e6, 3e9, 4e12)] == [
        "0 B", "999 B", "1.5 kB", "2.5 MB", "3.0 GB", "4.0 TB",
    ]  # fmt: skip


def test_help_lists_the_presets(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["train", "--help"])
    assert caught.value.code == 0
    assert "cifar10, digits, fashion-mnist, mnist, tensorviz" in " ".join(
        capsys.readouterr().out.split()
    )


def test_training_without_torch_says_what_to_install(in_empty_directory):
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from pvensemble.cli import main; sys.exit(main(['train', 'digits']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2, done.stderr
    assert "training needs PyTorch: pip install 'pvensemble[train]'" in done.stderr
    assert list(in_empty_directory.iterdir()) == []
