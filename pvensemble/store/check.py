"""Compare every file of an ensemble with what the indexes say of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from pvensemble.errors import CorruptFileError, StoreError
from pvensemble.schema import (
    INDEX_FILE,
    LOCK_FILE,
    RUNS_FILE,
    SERIES_SUFFIX,
    STEERING_DIR,
    SURFACES_DIR,
    tensor_name,
)
from pvensemble.store.derived import series_text
from pvensemble.store.ensemble import is_group
from pvensemble.store.files import is_temporary, read_file
from pvensemble.store.group_index import GroupIndex
from pvensemble.store.journal import parse
from pvensemble.store.manifest import data_directory, manifest_path, read_manifest
from pvensemble.store.steering import read_requests
from pvensemble.store.surfaces import INDEX_SUFFIX, vouched_files
from pvensemble.store.verified import read_verified

PROBLEM = "problem"
NOTE = "note"


@dataclass(frozen=True)
class Finding:
    """Something that is not as a finished writing leaves it."""

    level: str
    """``problem``: something recorded is missing or wrong. ``note``: what a killed or a running
    writer leaves; nothing that was acknowledged is affected."""
    path: str
    text: str


@dataclass(frozen=True)
class Report:
    """Outcome of a check."""

    n_files: int
    n_bytes: int
    findings: tuple

    @property
    def problems(self) -> list[Finding]:
        """The findings that mean damage."""
        return [f for f in self.findings if f.level == PROBLEM]


def check_ensemble(path: object) -> Report:
    """Read every file that an index vouches for and report all that is wrong.

    Parameters
    ----------
    path
        ``X.pvens``.

    Raises
    ------
    StoreError, SchemaError
        There is no ensemble at all.
    """
    path = manifest_path(path)
    read_manifest(path)
    checker = _Checker()
    directory = data_directory(path)
    if not directory.is_dir():
        checker.problem(directory, f"the data directory is missing; it belongs beside {path.name}")
    else:
        for entry in sorted(directory.iterdir()):
            if is_group(entry.name) and entry.is_dir():
                checker.group(entry)
            elif entry.name == SURFACES_DIR and entry.is_dir():
                checker.surfaces(entry)
            elif entry.name == STEERING_DIR and entry.is_dir():
                checker.steering(entry)
            elif entry.name not in (RUNS_FILE, LOCK_FILE) and not is_temporary(entry.name):
                checker.note(entry, "does not belong to the ensemble")
    return Report(checker.n_files, checker.n_bytes, tuple(checker.findings))


class _Checker:
    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self.n_files = 0
        self.n_bytes = 0

    def problem(self, path: Path, text: str) -> None:
        self.findings.append(Finding(PROBLEM, str(path), text))

    def note(self, path: Path, text: str) -> None:
        self.findings.append(Finding(NOTE, str(path), text))

    def group(self, directory: Path) -> None:
        index = self._index(directory)
        if index is None:
            return
        for _, entry in index.live_checkpoints():
            self._checkpoint(directory, entry)
        self._checkpoints_usable(directory, index)
        checkpoints = {entry.name for _, entry in index.checkpoints}
        expected = {e.name: e for e in index.files() if e.name not in checkpoints}
        for entry in expected.values():
            self._file(directory / entry.name, entry)
        self._series(directory, index)
        self._strangers(directory, index, set(expected) | checkpoints)

    def surfaces(self, directory: Path) -> None:
        known = set()
        for path, entry, problem in vouched_files(directory):
            known.add(path)
            if entry is None:
                self.problem(path, problem)
            else:
                self._file(path, entry)
        for path in sorted(directory.iterdir()):
            if path not in known and path.suffix != INDEX_SUFFIX:
                unfinished = is_temporary(path.name)
                self.note(path, "an unfinished write" if unfinished else "no index knows this file")

    def steering(self, directory: Path) -> None:
        for request in read_requests(directory):
            if request.problem:
                self.note(directory, f"a request that is not understood: {request.problem}")

    def _file(self, path: Path, entry: object) -> None:
        try:
            read_verified(path, entry, always=True)
            self.n_files += 1
            self.n_bytes += entry.size
        except StoreError as error:
            self.problem(path, _reason(error))

    def _index(self, directory: Path) -> GroupIndex | None:
        path = directory / INDEX_FILE
        others = [p for p in directory.iterdir() if p.name != INDEX_FILE]
        if not path.exists():
            level = self.problem if others else self.note
            level(path, "the index is missing" if others else "a group that was never begun")
            return None
        try:
            data = read_file(path, what="the index")
        except StoreError as error:
            self.problem(path, _reason(error))
            return None
        prefix = parse(data)
        if prefix.damaged_lines:
            self.problem(
                path,
                f"record {len(prefix.records)} is damaged; it and {prefix.damaged_lines - 1} "
                "complete lines after it do not count",
            )
        elif prefix.torn:
            self.note(path, "the last record is unfinished: its writer is at work or was killed")
        index = GroupIndex(directory.name)
        try:
            for record in prefix.records:
                index.apply(record, path=path)
        except CorruptFileError as error:
            self.problem(path, _reason(error))
            return None
        if not index.ready:
            level = self.problem if others or prefix.damaged_lines else self.note
            level(path, "the index holds no runs")
            return None
        self.n_files += 1
        self.n_bytes += prefix.end
        return index

    def _checkpoint(self, directory: Path, entry: object) -> None:
        try:
            read_verified(directory / entry.name, entry, always=True)
        except StoreError as error:
            self.note(directory / entry.name, _reason(error))
            return
        self.n_files += 1
        self.n_bytes += entry.size

    def _checkpoints_usable(self, directory: Path, index: GroupIndex) -> None:
        """One bad checkpoint is what a killed writer leaves; without a good one resume is lost."""
        checkpoints = [str(directory / entry.name) for _, entry in index.live_checkpoints()]
        bad = {f.path for f in self.findings}
        if checkpoints and all(path in bad for path in checkpoints):
            self.problem(directory, "no checkpoint is whole: training cannot go on from here")

    def _series(self, directory: Path, index: GroupIndex) -> None:
        for (layer, kind), steps in index.tensors.items():
            path = directory / (tensor_name(layer, kind) + SERIES_SUFFIX)
            try:
                found = json.loads(path.read_bytes())
            except FileNotFoundError:
                found = None
            except (OSError, ValueError, RecursionError) as error:
                self.problem(path, f"cannot be read ({error})")
                continue
            if found != json.loads(series_text(layer, kind, steps)):
                self.note(path, "is not up to date; it is written again when writing ends")

    def _strangers(self, directory: Path, index: GroupIndex, known: set) -> None:
        """Files that the index does not know: one commit's worth is what a kill leaves."""
        derived = {tensor_name(*key) + SERIES_SUFFIX for key in index.tensors}
        strangers = []
        for path in sorted(directory.rglob("*")):
            name = path.relative_to(directory).as_posix()
            if path.is_dir() or name in known or name in derived or name == INDEX_FILE:
                continue
            if is_temporary(path.name):
                self.note(path, "an unfinished write")
            elif name.startswith(INDEX_FILE):
                self.problem(path, "records that were cut from a damaged index")
            elif not name.endswith(SERIES_SUFFIX):
                strangers.append(path)
        steps = {path.stem.partition("-")[0] for path in strangers if path.stem[:1] == "s"}
        for path in strangers:
            level = self.note if len(steps) <= 1 else self.problem
            level(path, "the index does not know this file")


def _reason(error: StoreError) -> str:
    """Return the message without the path at its beginning."""
    return str(error).partition(": ")[2] or str(error)
