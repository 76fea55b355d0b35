"""Where tables go: a file, or standard output and nothing else there."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def add_csv(parser: argparse.ArgumentParser) -> None:
    """Declare ``--csv``."""
    parser.add_argument("--csv", metavar="FILE", help="write CSV to FILE, or to the output for '-'")


def open_ensemble(path: str):
    """Open an ensemble; what its indexes lost is told on standard error."""
    from pvensemble.store import Ensemble

    ensemble = Ensemble.open(path)
    for text in ensemble.damage():
        print(f"pvensemble: warning: {text}; see `pvensemble check {path}`", file=sys.stderr)
    return ensemble


def add_matrix_output(parser: argparse.ArgumentParser) -> None:
    """Declare ``--csv`` and ``--npy``, of which one can be used."""
    either = parser.add_mutually_exclusive_group()
    add_csv(either)
    either.add_argument("--npy", metavar="FILE", help="write the matrix in NumPy's format")


def write_text(text: str, target: str) -> None:
    """Write to a file (complete or not at all), or to standard output for ``-``.

    A link is followed; a pipe or a device is written to as it is, never replaced.

    Raises
    ------
    StoreError
        The file cannot be written, or is part of an ensemble.
    """
    if target == "-":
        sys.stdout.write(text)
    else:
        write_bytes(text.encode(), target, "the table")


def write_matrix(matrix, target: str) -> None:
    """Write an array in NumPy's format (.npy) to a file, complete or not at all.

    Raises
    ------
    StoreError
        As `write_text` does; or the target is standard output.
    """
    import io

    import numpy as np

    from pvensemble.errors import StoreError

    if target == "-":
        raise StoreError("--npy needs the name of a file; --csv - writes to the output")
    buffer = io.BytesIO()
    np.save(buffer, matrix, allow_pickle=False)
    write_bytes(buffer.getbuffer(), target, "the matrix")


def write_bytes(data: bytes | memoryview, target: str, what: str) -> None:
    """Write to a file as `write_text` does; ``what`` is for messages."""
    import os
    from pathlib import Path

    from pvensemble.store.files import unwritable, write_file

    path = Path(target)
    _refuse_ensembles(path)
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            path.write_bytes(data)
        else:
            write_file(Path(os.path.realpath(path)), data)
    except OSError as error:
        raise unwritable(path, error, what=what) from error


def _refuse_ensembles(path: Path) -> None:
    """Raise unless a table may have this name."""
    from pvensemble.errors import StoreError
    from pvensemble.schema import DATA_SUFFIX, MANIFEST_SUFFIX

    names = (path.name, *(parent.name for parent in path.absolute().parents))
    if path.suffix == MANIFEST_SUFFIX or any(name.endswith(DATA_SUFFIX) for name in names):
        raise StoreError(
            f"{path}: this name belongs to an ensemble, which a table must not replace; give "
            "another, for example 'table.csv'"
        )


def aligned(columns: Mapping[str, Sequence]) -> str:
    """Return a table for people: columns aligned, numbers with six digits."""
    texts = [[name, *(_cell(v) for v in column)] for name, column in columns.items()]
    widths = [max(map(len, column)) for column in texts]
    lines = (
        "  ".join(
            cell.rjust(width) if number else cell.ljust(width)
            for cell, width, number in zip(row, widths, map(_is_numeric, columns.values()))
        ).rstrip()
        for row in zip(*texts)
    )
    return "\n".join(lines) + "\n"


def _is_numeric(column: object) -> bool:
    return getattr(getattr(column, "dtype", None), "kind", "U") in "fiub"


def _cell(value: object) -> str:
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, float):
        return "" if value != value else f"{value:.6g}"  # NaN
    return str(value)
