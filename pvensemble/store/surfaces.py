"""Loss surfaces beside the groups: ``X.pvens.d/surfaces/NAME.pvj`` and the files it vouches for.

A surface belongs to chosen runs, not to a group, and is computed when training has ended, so it
has an index of its own: append-only as a group's, one record for each time that the surface was
written, the last one counts. A record holds the whole recipe as JSON, and size and hash of a file
of arrays. A surface whose computation was interrupted is written with NaN where nothing was
computed; going on with it appends a record and a file.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pvensemble.errors import CorruptFileError, NotRecordedError, StoreError, did_you_mean
from pvensemble.schema import SURFACES_DIR
from pvensemble.store.files import read_file, unwritable
from pvensemble.store.group_index import FileEntry
from pvensemble.store.images import arrays_image, block
from pvensemble.store.journal import Journal, parse
from pvensemble.store.manifest import data_directory, manifest_path
from pvensemble.store.records import check_name
from pvensemble.store.staging import stage_file
from pvensemble.store.verified import read_verified

SURFACE_VERSION = 1
INDEX_SUFFIX = ".pvj"
GRID = ("loss", "accuracy")
RUNS = ("run_x", "run_y", "run_loss", "run_accuracy")
PATH = ("path_x", "path_y", "path_distance", "path_loss", "path_accuracy")
WHOLE = ("path_run", "path_step")


@dataclass(frozen=True)
class LossSurface:
    """Loss and accuracy over a plane in the space of a network's parameters.

    Attributes
    ----------
    name : str
    meta : dict
        The recipe: ``runs`` (run ids; the first one's network is the origin), ``steps`` (of their
        networks), ``directions``, ``seed``, ``split``, ``images``, ``versions`` …; ``complete``.
    x, y : ndarray
        (n_x,) and (n_y,) float64, coordinates in the plane, ascending.
    loss, accuracy : ndarray
        (n_y, n_x) float64: mean cross entropy in nats, infinite where it is not a finite number;
        share of right answers. NaN where nothing was computed.
    run_x, run_y, run_loss, run_accuracy : ndarray
        (n_runs,) float64: places and values of the networks of ``meta["runs"]``.
    path_run, path_step : ndarray
        (n_points,) int64: recorded networks of these runs, by run and step: place in
        ``meta["runs"]``, and step.
    path_x, path_y, path_distance : ndarray
        (n_points,) float64: their projection onto the plane, and how far they are from it, in the
        units of the parameters.
    path_loss, path_accuracy : ndarray
        (n_points,) float64: of these networks themselves.
    """

    name: str
    meta: Mapping
    x: np.ndarray
    y: np.ndarray
    loss: np.ndarray
    accuracy: np.ndarray
    run_x: np.ndarray
    run_y: np.ndarray
    run_loss: np.ndarray
    run_accuracy: np.ndarray
    path_run: np.ndarray
    path_step: np.ndarray
    path_x: np.ndarray
    path_y: np.ndarray
    path_distance: np.ndarray
    path_loss: np.ndarray
    path_accuracy: np.ndarray

    def arrays(self) -> dict[str, np.ndarray]:
        """Return all arrays by name."""
        return {n: getattr(self, n) for n in ("x", "y", *GRID, *RUNS, *WHOLE, *PATH)}


def surfaces_directory(path: object) -> Path:
    """Return where the surfaces of an ensemble are."""
    return data_directory(manifest_path(path)) / SURFACES_DIR


def surface_names(path: object) -> list[str]:
    """Return the names of an ensemble's surfaces, the one written last at the end.

    Parameters
    ----------
    path
        ``X.pvens``.

    Raises
    ------
    CorruptFileError, StoreError
        An index is damaged or cannot be read.
    """
    records = {index.stem: _records(index) for index in _indexes(surfaces_directory(path))}
    begun = [name for name in records if records[name]]
    return sorted(begun, key=lambda name: (records[name][-1].get("written", 0), name))


def read_surface(path: object, name: str = "") -> LossSurface:
    """Return a surface, the newest one when no name is given.

    Raises
    ------
    NotRecordedError
        There is none, or none of that name.
    CorruptFileError, StoreError
        A file is missing, damaged or cannot be read.
    """
    names = surface_names(path)
    if not names:
        raise NotRecordedError(
            f"{path}: there is no loss surface; compute one with `pvensemble surface {path} "
            "--run N`"
        )
    name = name or names[-1]
    if name not in names:
        raise NotRecordedError(f"{path}: no loss surface {name!r}{did_you_mean(name, names)}")
    index = surfaces_directory(path) / f"{name}{INDEX_SUFFIX}"
    record = _records(index)[-1]
    try:
        data = read_verified(index.parent / record["file"], _entry(record))
        arrays = {n: block(data, *entry, path=index) for n, entry in record["arrays"].items()}
        return _surface(name, record["meta"], arrays)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _not_understood(index, error) from error


def write_surface(path: object, surface: LossSurface, written: float) -> None:
    """Write a surface, or a later state of it.

    Parameters
    ----------
    written
        Seconds since 1970, by which surfaces are put in order.

    Raises
    ------
    StoreError
        The name is not possible, or the system refuses.
    """
    check_surface_name(surface.name)
    directory = surfaces_directory(path)
    try:
        directory.mkdir(exist_ok=True)
    except OSError as error:
        raise unwritable(directory, error, what="the folder of loss surfaces") from error
    journal = Journal(directory / f"{surface.name}{INDEX_SUFFIX}")
    try:
        data, table = arrays_image(surface.arrays())
        file = f"{surface.name}.{len(journal.records):03d}.hdf"
        record = {"type": "surface", "version": SURFACE_VERSION, "written": written}
        record.update(stage_file(directory, file, data), arrays=table, meta=dict(surface.meta))
        journal.append(record)
    finally:
        journal.close()


def check_surface_name(name: str) -> None:
    """Raise `StoreError` unless a surface can have this name."""
    if "." in check_name(name, "the name of a loss surface"):
        raise StoreError(f"the name of a loss surface is {name!r}; expected one without '.'")


def vouched_files(directory: Path) -> Iterator[tuple[Path, FileEntry | None, str]]:
    """Yield for `pvensemble check` every file that indexes of surfaces name, and what is wrong.

    Yields
    ------
    path, entry, problem
        Entry is None when the index itself is damaged; what is wrong with it is the problem.
    """
    for index in _indexes(directory):
        try:
            records = _records(index)
            entries = [(index.parent / str(r["file"]), _entry(r)) for r in records]
        except (KeyError, TypeError, ValueError) as error:
            yield index, None, f"is not understood ({error!r})"
        except StoreError as error:
            yield index, None, str(error).partition(": ")[2]
        else:
            yield from ((path, entry, "") for path, entry in entries)


# -- private ---------------------------------------------------------------------------------------
def _indexes(directory: Path) -> list[Path]:
    try:
        return sorted(
            directory / e.name for e in os.scandir(directory) if e.name.endswith(INDEX_SUFFIX)
        )
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StoreError(f"{directory}: cannot be read: {error.strerror}") from error


def _records(index: Path) -> list[dict]:
    """Return the records of an index; none where its writer was killed before the first."""
    prefix = parse(read_file(index, what="the index of a loss surface"))
    if prefix.damaged_lines:
        raise CorruptFileError(
            f"{index}: the index of the loss surface is damaged; copy it again from where it came "
            "from, or delete it and compute the surface again"
        )
    for record in prefix.records:
        if record.get("type") != "surface" or record.get("version", 0) > SURFACE_VERSION:
            kind = f"a record of type {record.get('type')!r}, version {record.get('version')!r}"
            raise _not_understood(index, ValueError(kind))
    return prefix.records


def _not_understood(index: Path, error: Exception) -> CorruptFileError:
    return CorruptFileError(
        f"{index}: the index of the loss surface is not understood ({error!r}); it was written by "
        "another program or a newer pvensemble: update pvensemble"
    )


def _entry(record: Mapping) -> FileEntry:
    name = check_name(record["file"], "the file of a loss surface")
    return FileEntry(name, int(record["bytes"]), str(record["sha256"]))


def _surface(name: str, meta: Mapping, arrays: dict[str, np.ndarray]) -> LossSurface:
    """Return the surface, all arrays of the shapes that belong together."""
    nothing = {n: np.empty(0, np.int64 if n in WHOLE else np.float64) for n in (*WHOLE, *PATH)}
    surface = LossSurface(name, dict(meta), **{**nothing, **arrays})
    shapes = {n: np.shape(a) for n, a in surface.arrays().items()}
    grid = (*shapes["y"], *shapes["x"])
    expected = {
        **dict.fromkeys(GRID, grid),
        **dict.fromkeys(RUNS, (len(meta["runs"]),)),
        **dict.fromkeys((*WHOLE, *PATH), shapes["path_step"]),
    }
    wrong = [n for n, shape in expected.items() if shapes[n] != shape]
    if wrong or len(grid) != 2:
        raise ValueError(f"{wrong} of the shapes {[shapes[n] for n in wrong]}")
    return surface
