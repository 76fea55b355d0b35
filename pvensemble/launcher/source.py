"""Python files that users bring, looked at before they are run."""

from __future__ import annotations

import ast
from pathlib import Path

from pvensemble.errors import PVEnsembleError


def parse_python(path: Path) -> ast.Module:
    """Return what stands in a Python file.

    Raises
    ------
    PVEnsembleError
        It cannot be read or is not Python.
    """
    try:
        return ast.parse(path.read_bytes(), str(path))
    except SyntaxError as error:
        raise PVEnsembleError(f"{path} is not Python: line {error.lineno}: {error.msg}") from None
    except (OSError, ValueError) as error:
        raise PVEnsembleError(f"{path} cannot be read: {error}") from None
