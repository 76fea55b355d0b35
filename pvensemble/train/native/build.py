"""Compiling the engine with the system's g++, once for a source, compiler and processor.

The library lies in the user's cache folder. Its last bytes are the digest of all before them, so
that a file that was cut off or changed is never loaded but made anew; it appears under its name
complete or not at all, whichever processes make it at the same time.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from functools import lru_cache
from pathlib import Path

COMPILER = "g++"
SOURCE = Path(__file__).with_name("engine.cpp")
FLAGS = (
    *("-std=c++17", "-O3", "-march=native", "-fPIC", "-shared", "-w"),
    # As -ffast-math, but sums keep their order, and infinities and NaN remain what they are.
    *("-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast"),
)
VERSION = 2
"""Of the functions of the library; ``pvensemble_native_version`` in its source."""
TIMEOUT = 300.0
_DIGEST = 32


class NoLibrary(Exception):
    """There is no compiled engine on this machine; the message says why."""


@lru_cache(maxsize=1)
def library() -> ctypes.CDLL:
    """Return the library, compiled before if need be (ten seconds).

    Raises
    ------
    NoLibrary
        No compiler, or it fails, or the cache folder cannot be written.
    """
    return load(COMPILER, cache_folder())


def cache_folder() -> Path:
    """Return where libraries are kept: ``$XDG_CACHE_HOME/pvensemble/native``."""
    try:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError as error:
        raise NoLibrary(f"there is no cache folder: {error}") from error
    return base / "pvensemble" / "native"


def load(compiler: str, folder: Path) -> ctypes.CDLL:
    """Return the library of a cache folder, compiled if it is not there or not whole."""
    path = folder / f"engine-{_key(compiler)}.so"
    if not _whole(path):
        _compile(compiler, path)
    try:
        return _declared(ctypes.CDLL(str(path)))
    except OSError as error:
        raise NoLibrary(f"the compiled engine cannot be loaded: {error}") from error


def _key(compiler: str) -> str:
    """Return what a library depends on, as 16 hexadecimal digits."""
    sources = [path.read_bytes() for path in (SOURCE, *sorted(SOURCE.parent.glob("*.h")))]
    parts = [*sources, " ".join(FLAGS).encode(), _version(compiler), _processor()]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


def _version(compiler: str) -> bytes:
    found = shutil.which(compiler)
    if found is None:
        raise NoLibrary(f"there is no {compiler}")
    try:
        done = subprocess.run([found, "--version"], capture_output=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise NoLibrary(f"{found} fails: {error}") from error
    return done.stdout


def _processor() -> bytes:
    """Return what distinguishes processors: on Linux the name and the flags of the first."""
    try:
        text = Path("/proc/cpuinfo").read_text(errors="replace")
    except OSError:
        return " ".join(platform.uname()).encode()
    lines = text.partition("\n\n")[0].splitlines()
    return "\n".join(x for x in lines if x.startswith(("model", "flags", "Features"))).encode()


def _whole(path: Path) -> bool:
    """Whether a library is there as it was made."""
    try:
        content = path.read_bytes()
    except OSError:
        return False
    return hashlib.sha256(content[:-_DIGEST]).digest() == content[-_DIGEST:]


def _compile(compiler: str, path: Path) -> None:
    """Make the library under its name."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix="new-") as directory:
            made = Path(directory) / path.name
            command = [compiler, *FLAGS, str(SOURCE), "-o", str(made)]
            done = subprocess.run(command, capture_output=True, timeout=TIMEOUT, check=False)
            if done.returncode:
                lines = done.stderr.decode(errors="replace").strip().splitlines()
                said = next((x for x in lines if "error" in x), lines[-1] if lines else "")
                raise NoLibrary(f"{compiler} cannot compile the engine: {said}")
            content = made.read_bytes()
            made.write_bytes(content + hashlib.sha256(content).digest())
            made.replace(path)
    except OSError as error:
        raise NoLibrary(f"the cache folder {path.parent} cannot be used: {error}") from error
    except subprocess.TimeoutExpired as error:
        raise NoLibrary(f"{compiler} needs more than {TIMEOUT:.0f} s for the engine") from error


def _declared(lib: ctypes.CDLL) -> ctypes.CDLL:
    """Declare the functions of the library."""
    pointer, integer = ctypes.c_void_p, ctypes.c_long
    functions = {
        "version": (integer, []),
        "new": (pointer, [pointer, integer, integer]),
        "delete": (None, [pointer]),
        "step": (None, [pointer] * 7),
        "evaluate": (
            integer,
            [*[pointer] * 4, integer, pointer, integer, *[pointer] * 3],
        ),
    }
    for name, (result, arguments) in functions.items():
        try:
            function = getattr(lib, f"pvensemble_native_{name}")
        except AttributeError as error:
            raise NoLibrary(f"the compiled engine is incomplete: {error}") from error
        function.restype, function.argtypes = result, arguments
    if lib.pvensemble_native_version() != VERSION:
        raise NoLibrary("the compiled engine is of another version")
    return lib
