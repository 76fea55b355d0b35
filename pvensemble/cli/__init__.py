"""The command line: ``pvensemble NAME …`` runs ``pvensemble.cli.NAME``.

Only this package prints or decides an exit status: 0 success, 2 a user's mistake (message on
stderr, no traceback), 130 interrupted, 1 a bug.
"""

from __future__ import annotations

import argparse
import errno
import importlib
import os
import pkgutil
import sys

from pvensemble import __version__
from pvensemble.errors import PVEnsembleError, did_you_mean

LAUNCHED = ("paraview", "pvpython", "pvbatch", "pvserver")
"""Programs of ParaView: everything after the name is theirs, so they parse for themselves."""

OUTPUT_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


def command_names() -> list[str]:
    """Names of all sub-commands, sorted."""
    # `import` is a word of Python, so its module is called import_.
    modules = (m.name.rstrip("_") for m in pkgutil.iter_modules(__path__) if m.name[0] != "_")
    return sorted({*modules, *LAUNCHED})


def _module(name: str):
    """Import the module of a sub-command."""
    own = {"import": "import_", **dict.fromkeys(LAUNCHED, "paraview")}
    return importlib.import_module(f"{__name__}.{own.get(name, name)}")


def _help(name: str) -> str:
    """Return what a sub-command does, in a line."""
    module = _module(name)
    return module.HELPS[name] if name in LAUNCHED else module.HELP


def _overview() -> str:
    lines = [f"pvensemble {__version__}: ensembles of neural networks in ParaView", ""]
    lines += ["usage: pvensemble COMMAND [options]", "", "commands:"]
    lines += [f"  {name:<12}{_help(name)}" for name in command_names()]
    lines += ["", "`pvensemble COMMAND --help` tells more."]
    return "\n".join(lines)


def _run(argv: list[str]) -> int:
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(_overview())
        return 0 if argv else 2
    if argv[0] in ("-V", "--version"):
        print(f"pvensemble {__version__}")
        return 0
    name = argv[0]
    if name not in command_names():
        print(
            f"pvensemble: no command {name!r}{did_you_mean(name, command_names())}", file=sys.stderr
        )
        return 2
    module = _module(name)
    if name in LAUNCHED:
        return module.run_program(name, argv[1:])
    parser = argparse.ArgumentParser(prog=f"pvensemble {name}", description=module.HELP)
    module.add_arguments(parser)
    return module.run(parser.parse_args(argv[1:]))


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return the exit status.

    Parameters
    ----------
    argv
        Arguments without the program name; ``sys.argv[1:]`` when omitted.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a name that the terminal's encoding lacks is no error
            stream.reconfigure(errors="backslashreplace")
    try:
        status = _run(sys.argv[1:] if argv is None else list(argv))
        if sys.stdout is not None:
            sys.stdout.flush()  # here, where its errors still have a name
        return status
    except PVEnsembleError as error:
        print(f"pvensemble: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("pvensemble: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `pvensemble table … --csv - | head`
        _drop_output()
        return 0
    except OSError as error:  # of a write without a file name: the output itself
        if error.errno not in OUTPUT_ERRORS or error.filename is not None:
            raise
        _drop_output()
        print(f"pvensemble: the output cannot be written: {error.strerror}", file=sys.stderr)
        return 2


def _drop_output() -> None:
    """Let nothing more reach standard output, not even what is left at the exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
