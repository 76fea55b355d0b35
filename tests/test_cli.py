"""The command line's exit statuses and messages, as a user meets them."""

from __future__ import annotations

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
