"""An index of extracts over the steps: ``data.csv`` of a Cinema database.

Cinema Specification D (https://github.com/cinemascience/cinema): a folder whose ``data.csv`` has a
row for each step, with the files' paths in columns that begin with ``FILE``.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pvensemble.store.table import csv_text

INDEX = "data.csv"
STEP = "timestep"


@contextmanager
def replaced(file: Path) -> Iterator[Path]:
    """Yield the path to write to; the file appears under its name once it is whole."""
    file.parent.mkdir(parents=True, exist_ok=True)
    beside = file.with_name(f".{file.name}")
    yield beside
    beside.replace(file)


class CinemaIndex:
    """The rows of a folder's ``data.csv``; those of a training that is resumed are kept."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / INDEX
        self._rows: list[dict[str, str]] = []
        if self._file.is_file():
            with self._file.open(newline="", encoding="utf-8") as stream:
                self._rows = list(csv.DictReader(stream))

    def add(self, step: int, files: Mapping[str, Path]) -> None:
        """Add or replace the row of a step, and write the index anew.

        Parameters
        ----------
        files
            Files by what they show, for example ``FILE_runs``; in the folder or below it.
        """
        names = {name: str(path.relative_to(self._file.parent)) for name, path in files.items()}
        self._rows = [row for row in self._rows if int(row[STEP]) < step]
        self._rows.append({STEP: str(step), **names})
        header = list(dict.fromkeys(name for row in self._rows for name in row))
        columns = {name: [row.get(name, "") for row in self._rows] for name in header}
        with replaced(self._file) as beside:
            beside.write_text(csv_text(columns), encoding="utf-8")
