"""The command line's exit statuses and messages, as a user meets them."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest

from pvensemble import __version__


def pvensemble(*args: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "pvensemble", *args],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def test_overview_lists_every_command_with_a_line():
    from pvensemble.cli import command_names

    done = pvensemble("--help")
    assert done.returncode == 0
    for name in command_names():
        line = next(x for x in done.stdout.splitlines() if x.startswith(f"  {name} "))
        assert len(line.split(maxsplit=1)[1]) > 10


def test_version():
    assert pvensemble("--version").stdout.strip() == f"pvensemble {__version__}"


def test_no_command_shows_the_overview_and_fails():
    done = pvensemble()
    assert done.returncode == 2
    assert "usage:" in done.stdout


def test_unknown_command_suggests_the_near_one():
    done = pvensemble("trian")
    assert done.returncode == 2
    assert "did you mean 'train'?" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["info", "check", "table", "curves"])
def test_missing_ensemble_is_a_users_mistake(command, tmp_path):
    done = pvensemble(command, str(tmp_path / "absent.pvens"))
    assert done.returncode == 2
    assert "absent.pvens" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_bug_shows_its_traceback_and_exits_1(tmp_path, monkeypatch):
    """Negative control: only users' mistakes are shortened to a message."""
    code = (
        "import pvensemble.cli as c\n"
        "def bug(argv): raise ZeroDivisionError\n"
        "c._run = bug\n"
        "import sys; sys.exit(c.main([]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Traceback" in done.stderr


FULL = pathlib.Path("/dev/full")


@pytest.mark.skipif(not FULL.is_char_device(), reason="this system has no full device")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_output_is_named(unbuffered):
    with FULL.open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "pvensemble", "--help"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
            check=False,
        )
    assert done.stderr == "pvensemble: the output cannot be written: No space left on device\n"
    assert done.returncode == 2


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_closed_pipe_is_no_mistake(unbuffered):
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "pvensemble", "--help"],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        check=False,
    )
    os.close(writer)
    assert (done.stderr, done.returncode) == ("", 0)


def test_other_errors_of_the_system_stay_bugs():
    code = (
        "import errno, pvensemble.cli as c\n"
        "def bug(argv): raise OSError(errno.ENOSPC, 'no space', 'some file')\n"
        "c._run = bug\n"
        "import sys; sys.exit(c.main([]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "some file" in done.stderr


def test_names_that_the_terminal_cannot_show_are_escaped(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "pvensemble", "info", str(tmp_path / "\u2603.pvens")],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        check=False,
    )
    assert done.returncode == 2
    assert b"\\u2603.pvens: there is no such ensemble" in done.stderr
    code = (
        "import sys, pvensemble.cli as c; c._overview = lambda: '\u2603'; sys.exit(c.main(['-h']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, b"\\u2603\n")
