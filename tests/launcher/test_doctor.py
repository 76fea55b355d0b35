"""``pvensemble doctor``."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest

from pvensemble.launcher.examine import as_dict, examine


def doctor(*args: str) -> subprocess.CompletedProcess:
    argv = [sys.executable, "-m", "pvensemble", "doctor", *map(str, args)]
    return subprocess.run(argv, capture_output=True, text=True)


def by_name(checks) -> dict:
    return {c["name"]: c for c in checks}


def test_a_missing_paraview_is_named_with_the_command_that_installs_it(tmp_path):
    done = doctor("--paraview", tmp_path, "--json")
    assert done.returncode == 2
    report = json.loads(done.stdout)
    assert report["ok"] is False
    check = by_name(report["checks"])["ParaView"]
    assert check["ok"] is False
    assert check["fix"].startswith("apt-get install")
    assert "paraview" in check["fix"]


def test_the_text_report_ends_with_what_is_missing(tmp_path):
    done = doctor("--paraview", tmp_path)
    assert done.returncode == 2
    assert "Missing: ParaView." in done.stdout
    assert "apt-get install" in done.stdout


def test_a_paraview_that_does_not_answer_is_given_up(fake_paraview):
    hang = fake_paraview / "bin" / "pvpython"
    hang.write_text("#!/bin/sh\n[ $1 = --version ] && echo paraview version 5.11.0 || sleep 20\n")
    checks = by_name(as_dict(examine(fake_paraview, timeout=0.5))["checks"])
    assert checks["ParaView"]["ok"] is True
    assert checks["ParaView's Python"]["ok"] is False
    assert "did not answer in 0.5 s" in checks["ParaView's Python"]["found"]


def test_a_paraview_that_crashes_is_reported(fake_paraview):
    checks = by_name(as_dict(examine(fake_paraview, timeout=20))["checks"])
    assert checks["ParaView's Python"]["ok"] is False
    assert "status 7" in checks["ParaView's Python"]["found"]


def test_an_old_paraview_is_refused(fake_paraview):
    program = fake_paraview / "bin" / "pvpython"
    program.write_text(program.read_text().replace("5.11.0", "5.9.1"))
    check = by_name(as_dict(examine(fake_paraview, timeout=20))["checks"])["ParaView"]
    assert check["ok"] is False
    assert "needs 5.11 or newer" in check["found"]


def test_only_needed_things_decide():
    from pvensemble.launcher.examine import Check

    optional = Check("torch", False, "missing", needed=False)
    assert as_dict([Check("numpy", True, "1"), optional])["ok"] is True
    assert as_dict([Check("numpy", False, "missing"), optional])["ok"] is False


@pytest.mark.paraview
@pytest.mark.skipif(shutil.which("pvpython") is None, reason="ParaView is not installed")
def test_this_machine_has_all_that_is_needed(monkeypatch):
    done = doctor("--json")
    report = json.loads(done.stdout)
    checks = by_name(report["checks"])
    wrong = {n: c["found"] for n, c in checks.items() if c["needed"] and not c["ok"]}
    assert wrong == {}
    assert done.returncode == 0
    assert checks["plugin"]["found"] == "loads"
    assert checks["rendering"]["found"] == "works"
