"""What ``pvensemble doctor`` finds out."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import platform
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from pvensemble.errors import ParaViewNotFoundError
from pvensemble.launcher.display import display
from pvensemble.launcher.environment import environment, package_folder
from pvensemble.launcher.find import INSTALL, find_paraview, paraview_version

MARK = "PVENSEMBLE-PROBE "
OLDEST = (5, 11)
LIBRARIES = {"numpy": "numpy", "scipy": "scipy", "sklearn": "scikit-learn", "h5py": "h5py"}
PIP_INSTALL = f"{sys.executable} -m pip install"


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes
    ----------
    name
        What.
    ok
        Whether it is there and works.
    found
        Its version, or what is wrong.
    needed
        Whether pvensemble's main uses need it; the others are conveniences.
    fix
        Command that puts it right; empty when ``ok``.
    """

    name: str
    ok: bool
    found: str
    needed: bool = True
    fix: str = ""


def examine(prefix: str | Path | None = None, *, timeout: float = 90) -> list[Check]:
    """Look at this Python, ParaView, its Python, the plugin, rendering and the helpers.

    Parameters
    ----------
    prefix
        ParaView's installation folder; see :func:`pvensemble.launcher.find_paraview`.
    timeout
        Seconds that each start of ParaView may take.
    """
    return [*_here(), *_paraview(prefix, timeout), *_helpers()]


def as_dict(checks: list[Check]) -> dict:
    """The report as ``doctor --json`` prints it."""
    return {"ok": all(c.ok for c in checks if c.needed), "checks": [asdict(c) for c in checks]}


def _here() -> list[Check]:
    checks = [Check("Python", sys.version_info >= (3, 9), platform.python_version())]
    for module, package in LIBRARIES.items():
        checks.append(_installed(package, module, needed=True))
    torch = _installed("torch", "torch", needed=False)
    checks.append(torch)
    checks.append(_cuda() if torch.ok else Check("CUDA", False, "needs torch", needed=False))
    return checks


def _installed(package: str, module: str, *, needed: bool) -> Check:
    version = _version(package, module)
    if version is None:
        what = "'pvensemble[train]'" if package == "torch" else package
        return Check(package, False, "missing", needed, f"{PIP_INSTALL} {what}")
    return Check(package, True, version, needed)


def _version(package: str, module: str) -> str | None:
    """Version of an installed package; Debian ships some without metadata."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        if importlib.util.find_spec(module) is None:
            return None
        return str(getattr(importlib.import_module(module), "__version__", "of unknown version"))


def _cuda() -> Check:
    code = "import torch; print(torch.cuda.get_device_name() if torch.cuda.is_available() else '')"
    try:
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
        )
    except subprocess.TimeoutExpired:
        return Check("CUDA", False, "torch did not answer in 120 s", needed=False)
    name = done.stdout.strip()
    return Check("CUDA", bool(name), name or "no device; training uses the CPU", needed=False)


def _paraview(prefix: str | Path | None, timeout: float) -> list[Check]:
    try:
        program = find_paraview("pvpython", prefix)
    except ParaViewNotFoundError as error:
        return [Check("ParaView", False, str(error), fix=INSTALL)]
    version = paraview_version(program)
    shown = ".".join(map(str, version)) if version else "unknown version"
    recent = version is not None and version >= OLDEST
    found = f"{shown} ({program})" if recent else f"{shown}, needs 5.11 or newer ({program})"
    checks = [Check("ParaView", recent, found, fix="" if recent else INSTALL)]
    report, problem = _probe(program, [], timeout, environment())
    if report is None:
        return [*checks, Check("ParaView's Python", False, problem, fix=INSTALL)]
    checks.append(Check("ParaView's Python", True, report["python"]))
    for module, package in LIBRARIES.items():
        got = report["modules"][module]
        fix = "" if got else f"apt-get install python3-{package.replace('scikit-learn', 'sklearn')}"
        checks.append(Check(f"{package} in ParaView", got is not None, got or "missing", fix=fix))
    shim = report["getargspec"]
    checks.append(Check("start-up shim", shim, "works" if shim else "sitecustomize.py not run"))
    plugin = report["plugin"]
    checks.append(Check("plugin", plugin, "loads" if plugin else problem or "does not load"))
    checks.append(_rendering(program, version, timeout))
    return checks


def _rendering(program: Path, version: tuple[int, ...] | None, timeout: float) -> Check:
    fix = "apt-get install xvfb libgl1-mesa-dri"
    try:
        with display(environment(), version=version) as env:
            report, problem = _probe(program, ["render"], timeout, env)
    except ParaViewNotFoundError as error:
        return Check("rendering", False, str(error), fix=fix)
    if report is None or not report["rendering"]:
        return Check("rendering", False, problem or "the picture is empty", fix=fix)
    return Check("rendering", True, "works")


def _probe(
    program: Path, args: list[str], timeout: float, env: dict[str, str]
) -> tuple[dict | None, str]:
    """Run the probe; return its report (or None) and the last words of what went wrong."""
    argv = [str(program), str(package_folder() / "launcher" / "probe.py"), *args]
    try:
        done = subprocess.run(
            argv,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None, f"{program} did not answer in {timeout:g} s"
    lines = [line for line in done.stdout.splitlines() if line.startswith(MARK)]
    errors = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    problem = errors[-1] if errors else ""
    if not lines:
        return None, problem or f"{program} ended with status {done.returncode}"
    return json.loads(lines[-1][len(MARK) :]), problem


def _helpers() -> list[Check]:
    checks = []
    for name, package, use in (
        ("Xvfb", "xvfb", "pictures without a screen"),
        ("ffmpeg", "ffmpeg", "mp4 animations"),
    ):
        path = shutil.which(name)
        fix = "" if path else f"apt-get install {package}"
        checks.append(Check(name, path is not None, path or f"missing; for {use}", False, fix))
    checks.append(_installed("Pillow", "PIL", needed=False))
    return checks
